"""The thread in which aiokafka lives, so that a busy worker's loop never costs it its membership."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable
from typing import TYPE_CHECKING, Any, cast

from faust.transport.drivers import aiokafka as driver
from mode.threads import WorkerThread
from mode.utils.logging import get_logger

from sync_worker.errors import LogUnavailable
from sync_worker.stream.reader import PartitionReader

if TYPE_CHECKING:
    from sync_worker.stream.app import StreamApp

log = logging.getLogger(__name__)


class _DaemonThread(WorkerThread):
    """A broker that does not answer must not keep the process from ending."""

    def __init__(self, service: Any, **kwargs: Any) -> None:
        super().__init__(service, **kwargs)
        self.daemon = True


class RebalanceListener(driver.ConsumerRebalanceListener):
    """Runs in the consumer's thread: ownership ends here, before anybody on the worker's loop had a chance to run."""

    def on_partitions_revoked(self, revoked: Iterable[Any]) -> Awaitable[Any]:
        thread = cast("RecordBatchThread", self._thread)
        thread.reader.close_gate()
        thread.app.membership.leave()
        return super().on_partitions_revoked(revoked)


class RecordBatchThread(driver.AIOKafkaConsumerThread):
    """The thread that owns the aiokafka consumer."""

    logger = get_logger("faust.consumer")
    Worker = _DaemonThread
    app: StreamApp
    reader: PartitionReader

    async def on_start(self) -> None:
        self.time_started = self.loop.time()
        while not self.should_stop:
            reader = PartitionReader(self.app.settings, self.app.lanes.with_room)
            try:
                await reader.start()
            except LogUnavailable as error:
                log.warning("%s; trying again", error)
                await reader.stop()
                await self.sleep(1.0)
            else:
                self.reader, self._consumer = reader, reader.consumer
                return

    async def run(self, work: Awaitable[Any]) -> Any:
        """Await something in the thread from the worker's loop (Faust's own method queue polls and serialises)."""

        async def wrapped() -> Any:
            return await work

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(wrapped(), self.thread_loop))
