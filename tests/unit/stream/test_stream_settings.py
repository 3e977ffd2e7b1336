"""Security properties, and how the libraries are configured."""

from __future__ import annotations

import asyncio
import logging

import pytest
from confluent_kafka.admin import AdminClient

from sync_worker.errors import ConfigurationError
from sync_worker.stream.client import create_consumer
from sync_worker.stream.quiet import OncePerInterval, quiet_libraries
from sync_worker.stream.settings import StreamSettings, security_arguments


def test_sasl_over_tls() -> None:
    """librdkafka's names, so that one section of the configuration serves both clients."""
    arguments = security_arguments(
        {"security.protocol": "sasl_ssl", "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "u", "sasl.password": "p"}
    )

    assert arguments["security_protocol"] == "SASL_SSL"
    assert arguments["sasl_mechanism"] == "SCRAM-SHA-512"
    assert arguments["sasl_plain_username"] == "u"
    assert arguments["ssl_context"].check_hostname


def test_a_property_that_would_be_ignored_is_refused() -> None:
    """All of them at once."""
    with pytest.raises(ConfigurationError, match=r"ssl\.endpoint.*\n.*ssl\.other"):
        security_arguments({"ssl.other": "x", "ssl.endpoint.identification.algorithm": "none"})


def test_a_missing_certificate_is_a_mistake_of_the_configuration() -> None:
    """Not a traceback of OpenSSL."""
    with pytest.raises(ConfigurationError, match="can't be read"):
        security_arguments({"security.protocol": "SSL", "ssl.ca.location": "/nowhere"})


def test_secrets_are_not_printed() -> None:
    """A settings object ends up in logs."""
    assert "hunter2" not in repr(StreamSettings(("a:1",), "g", ("t",), security={"sasl.password": "hunter2"}))


async def test_a_topic_is_never_created_by_asking_for_it() -> None:
    """The broker would give it its defaults: wrong partitions, wrong retention."""
    cluster = AdminClient({"test.mock.num.brokers": 1, "bootstrap.servers": "", "log_level": 0})
    metadata = await asyncio.to_thread(cluster.list_topics, timeout=10)
    broker = next(iter(metadata.brokers.values()))
    consumer = create_consumer(StreamSettings((f"{broker.host}:{broker.port}",), "group", ("absent",)))
    await consumer.start()
    try:
        await consumer._client.set_topics({"absent"})
        assert consumer._client.cluster.partitions_for_topic("absent") is None
        assert "absent" not in (await asyncio.to_thread(cluster.list_topics, timeout=10)).topics
    finally:
        await consumer.stop()


def test_repeated_messages_are_held_back_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """An outage of a night must not fill the disk with one line."""
    now = [0.0]
    logger = logging.getLogger("test.repeating")
    logger.addFilter(OncePerInterval(10, lambda: now[0]))
    for second in range(25):
        now[0] = float(second)
        logger.warning("no answer from %s", second)
        logger.warning("other")

    assert [record.getMessage() for record in caplog.records if "no answer" in record.getMessage()] == [
        "no answer from 0",
        "no answer from 10 (and 9 more like it)",
        "no answer from 20 (and 9 more like it)",
    ]


def test_the_root_logger_is_left_alone() -> None:
    """Logging belongs to the program, not to Faust."""
    root = logging.getLogger()
    before = (root.level, list(root.handlers))

    quiet_libraries()
    quiet_libraries()

    assert (root.level, list(root.handlers)) == before
    assert len([f for f in logging.getLogger("aiokafka").filters if isinstance(f, OncePerInterval)]) == 1
