"""One way to set up a client of confluent-kafka, and to ask its administration client without blocking."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from sync_worker.adapters.kafka.fault import Faults
from sync_worker.errors import LogUnavailable

ANSWER_S = 10.0
"""Seconds that one request may take before the caller holds."""

_OUTDATED = frozenset({KafkaError.FENCED_LEADER_EPOCH, KafkaError.UNKNOWN_LEADER_EPOCH, KafkaError.NOT_LEADER_FOR_PARTITION})
"""What a client says for ever that remembers a partition's leader from before a broker's restart (librdkafka 2.x, seen)."""

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
_Client = TypeVar("_Client")


def settings(bootstrap: str, security: Mapping[str, str], faults: Faults) -> dict[str, Any]:
    """What every client has. `security` holds librdkafka's own names (`security.protocol`, `sasl.*`, `ssl.*`).

    librdkafka's log goes to stderr past every logger, and what it says comes as exceptions as well, so it is silent.
    """
    return {**security, "bootstrap.servers": bootstrap, "log_level": 0, "error_cb": faults}


def made(make: Callable[[dict[str, Any]], _Client], configuration: dict[str, Any], faults: Faults) -> _Client:
    """The client. Raises ConfigurationError for a property that librdkafka refuses."""
    try:
        return make(configuration)
    except KafkaException as error:
        raise faults.translate(error, "setting up the client") from error


class Administration:
    """Kafka's administration client."""

    def __init__(self, bootstrap: str, security: Mapping[str, str]) -> None:
        self._faults = Faults(bootstrap)
        self._settings = settings(bootstrap, security, self._faults)
        self._client = made(AdminClient, self._settings, self._faults)

    async def ask(
        self,
        request: Callable[[AdminClient], Mapping[_Key, Future[_Value]]],
        doing: str,
        *,
        leaving_out: Collection[int] = (),
    ) -> dict[_Key, _Value]:
        """The answers, without those that failed with an error code in `leaving_out`.

        Raises LogUnavailable, or ConfigurationError where the brokers refuse the credentials.
        """
        answers: dict[_Key, _Value] = {}
        client = self._client
        try:
            # librdkafka sends and answers in threads of its own; nothing here blocks.
            for key, future in request(client).items():
                try:
                    answering = asyncio.wrap_future(future)
                    # Of an answer that comes after its caller has gone, asyncio would complain on stderr.
                    answering.add_done_callback(_heard)
                    answers[key] = await asyncio.wait_for(asyncio.shield(answering), 2 * ANSWER_S)
                except KafkaException as error:
                    if error.args[0].code() not in leaving_out:
                        raise
        except KafkaException as error:
            client.poll(0)  # lets it tell of refused credentials
            if error.args[0].code() in _OUTDATED:
                self._client = made(AdminClient, self._settings, self._faults)
            raise self._faults.translate(error, doing) from error
        except TimeoutError as error:
            raise LogUnavailable(
                f"Kafka at {self._faults.brokers} failed while {doing}: no answer within {2 * ANSWER_S:.0f} s"
            ) from error
        self._faults.succeeded()
        return answers


def _heard(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()
