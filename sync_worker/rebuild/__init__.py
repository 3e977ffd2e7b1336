"""A rebuild of one index: its phases, what each asks of the workers, and how one follows another. Pure."""
