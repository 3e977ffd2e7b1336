"""From start to exit status."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from typing import Any

from sync_worker.ports import Intake
from sync_worker.stream.app import StreamApp, build_app
from sync_worker.stream.blocked import LoopWatch
from sync_worker.stream.membership import GroupMembership
from sync_worker.stream.settings import StreamSettings
from sync_worker.stream.waiting import StreamEndedError, at_most
from sync_worker.stream.watchdog import watch

log = logging.getLogger(__name__)

# Together under ten seconds, which is what an orchestrator grants as a rule before it kills.
_LONGEST_DRAIN_S = 5.0
_COMMIT_S = 1.5
_LEAVE_S = 1.0
_STOP_S = 1.0
_ENDED_S = 12.0
LOOP_LIMIT_S = 45.0
"""So long the event loop may stand before the process is ended from outside it."""


async def run_stream(settings: StreamSettings, intake: Intake, membership: GroupMembership, *, drain_s: float) -> int:
    """Consume until SIGTERM or SIGINT, or until something ends that must not.

    Args:
        membership: the same object that the intake acknowledges to.
        drain_s: how long the intake may finish what is in flight, at most five seconds.

    Returns:
        Exit status: 0 after a signal, at most ten seconds after it; 1 for everything else, with the reason logged last.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    app = build_app(settings, intake, membership)
    loop_watch = LoopWatch(limit_s=LOOP_LIMIT_S)
    loop_watch.start()
    try:
        reason = await _run_until(stop, app)
        if reason is None:
            log.info("stopping")
        else:
            log.error("stopping because of %r", reason)
            end_at_the_latest()
        await _shut_down(app, drain_s if reason is None else 0.0)
    finally:
        loop_watch.stop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    if reason is not None:
        log.critical("the worker ended: %s", reason or repr(reason), exc_info=reason)
        return 1
    return 0


def end_at_the_latest() -> None:
    """What does not answer may keep the interpreter from ending: a blocked thread is joined for ever."""
    timer = threading.Timer(_ENDED_S, os._exit, [1])
    timer.daemon = True
    timer.start()


async def _run_until(stop: asyncio.Event, app: StreamApp) -> BaseException | None:
    """Why the worker has to end; None for a signal."""
    asked: asyncio.Future[Any] = asyncio.ensure_future(stop.wait())
    starting: asyncio.Future[Any] = asyncio.ensure_future(_start(app))
    watching: asyncio.Future[BaseException] = asyncio.ensure_future(watch(app))
    try:
        await asyncio.wait((asked, starting, app.failed), return_when=asyncio.FIRST_COMPLETED)
        if starting.done() and (error := starting.exception()) is not None:
            return app.failed.result() if app.failed.done() else error
        await asyncio.wait((asked, watching, app.failed), return_when=asyncio.FIRST_COMPLETED)
        if app.failed.done():
            return app.failed.result()
        if watching.done():
            return watching.result()
        return None
    finally:
        for task in (asked, starting, watching):
            task.cancel()


async def _start(app: StreamApp) -> None:
    await app.intake.start()
    await app.start()
    if app.should_stop and not app.crashed:
        raise StreamEndedError("Faust did not start")


async def _shut_down(app: StreamApp, drain_s: float) -> None:
    try:
        await app.batch_consumer.leave(drain_s=min(drain_s, _LONGEST_DRAIN_S), commit_s=_COMMIT_S, leave_s=_LEAVE_S)
        if not await at_most(_STOP_S, app.stop()):
            log.debug("Faust's services did not stop in time and are left behind")
    except Exception:
        log.exception("the shutdown was not clean; what was not committed will be read again")
