"""The workers of the group, asked over HTTP."""
