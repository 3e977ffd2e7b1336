"""What the watch asks of PostgreSQL, in a handful of queries whatever the number of tables: the port `SourceContinuity`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

import psycopg

from sync_worker.adapters.source.catalogue import IDENTITIES, KINDS, PERSISTENCE
from sync_worker.adapters.source.fault import translated
from sync_worker.adapters.source.session import connect
from sync_worker.watch.facts import ColumnSeen, MemberSeen, ServerSeen, SlotSeen, SourceSeen, TableSeen

# A WAL file's name begins with the timeline; pg_control_checkpoint() learns of a promotion only with the next checkpoint.
_SERVER = """
select (select system_identifier::text from pg_control_system()),
       case when pg_is_in_recovery() then null else ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int end
"""
_SLOT = """
select s.active, s.wal_status, (s.confirmed_flush_lsn - '0/0')::bigint, {invalidation}
from pg_replication_slots s where s.slot_name = %s
"""
_INVALIDATION = {170000: "s.invalidation_reason", 160000: "case when s.conflicting then 'conflict' end", 0: "null"}

_TABLES = """
select n.nspname || '.' || c.relname, c.oid, c.relkind::text, c.relpersistence::text, c.relreplident::text,
       array(select a.attname::text from pg_index i
             cross join unnest(i.indkey) with ordinality as k(attnum, at)
             join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
             where i.indrelid = c.oid and i.indisprimary and k.at <= i.indnkeyatts order by k.at)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname || '.' || c.relname = any(%s) and c.relkind in ('r', 'p', 'v', 'm', 'f')
"""
_COLUMNS = """
select a.attrelid, a.attname::text, a.atttypid, a.atttypmod, coalesce(pg_get_expr(d.adbin, d.adrelid), ''), a.attgenerated::text
from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attrelid = any(%s::oid[]) and a.attnum > 0 and not a.attisdropped
order by a.attrelid, a.attnum
"""
_PARTITIONS = """
select root.oid, t.relid::oid, t.relid::regclass::text, t.isleaf and pg_relation_size(t.relid) = 0
from unnest(%s::oid[]) as root(oid) cross join lateral pg_partition_tree(root.oid) t
where t.relid <> root.oid
"""
_MEMBERS = """
select t.schemaname || '.' || t.tablename, p.pubviaroot, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate,
       {attnames}, {rowfilter}
from pg_publication p join pg_publication_tables t on t.pubname = p.pubname
where p.pubname = %s and t.schemaname || '.' || t.tablename = any(%s)
"""
# A partitioned table that is published as its leaves is a member, but not listed in pg_publication_tables.
_AS_LEAVES = """
select r.prrelid, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate
from pg_publication p join pg_publication_rel r on r.prpubid = p.oid
where p.pubname = %s and not p.pubviaroot and r.prrelid = any(%s::oid[])
"""
_OPERATIONS = ("insert", "update", "delete", "truncate")


class PostgresContinuity:
    """Implements `ports.SourceContinuity` for PostgreSQL 13 to 18.

    One connection for each look: a minute is long, and a look must not depend on the last one's connection.

    Args:
        dsn: any role may read these catalogues.
    """

    def __init__(self, dsn: str, *, slot: str, publication: str) -> None:
        self._dsn = dsn
        self._slot = slot
        self._publication = publication

    async def seen(self, tables: Collection[str]) -> SourceSeen:
        """Raises SourceUnavailable, and ConfigurationError where nothing can be asked at all."""
        with translated("watching the source"):
            async with await connect(self._dsn, statement_timeout_s=30.0) as connection:
                return await self._seen(connection, sorted(tables))

    async def _seen(self, connection: psycopg.AsyncConnection[Any], tables: Sequence[str]) -> SourceSeen:
        version = connection.info.server_version
        [(system, timeline)] = await _rows(connection, _SERVER)
        invalidation = next(words for since, words in _INVALIDATION.items() if version >= since)
        slots = await _rows(connection, _SLOT.format(invalidation=invalidation), (self._slot,))
        exists = bool(await _rows(connection, "select 1 from pg_publication where pubname = %s", (self._publication,)))
        found = await _rows(connection, _TABLES, (list(tables),))
        oids = [oid for _, oid, *_ in found]
        columns: dict[int, list[ColumnSeen]] = defaultdict(list)
        for oid, *column in await _rows(connection, _COLUMNS, (oids,)):
            columns[oid].append(ColumnSeen(*column))
        partitions: dict[int, dict[int, str]] = defaultdict(dict)
        empty: dict[int, set[int]] = defaultdict(set)
        partitioned = [oid for _, oid, kind, *_ in found if kind == "p"]
        for root, oid, name, is_empty in await _rows(connection, _PARTITIONS, (partitioned,)) if partitioned else ():
            partitions[root][oid] = name
            if is_empty:
                empty[root].add(oid)
        members = await self._members(connection, found, columns, version)
        seen: dict[str, TableSeen | None] = dict.fromkeys(tables)
        for name, oid, kind, persistence, identity, key in found:
            seen[name] = TableSeen(
                oid=oid,
                kind=KINDS.get(kind, kind),
                persistence=PERSISTENCE.get(persistence, persistence),
                replica_identity=IDENTITIES.get(identity, identity),
                key=tuple(key),
                columns=tuple(columns[oid]),
                partitions=partitions[oid],
                empty_partitions=frozenset(empty[oid]),
                member=members.get(name),
            )
        slot = SlotSeen(slots[0][0], slots[0][1], slots[0][3], slots[0][2]) if slots else None
        return SourceSeen(ServerSeen(system, timeline), slot, exists, seen)

    async def _members(
        self,
        connection: psycopg.AsyncConnection[Any],
        found: Sequence[tuple[Any, ...]],
        columns: dict[int, list[ColumnSeen]],
        version: int,
    ) -> dict[str, MemberSeen]:
        # Column lists and row filters came with 15.
        query = _MEMBERS.format(
            attnames="t.attnames::text[]" if version >= 150000 else "null::text[]",
            rowfilter="t.rowfilter" if version >= 150000 else "null",
        )
        oid_of = {name: oid for name, oid, *_ in found}
        whole = {oid: frozenset(column.name for column in its if not column.generated) for oid, its in columns.items()}
        members = {}
        for name, via_root, *sent, attnames, row_filter in await _rows(connection, query, (self._publication, list(oid_of))):
            names = whole.get(oid_of[name], frozenset()) if attnames is None else frozenset(attnames)
            members[name] = MemberSeen(via_root, _sent(sent), names, row_filter)
        name_of = {oid: name for name, oid in oid_of.items()}
        for oid, *sent in await _rows(connection, _AS_LEAVES, (self._publication, list(name_of))):
            members.setdefault(name_of[oid], MemberSeen(False, _sent(sent), whole.get(oid, frozenset()), None))
        return members


def _sent(flags: Sequence[bool]) -> frozenset[str]:
    return frozenset(operation for operation, is_sent in zip(_OPERATIONS, flags, strict=True) if is_sent)


async def _rows(connection: psycopg.AsyncConnection[Any], query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    cursor = await connection.execute(query, parameters)
    rows: list[tuple[Any, ...]] = await cursor.fetchall()
    return rows
