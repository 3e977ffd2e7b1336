-- The worker's own database, beside the source and apart from it. PostgreSQL's image runs this once, on an empty volume.
CREATE DATABASE sync_worker;
