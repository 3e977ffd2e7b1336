"""Signals to the connector over its Kafka topic: read a table again, pause that, go on, stop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import orjson
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from sync_worker.adapters.kafka.client import made, settings
from sync_worker.adapters.kafka.fault import Faults
from sync_worker.errors import LogUnavailable

_DEADLINE_S = 10.0


class KafkaSignals:
    """Implements `operations.backfill.parts.Signals`.

    Args:
        topic: the connector's `signal.kafka.topic`, with one partition.
        prefix: the connector's `topic.prefix`: it ignores signals with another key.
    """

    def __init__(self, bootstrap: str, topic: str, prefix: str, security: Mapping[str, str]) -> None:
        self._topic = topic
        self._prefix = prefix
        self._faults = Faults(bootstrap)
        self._settings = {
            **settings(bootstrap, security, self._faults),
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 0,
            "delivery.timeout.ms": int(_DEADLINE_S * 900),
            "allow.auto.create.topics": False,
        }

    async def scan(self, signal_id: str, table: str, where: str) -> None:
        """Read the table's rows that fit. Returns once Kafka has the signal; raises LogUnavailable, ConfigurationError.

        Where the answer is lost the signal may be there all the same: the table is read twice then, which does no harm.
        """
        conditions = [{"data-collection": table, "filter": f"({where})"}] if where else []
        # Debezium reads the names as regular expressions.
        data = {"type": "incremental", "data-collections": [table.replace(".", r"\.")], "additional-conditions": conditions}
        await self._send({"id": signal_id, "type": "execute-snapshot", "data": data})

    async def pause(self, signal_id: str) -> None:
        await self._send({"id": signal_id, "type": "pause-snapshot", "data": {"type": "incremental"}})

    async def resume(self, signal_id: str) -> None:
        await self._send({"id": signal_id, "type": "resume-snapshot", "data": {"type": "incremental"}})

    async def stop(self, signal_id: str, table: str) -> None:
        data = {"type": "incremental", "data-collections": [table.replace(".", r"\.")]}
        await self._send({"id": signal_id, "type": "stop-snapshot", "data": data})

    async def _send(self, signal: Mapping[str, object]) -> None:
        value = orjson.dumps(signal)
        # Few and far between: a producer for each leaves none behind that has lost its way meanwhile.
        error = await asyncio.to_thread(self._deliver, value)
        if error is not None:
            raise self._faults.translate(error, f"writing a signal to {self._topic}") from KafkaException(error)
        self._faults.succeeded()

    def _deliver(self, value: bytes) -> KafkaError | None:
        told: list[KafkaError | None] = []

        def confirmed(error: KafkaError | None, _: Message) -> None:
            told.append(error)

        producer = made(Producer, self._settings, self._faults)
        try:
            producer.produce(self._topic, key=self._prefix.encode(), value=value, on_delivery=confirmed)
        except KafkaException as error:
            raise self._faults.translate(error, f"writing a signal to {self._topic}") from error
        producer.flush(_DEADLINE_S)
        if not told:
            raise LogUnavailable(f"a signal to {self._topic} was not confirmed within {_DEADLINE_S:g} s")
        return told[0]
