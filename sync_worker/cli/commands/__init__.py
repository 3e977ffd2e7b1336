"""One module per command: arguments in, one call of an operation, a report out."""
