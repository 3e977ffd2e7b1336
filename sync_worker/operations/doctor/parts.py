"""What `doctor` asks of the world beyond what `check` asks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SourceExam:
    """PostgreSQL. Settings are its own words, None where this version has none.

    Attributes:
        version: as in `server_version_num`.
        skew_s: its clock less ours.
        slot_failover, slot_synced: from 17 on.
        slot_inactive_s: since when nobody reads the slot.
        slot_retained: bytes of WAL that are kept for it; None where there is no slot.
        standbys: how many receive WAL from it now.
    """

    version: int
    skew_s: float
    max_slot_wal_keep_size: str | None
    idle_replication_slot_timeout: str | None
    synchronized_standby_slots: str | None
    slot_failover: bool | None
    slot_synced: bool | None
    slot_inactive_s: float | None
    slot_retained: int | None
    standbys: int


@dataclass(frozen=True, slots=True)
class TopicExam:
    replication: int
    in_sync: int
    min_insync_replicas: int


@dataclass(frozen=True, slots=True)
class KafkaExam:
    """Kafka.

    Attributes:
        broker: name of a broker's setting → its value.
        members: of the consumer group.
        skew_s: a broker's clock less ours; None where it could not be asked.
    """

    broker: Mapping[str, str]
    topics: Mapping[str, TopicExam]
    members: int
    skew_s: float | None


@dataclass(frozen=True, slots=True)
class UnreadableDocuments:
    """`read` of `documents` were read; `ids` are those that the server can't give back."""

    documents: int
    read: int
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SinkExam:
    """One Meilisearch.

    Attributes:
        tiny_task_s: how long a task with one document took on an empty scratch index; None without a key for one.
        database_bytes, used_bytes: of the whole server; None where the key may not ask.
        skew_s: its clock less ours, to half a second.
        unreadable: index → what of it was read.
    """

    tiny_task_s: float | None
    database_bytes: int | None
    used_bytes: int | None
    skew_s: float | None
    unreadable: Mapping[str, UnreadableDocuments]


@dataclass(frozen=True, slots=True)
class StateExam:
    """The state database, as it is before anything brings it up to date.

    Attributes:
        present, newest: revision of its schema and this version's; `present` is empty for an empty database.
        live_workers, silent_workers: by their last heartbeat.
    """

    present: str
    newest: str
    live_workers: int
    silent_workers: tuple[str, ...]


class Examiner(Protocol):
    """Each raises the errors of its part."""

    async def source(self) -> SourceExam: ...

    async def kafka(self) -> KafkaExam: ...

    async def connect_skew_s(self) -> float | None: ...

    async def sink(self, instance: str, index_uids: Collection[str]) -> SinkExam: ...

    async def state(self) -> StateExam: ...
