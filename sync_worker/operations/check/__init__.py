"""Hold configuration and declarations against every part of the chain, and name every mistake at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass

from sync_worker.document.declaration import IndexDeclaration
from sync_worker.errors import SyncWorkerError
from sync_worker.operations.check.connectors import check_connector
from sync_worker.operations.check.parts import ConnectFacts, LogFacts, SinkFacts, SourceFacts, StateFacts
from sync_worker.operations.check.report import Check, CheckReport, Verdict, unanswered
from sync_worker.operations.check.sinks import check_sink
from sync_worker.operations.check.tables import check_source
from sync_worker.operations.check.topics import check_topics
from sync_worker.operations.check.watch import WatchFacts, check_watch
from sync_worker.operations.deadline import by_deadline

__all__ = ["Check", "CheckReport", "Parts", "Verdict", "check"]


@dataclass(frozen=True, slots=True)
class Parts:
    """The chain, as far as it can be asked.

    Attributes:
        sinks: instance → its facts.
        topics: the data topics.
        render: gives the connector's configuration as declared, or raises ConfigurationError.
    """

    source: SourceFacts
    log: LogFacts
    connect: ConnectFacts
    sinks: Mapping[str, SinkFacts]
    state: StateFacts
    watch: WatchFacts
    render: Callable[[], Mapping[str, str]]
    connector_name: str
    topics: Collection[str]
    dead_letter_topic: str


async def check(parts: Parts, indexes: Sequence[IndexDeclaration], *, timeout_s: float) -> CheckReport:
    """Ask all parts at the same time. One that does not answer, or not in time, is an error of its own and stops no other."""
    areas: list[tuple[str, str, Coroutine[None, None, list[Check]]]] = [
        ("source", "PostgreSQL", check_source(parts.source, indexes)),
        (
            "kafka",
            "brokers",
            check_topics(parts.log, parts.topics, dead_letter_topic=parts.dead_letter_topic),
        ),
        ("connector", parts.connector_name, check_connector(parts.connect, parts.connector_name, parts.render)),
        *(
            (
                "meilisearch",
                instance,
                check_sink(sink, instance, [index for index in indexes if index.meilisearch == instance]),
            )
            for instance, sink in parts.sinks.items()
        ),
        ("state", "database", _check_state(parts.state)),
        ("watch", "continuity", check_watch(parts.watch)),
        ("watch", "positions", parts.watch.positions()),
    ]
    answers = await asyncio.gather(*(_answered(*area, timeout_s) for area in areas))
    return CheckReport.of(one for answer in answers for one in answer)


async def _answered(area: str, subject: str, asking: Coroutine[None, None, list[Check]], timeout_s: float) -> list[Check]:
    try:
        return await by_deadline(asking, timeout_s)
    except TimeoutError:
        what = f"did not answer within {timeout_s:g} s"
        return [
            Check(area, subject, Verdict.ERROR, what, "look whether it hangs, or give it more time: --timeout", answered=False)
        ]
    except SyncWorkerError as error:
        return [unanswered(area, subject, error)]


async def _check_state(state: StateFacts) -> list[Check]:
    return [Check("state", "database", Verdict.OK, await state.version())]
