"""Comparing rows with documents: what an index should hold against what it holds."""
