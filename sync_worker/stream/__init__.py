"""The Faust app, its consumer of record batches, the agent. No business rule lives here."""
