"""The Faust app: one agent that hands record batches to the intake."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, cast

import faust
from faust.app.base import BootStrategy
from faust.streams import Stream
from faust.types import StreamT
from mode.supervisors import CrashingSupervisor
from mode.utils.logging import get_logger

from sync_worker.ports import Intake
from sync_worker.stream.consumer import RecordBatchConsumer, RecordBatchTransport
from sync_worker.stream.lanes import Lanes
from sync_worker.stream.membership import GroupMembership
from sync_worker.stream.quiet import quiet_libraries
from sync_worker.stream.settings import StreamSettings

_A_DAY_S = 86_400.0


class _Boot(BootStrategy):
    """Only what consumes: no producer, no web server, no reply consumer, no leader election."""

    enable_kafka_producer = False
    enable_web = False

    def kafka_consumer(self) -> Iterable[Any]:
        return [self.app.consumer]


class _Untouched(faust.Schema[Any, Any]):
    """Passes a delivery through: a codec would see bytes, and a decode error would acknowledge."""

    def compile(self, app: Any, **_: Any) -> Any:
        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return app.create_event(None, message.value, (), message)

        return decode


class StreamApp(faust.App):
    """Faust with our transport. `failed` is done once anything has ended that should not have."""

    logger = get_logger("faust.app")
    BootStrategy = _Boot

    def __init__(self, settings: StreamSettings, intake: Intake, membership: GroupMembership) -> None:
        self.settings = settings
        self.intake = intake
        self.membership = membership
        self.failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self.lanes = Lanes(intake, settings.buffer_bytes, on_room=self._on_room, on_failure=self.fail)
        super().__init__(
            settings.group,
            broker=[f"kafka://{server}" for server in settings.bootstrap_servers],
            store="memory://",
            web_enabled=False,
            topic_disable_leader=True,
            topic_allow_declare=False,
            stream_wait_empty=False,
            stream_recovery_delay=0.0,
            stream_buffer_maxsize=16,
            agent_supervisor=CrashingSupervisor,
            broker_commit_interval=settings.commit_interval_s,
            broker_session_timeout=settings.session_timeout_s,
            # Faust ends its recovery without a line when finding the start positions takes longer; we wait for the broker.
            broker_request_timeout=_A_DAY_S,
        )

    def fail(self, reason: BaseException) -> None:
        """Note why the worker has to end. The first reason counts."""
        if not self.failed.done():
            self.failed.set_result(reason)

    @property
    def batch_consumer(self) -> RecordBatchConsumer:
        consumer = self.consumer
        assert isinstance(consumer, RecordBatchConsumer)
        return consumer

    def _on_room(self) -> None:
        self.batch_consumer.lane_has_room()

    def _new_transport(self) -> RecordBatchTransport:
        return RecordBatchTransport(self.conf.broker_consumer, self)

    def _create_directories(self) -> None:
        """Nothing is stored on disk."""


def build_app(settings: StreamSettings, intake: Intake, membership: GroupMembership) -> StreamApp:
    """The app, not started. Has to be called on the loop that it will run on.

    `membership` is what the intake acknowledges to; it belongs to this app from now on.
    """
    quiet_libraries()
    app = StreamApp(settings, intake, membership)
    topic = app.topic(*settings.topics, schema=_Untouched(key_type=bytes, value_type=bytes))

    @app.agent(topic, name="records", concurrency=1, supervisor_strategy=CrashingSupervisor)
    async def records(stream: StreamT[Any]) -> None:
        async for delivery in cast("Stream[Any]", stream).noack():
            app.batch_consumer.hand_over(delivery)

    return app
