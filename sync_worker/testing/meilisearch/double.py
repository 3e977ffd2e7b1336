"""The double as tests and the stack hold it: a real port on loopback, and a Python handle on what is behind it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from types import TracebackType

from aiohttp import web

from sync_worker.testing.meilisearch.core import Core, State
from sync_worker.testing.meilisearch.errors import ApiError
from sync_worker.testing.meilisearch.faults import DISK_FULL, Fault, Faults, Operation, Strike
from sync_worker.testing.meilisearch.http import HttpSide
from sync_worker.testing.meilisearch.tasks import Batch

DEFAULT_PAYLOAD_LIMIT = 100_000_000
"""Bytes, as `--http-payload-size-limit` has it."""
DEFAULT_DOCUMENT_DELAY_S = 0.000002
"""How long a batch takes for each of its documents."""


class MeilisearchDouble:
    """An async context manager: `async with MeilisearchDouble(master_key="…") as double: double.url`.

    It speaks the protocol of Meilisearch 1.50 as recorded in tests/fixtures/meilisearch-1.50; ranking, geo filters,
    embedding and persistence are not modelled. Delays are in seconds.
    """

    def __init__(
        self,
        master_key: str | None = "masterKey",
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        payload_limit: int = DEFAULT_PAYLOAD_LIMIT,
        batch_delay_s: float = 0.001,
        document_delay_s: float = DEFAULT_DOCUMENT_DELAY_S,
    ) -> None:
        self.core = Core(master_key)
        self.faults = Faults()
        self.master_key = master_key
        self.batch_delay_s = batch_delay_s
        self.document_delay_s = document_delay_s
        self._host = host
        self._port = port
        self._payload_limit = payload_limit
        self._awake = asyncio.Event()
        self._running = asyncio.Event()
        self._running.set()
        self._settled = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self._worker: asyncio.Task[None] | None = None
        self._batch: Batch | None = None

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self._port}"

    async def __aenter__(self) -> MeilisearchDouble:
        await self.start()
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.crash()

    async def start(self) -> None:
        """Listens, on the same port as before if it ran before, and processes what is enqueued."""
        side = HttpSide(self.core, self.faults, self._payload_limit, self._awake.set)
        self._runner = web.AppRunner(
            side.application(), access_log=None, auto_decompress=False, shutdown_timeout=0, handler_cancellation=True
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self._worker = asyncio.create_task(self._work())
        self._awake.set()

    async def crash(self, *, after_index_commit: bool = False) -> None:
        """Dies: connections are cut, a batch under way is enqueued again. `start()` brings it back.

        With `after_index_commit` the batch's documents are already in the index, as when the server dies between its
        two commits; it is then processed a second time.
        """
        if self._worker is not None:
            self._worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._worker
        if self._batch is not None:
            if after_index_commit:
                self.core.apply(self._batch)
            self.core.abandon(self._batch)
            self._batch = None
        if self._runner is not None:
            server = self._runner.server
            for connection in list(server.connections) if server else []:
                if connection.transport is not None:
                    connection.transport.abort()
            await self._runner.cleanup()
            self._runner = None

    # Processing

    def pause(self) -> None:
        """Stops before the next batch: tasks pile up and will merge. A batch under way stays `processing`."""
        self._running.clear()

    def resume(self) -> None:
        self._running.set()

    async def _work(self) -> None:
        while True:
            await self._awake.wait()
            await self._running.wait()
            self._batch = self.core.begin()
            if self._batch is None:
                self._awake.clear()
                continue
            await asyncio.sleep(self.batch_delay_s + self.document_delay_s * self.core.document_count(self._batch))
            await self._running.wait()
            self.core.finish(self._batch)
            self._batch = None
            async with self._settled:
                self._settled.notify_all()

    async def wait_until(self, condition: Callable[[Core], bool], timeout_s: float = 10.0) -> None:
        """Until the condition holds, looked at after every batch. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s), self._settled:
            await self._settled.wait_for(lambda: condition(self.core))

    async def wait_idle(self, timeout_s: float = 10.0) -> None:
        """Until every task is finished."""
        await self.wait_until(
            lambda core: all(task.status not in {"enqueued", "processing"} for task in core.state.tasks.values()), timeout_s
        )

    # Faults

    def queue_fault(self, operation: Operation, fault: Fault) -> Strike:
        """The next request of that kind meets the fault, once."""
        return self.faults.queue(operation, fault)

    def fail_batches(self, error: ApiError | None) -> None:
        """Every batch from now on fails with the error, until called with None."""
        self.core.batch_fault = lambda _tasks: error

    def fill_disk(self, full: bool = True) -> None:
        """Batches fail with `no_space_left_on_device` while the disk is full."""
        self.fail_batches(DISK_FULL if full else None)

    def revoke_key(self, key_or_uid: str) -> None:
        """Raises ApiError `api_key_not_found`."""
        self.core.keys.delete(key_or_uid)

    def prune_tasks(self, uids: Iterable[int]) -> None:
        """Finished tasks vanish from the history."""
        self.core.prune(uids)

    def snapshot(self) -> State:
        """Indexes and task history as they are; keys are not part of it."""
        return self.core.state.copied()

    def restore(self, state: State) -> None:
        """Back to an earlier state, as when an operator loads a dump: `createdAt` survives, the task history goes back."""
        if self._batch is not None:
            raise RuntimeError("restore() while a batch is being processed: wait_idle() first")
        self.core.state = state.copied()
        self._awake.set()
