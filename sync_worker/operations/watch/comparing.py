"""Ask every part at the same time and compare it with what was recorded. Changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from sync_worker.errors import EnvironmentFault, SyncWorkerError
from sync_worker.failure.findings import FindingKind
from sync_worker.ports import ConnectorContinuity, SourceContinuity, TopicContinuity
from sync_worker.watch.columns import look_at_columns
from sync_worker.watch.connector import look_at_connector
from sync_worker.watch.facts import ConnectorSeen, Recorded, SourceSeen, Watched
from sync_worker.watch.look import Look, Noticed
from sync_worker.watch.partitions import look_at_partitions
from sync_worker.watch.publication import look_at_publication
from sync_worker.watch.server import look_at_server
from sync_worker.watch.slot import look_at_slot
from sync_worker.watch.tables import look_at_table
from sync_worker.watch.topics import look_at_topics

T = TypeVar("T")

_PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class WatchParts:
    """The chain, as far as the watch asks it."""

    source: SourceContinuity
    connector: ConnectorContinuity
    topics: TopicContinuity


@dataclass(frozen=True, slots=True)
class Comparison:
    """What one look at everything shows.

    Attributes:
        unanswered: part → why it could not be asked. Nothing is said about it then, neither good nor bad.
        connector: as seen; None where it was not, or where there is none.
    """

    looks: tuple[Look, ...]
    unanswered: Mapping[str, SyncWorkerError]
    connector: ConnectorSeen | None

    @property
    def noticed(self) -> tuple[Noticed, ...]:
        """One for each kind and subject: what several parts tell of one index is told in one sentence after the other."""
        together: dict[tuple[FindingKind, str], Noticed] = {}
        for one in (noticed for look in self.looks for noticed in look.noticed):
            key = (one.kind, one.subject)
            if key in together and one.evidence not in together[key].evidence:
                one = Noticed(one.kind, one.subject, f"{together[key].evidence}. {one.evidence}", one.words)
            elif key in together:
                continue
            together[key] = one
        return tuple(together.values())

    @property
    def told(self) -> frozenset[FindingKind]:
        return frozenset().union(*(look.told for look in self.looks))

    @property
    def facts(self) -> Mapping[tuple[str, str], Any]:
        return {key: value for look in self.looks for key, value in look.facts.items()}


async def compare(parts: WatchParts, watched: Watched, recorded: Recorded, *, now: float) -> Comparison:
    """`now` is seconds since 1970. A part that does not answer is told of and stops no other."""
    unanswered: dict[str, SyncWorkerError] = {}

    async def asked(part: str, question: Awaitable[T]) -> T | None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await question
        except SyncWorkerError as error:
            unanswered[part] = error
        except TimeoutError:
            unanswered[part] = EnvironmentFault(f"{part} did not answer within {_PATIENCE_S:.0f} s")
        return None

    async def source_then_connector() -> tuple[SourceSeen | None, ConnectorSeen | None]:
        # In this order: Connect's position only rises, so a slot that is ahead of it was moved by somebody else.
        source = await asked("PostgreSQL", parts.source.seen(watched.tables))
        return source, await asked("Kafka Connect", parts.connector.seen())

    names = sorted({index.topic for index in watched.indexes.values()})
    (source, connector), topics = await asyncio.gather(source_then_connector(), asked("Kafka", parts.topics.seen(names)))
    looks: list[Look] = []
    if source is not None:
        looks.append(look_at_server(recorded, source.server, watched))
        looks.append(look_at_slot(recorded, source.slot, connector, watched))
        looks.append(look_at_publication(recorded, source, watched))
        for name, table in source.tables.items():
            looks.append(look_at_table(recorded, name, table, watched))
            if table is not None:
                looks += [look_at_columns(recorded, name, table, watched), look_at_partitions(recorded, name, table, watched)]
    if "Kafka Connect" not in unanswered:
        slot = source.slot if source is not None else None
        looks.append(look_at_connector(recorded, connector, slot, watched, now=now))
    if topics is not None:
        looks.append(look_at_topics(topics, watched))
    return Comparison(tuple(looks), unanswered, connector)
