"""A healthy chain as the watch sees it, for tests that spoil one thing of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sync_worker.watch.facts import ColumnSeen, ConnectorSeen, MemberSeen, SlotSeen, TableSeen, TopicSeen, Watched, WatchedIndex

TABLE = "public.things"
TOPIC = "app.public.things"
ID, NAME, N = ColumnSeen("id", 23, -1, "", ""), ColumnSeen("name", 25, -1, "", ""), ColumnSeen("n", 23, -1, "", "")
DAY_MS = 24 * 60 * 60 * 1000

WATCHED = Watched(
    connector="app",
    slot="app_slot",
    publication="app_publication",
    retention_ms=30 * DAY_MS,
    max_message_bytes=1000,
    indexes={
        "things": WatchedIndex(TABLE, TOPIC, ("id",), frozenset({"id", "name"}), "d1"),
        "numbers": WatchedIndex(TABLE, TOPIC, ("id",), frozenset({"id", "n"}), "d1"),
    },
)
MEMBER = MemberSeen(True, frozenset({"insert", "update", "delete", "truncate"}), frozenset({"id", "name", "n"}), None)
SLOT = SlotSeen(active=True, wal_status="reserved", invalidation=None, confirmed=1000)
CONNECTOR = ConnectorSeen("connector RUNNING, task 0 RUNNING", running=True, refusals=(), position=1000, snapshotting=False)
THINGS = TableSeen(
    oid=7,
    kind="table",
    persistence="permanent",
    replica_identity="default",
    key=("id",),
    columns=(ID, NAME, N),
    partitions={},
    empty_partitions=frozenset(),
    member=MEMBER,
)
GOOD_TOPIC = TopicSeen("id-1", 1, "delete", retention_ms=30 * DAY_MS, retention_bytes=-1, max_message_bytes=1000)


def table(**changed: Any) -> TableSeen:
    return replace(THINGS, **changed)


def slot(**changed: Any) -> SlotSeen:
    return replace(SLOT, **changed)


def connector(**changed: Any) -> ConnectorSeen:
    return replace(CONNECTOR, **changed)
