"""`sync-worker reindex`: a fresh index beside the live one, filled, proven, and put in its place while searches go on."""
