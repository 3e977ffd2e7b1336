"""Which offsets are taken, done, and acknowledged, in order. Pure."""
