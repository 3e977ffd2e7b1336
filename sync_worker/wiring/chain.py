"""The canary and the barrier, built from the adapters: for the worker and for the command line."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sync_worker.adapters.clock import SystemClock
from sync_worker.adapters.debezium.connect import ConnectClient
from sync_worker.adapters.kafka.canary import MessageReader
from sync_worker.adapters.source.messages import PostgresMessages
from sync_worker.adapters.source.slot import slot_active
from sync_worker.adapters.workers.positions import GroupPositions, Told, told
from sync_worker.change.message import Message, parse_lsn
from sync_worker.config import Config
from sync_worker.errors import ConfigurationError, SyncWorkerError
from sync_worker.operations.barrier import Barrier, BarrierReport, Verdict
from sync_worker.operations.canary import Canary, Links
from sync_worker.operations.report import as_document
from sync_worker.operations.waiting import wait_report
from sync_worker.wiring import build

if TYPE_CHECKING:
    from sync_worker.adapters.state import StateDatabase
    from sync_worker.adapters.telemetry.health import Page
    from sync_worker.pipeline.health import Health

_LONGEST_S = 600.0
_USUAL_S = 30.0


class _Messages:
    """`operations.barrier.Messages`: written into PostgreSQL, read back from Kafka."""

    def __init__(self, reader: MessageReader, writer: PostgresMessages) -> None:
        self._reader = reader
        self._writer = writer

    @property
    def newest(self) -> Message | None:
        return self._reader.newest

    async def emit(self, prefix: str, content: str) -> int:
        return await self._writer.emit(prefix, content)

    async def listening(self, timeout_s: float) -> bool:
        return await self._reader.listening(timeout_s)

    async def arrived(self, wanted: Callable[[Message], bool], timeout_s: float) -> Message | None:
        return await self._reader.arrived(wanted, timeout_s)


class _Progress:
    """`operations.barrier.ConnectorProgress` on Kafka Connect."""

    def __init__(self, client: ConnectClient, name: str) -> None:
        self._client = client
        self._name = name

    async def committed_order(self) -> tuple[int, int] | None:
        offset = await self._client.offsets(self._name)
        if offset is None or offset.get("lsn") is None:
            return None
        return int(offset.get("lsn_commit") or 0), int(offset["lsn"])


class Chain:
    """The canary and the barrier over one set of connections. Closed with `stack`.

    Args:
        health: the worker's own, where this is a worker; asked for when it is needed, which is after this.

    Attributes:
        log, connect: the connections to Kafka and to Connect, for whoever works beside it.
    """

    def __init__(
        self, config: Config, state: StateDatabase, stack: AsyncExitStack, *, health: Callable[[], Health] | None = None
    ) -> None:
        self._config = config
        self.reader = MessageReader(
            config.kafka.bootstrap_servers, config.message_topic, build.security(config.kafka), group=config.kafka.group
        )
        self.log = build.build_log(config)
        self.connect = build.build_connect(config)
        writer = PostgresMessages(build.secret(config.source.url))
        own = None if health is None else lambda: told(config.worker.name, health().positions(), health().holds())
        positions = GroupPositions(state, own=own)
        for part in (self.connect, writer, positions):
            stack.push_async_callback(part.close)
        stack.push_async_callback(self.reader.stop)
        clock = SystemClock()
        self.canary = Canary(self.reader, clock=clock, limit_s=config.worker.canary_limit_s, ask=self._links)
        self.barrier = Barrier(
            {name: config.topic(index.table) for name, index in config.indexes.items()},
            messages=_Messages(self.reader, writer),
            positions=positions,
            connector=_Progress(self.connect, config.connector.name),
            log=self.log,
            findings=state,
            clock=clock,
            new_token=lambda: uuid.uuid4().hex,
            silence=self.canary.explain,
        )
        self.own: Callable[[], Told] | None = own

    async def _links(self, end_moves: bool | None) -> Links:
        database, active = None, None
        try:
            active = await slot_active(build.secret(self._config.source.url), self._config.connector.slot)
        except SyncWorkerError as error:
            database = error.message
        connector, runs = None, False
        try:
            status = await self.connect.status(self._config.connector.name)
            connector = "there is no such connector" if status is None else (status.error or status.summary)
            runs = status is not None and status.running
        except SyncWorkerError:
            pass
        return Links(self.reader.fault, database, connector, runs, active, end_moves)

    def pages(self) -> Mapping[str, Page]:
        """Of a worker: its own positions, and the barrier for the whole group."""
        return {"/positions": self._positions_page, "/barrier": self._barrier_page}

    async def _positions_page(self, _query: Mapping[str, Sequence[str]]) -> tuple[int, Told]:
        assert self.own is not None
        return 200, self.own()

    async def _barrier_page(self, query: Mapping[str, Sequence[str]]) -> tuple[int, Mapping[str, Any]]:
        try:
            wanted = asked(query)
            report = await self.barrier.passed(
                query.get("index", ()), strict=wanted.strict, timeout_s=wanted.timeout_s, lsn=wanted.lsn
            )
        except ConfigurationError as error:
            return 400, {"error": error.message, "remedy": error.remedy}
        except SyncWorkerError as error:
            return 503, {"error": error.message, "remedy": error.remedy}
        status = {Verdict.PASSED: 200, Verdict.BEHIND: 504, Verdict.BLOCKED: 409}[report.verdict]
        return status, as_document(wait_report(report))


@dataclass(frozen=True, slots=True)
class Asked:
    """What a query asks for, beside the indexes."""

    lsn: int | None
    strict: bool
    timeout_s: float


def asked(query: Mapping[str, Sequence[str]]) -> Asked:
    """Raises ConfigurationError for a value that can't be read, and for one that nobody knows."""
    if unknown := sorted(set(query) - {"index", "lsn", "timeout", "strict"}):
        raise ConfigurationError([f"{name}: unknown" for name in unknown], remedy="known are: index, lsn, timeout, strict")
    try:
        lsn = parse_lsn(query["lsn"][-1]) if "lsn" in query else None
        timeout_s = float(query.get("timeout", [str(_USUAL_S)])[-1])
        strict = {"true": True, "false": False}[query.get("strict", ["true"])[-1].lower()]
    except (ValueError, KeyError) as error:
        raise ConfigurationError([f"the query can't be read: {error}"]) from error
    if not 0 < timeout_s <= _LONGEST_S:
        raise ConfigurationError([f"timeout must be above 0 and at most {_LONGEST_S:g} s"])
    return Asked(lsn, strict, timeout_s)


async def wait(
    config: Config, state: StateDatabase, indexes: Sequence[str], *, strict: bool, lsn: int | None, timeout_s: float
) -> BarrierReport:
    """One barrier from outside the workers."""
    async with AsyncExitStack() as stack:
        chain = Chain(config, state, stack)
        await chain.reader.start()
        return await chain.barrier.passed(indexes, strict=strict, timeout_s=timeout_s, lsn=lsn)
