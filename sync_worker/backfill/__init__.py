"""A table read again: what was asked, how far it is, and what Debezium tells of its scan."""
