"""Notices what ends without a word: a worker that is alive and consumes nothing has to end loudly instead."""

from __future__ import annotations

import asyncio
import logging

from sync_worker.stream.app import StreamApp
from sync_worker.stream.standstill import LOOK_S, Standstill
from sync_worker.stream.waiting import StreamEndedError

log = logging.getLogger(__name__)

INTERVAL_S = 0.5
_REFUSED_S = 10.0
_RESUMED_S = 15.0
_REMIND_S = 60.0


async def watch(app: StreamApp) -> BaseException:
    """The reason why the worker can't go on, once there is one."""
    missing, standstill = _MissingTopics(app), Standstill(app)
    looked_at = app.loop.time()
    while True:
        await asyncio.sleep(INTERVAL_S)
        missing.report()
        reason = ended(app)
        if reason is None and app.loop.time() - looked_at >= LOOK_S:
            reason, looked_at = await standstill.look(), app.loop.time()
        if reason is not None:
            return reason


def ended(app: StreamApp) -> BaseException | None:
    """Look at every task that nobody else looks at."""
    if app.crashed:
        return app.crash_reason or StreamEndedError("Faust ended")
    consumer = app.batch_consumer
    if not consumer.started_reading:
        return None
    if consumer.thread is not None and not consumer.thread.is_alive():
        return StreamEndedError("the consumer's thread ended")
    if (task := consumer.reader.ended()) is not None:
        return task
    now = consumer.loop.time()
    idle = app.membership.partitions and app.membership.generation is not None and not (consumer.reading or consumer.seeking)
    if idle and now - consumer.assigned_at > _RESUMED_S:
        return StreamEndedError("Faust's recovery did not resume the stream after an assignment")
    refused = consumer.refused_since
    if refused is not None and app.membership.generation is not None and now - refused > _REFUSED_S:
        return StreamEndedError("the group refuses commits although no rebalance is going on")
    return None


class _MissingTopics:
    """Says which topics are waited for, at once and then every minute, and when they have come."""

    def __init__(self, app: StreamApp) -> None:
        self._app = app
        self._known: frozenset[str] = frozenset()
        self._said_at = 0.0

    def report(self) -> None:
        if self._app.membership.generation is None:
            return
        missing = self._app.membership.missing_topics()
        now = asyncio.get_running_loop().time()
        for topic in sorted(self._known - missing):
            log.info("topic %s exists now", topic)
        if missing and (missing - self._known or now - self._said_at > _REMIND_S):
            log.warning("waiting for topics that do not exist yet: %s", ", ".join(sorted(missing)))
            self._said_at = now
        self._known = missing
