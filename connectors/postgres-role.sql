-- The role that the connector and sync-worker need in the source, and nothing more. Run it in the source's database as an
-- administrator, after replacing the password, the database and the tables:
--
--   psql "$ADMIN_URL" -v password="'…'" -f connectors/postgres-role.sql
--
-- What each right is for:
--   LOGIN, REPLICATION  the replication slot (streaming), and pg_logical_emit_message for the canary
--   SELECT              snapshots, backfills, unchanged TOAST values, and rows that sync-worker reads again
-- Not needed: ownership of the tables, CREATE, superuser, a signal table. The publication is made beforehand by the tables'
-- owner (`sync-worker connector apply` with an owner's connection, or the statements at the end).

CREATE ROLE sync_worker WITH LOGIN REPLICATION PASSWORD :password;

GRANT CONNECT ON DATABASE app TO sync_worker;
GRANT USAGE ON SCHEMA public TO sync_worker;
GRANT SELECT ON public.cities TO sync_worker;

-- PostgreSQL 18 and later: also `publish_generated_columns = stored`, so that stored generated columns can be indexed.
CREATE PUBLICATION sync_worker FOR TABLE public.cities
    WITH (publish = 'insert, update, delete, truncate', publish_via_partition_root = true);

-- Server settings (a restart is needed for the first):
--   wal_level = logical
--   max_replication_slots   one for each connector, besides those in use
--   max_slot_wal_keep_size  the disk that an outage may cost; -1 keeps everything and can fill the disk
-- pg_hba.conf must admit the role to the database; logical replication needs no entry for "replication".
