"""`sync-worker backfill`: a table's rows once more through the log, until they are applied."""
