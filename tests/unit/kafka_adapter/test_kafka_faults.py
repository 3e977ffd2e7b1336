"""Every error of librdkafka reaches the pipeline in the project's words."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException

from sync_worker.adapters.kafka import KafkaDeadLetters, KafkaLog, KafkaTopics
from sync_worker.adapters.kafka.fault import Faults
from sync_worker.errors import ConfigurationError, LogUnavailable

CODES = {name: code for name, code in vars(KafkaError).items() if isinstance(code, int)}
MENDED_IN_A_FILE = {
    "_AUTHENTICATION",
    "_INVALID_ARG",
    "_SSL",
    "_UNSUPPORTED_FEATURE",
    "ILLEGAL_SASL_STATE",
    "INVALID_CONFIG",
    "INVALID_PARTITIONS",
    "SASL_AUTHENTICATION_FAILED",
    "SECURITY_DISABLED",
    "TOPIC_EXCEPTION",
    "UNSUPPORTED_SASL_MECHANISM",
}


def test_each_code_is_translated() -> None:
    """What a file mends ends the start; all else holds the worker, so that nothing is lost while it lasts."""
    assert len(CODES) > 100
    found = {
        name: type(Faults("127.0.0.1:1").translate(KafkaException(KafkaError(code)), "reading")) for name, code in CODES.items()
    }
    assert {name for name, kind in found.items() if kind is ConfigurationError} == MENDED_IN_A_FILE
    assert {kind for name, kind in found.items() if name not in MENDED_IN_A_FILE} == {LogUnavailable}


def test_refused_credentials_are_named_though_the_request_times_out() -> None:
    """librdkafka tells of a refusal beside the request and tries on: without it an operator would look for a network fault."""
    faults = Faults("127.0.0.1:1")
    faults(KafkaError(KafkaError._TRANSPORT))
    assert isinstance(faults.translate(KafkaError(KafkaError._TIMED_OUT), "reading"), LogUnavailable)
    faults(KafkaError(KafkaError._AUTHENTICATION, "wrong password"))
    told = faults.translate(KafkaError(KafkaError._TIMED_OUT), "reading")
    assert isinstance(told, ConfigurationError)
    assert "wrong password" in str(told)
    faults.succeeded()
    assert isinstance(faults.translate(KafkaError(KafkaError._TIMED_OUT), "reading"), LogUnavailable)


@pytest.mark.parametrize("security", [{"nonsense": "1"}, {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN"}])
def test_settings_that_librdkafka_refuses_are_a_configuration_error(security: dict[str, str]) -> None:
    """Exit 2 before anything is consumed."""
    with pytest.raises(ConfigurationError, match=r"\[kafka\]"):
        KafkaLog("127.0.0.1:1", "group", security)
    with pytest.raises(ConfigurationError, match=r"\[kafka\]"):
        KafkaTopics("127.0.0.1:1", security)
    with pytest.raises(ConfigurationError, match=r"\[kafka\]"):
        KafkaDeadLetters("127.0.0.1:1", "letters", security, max_record_bytes=1_000_000)


def test_brokers_that_do_not_answer_are_named() -> None:
    """With their address: the configuration may hold another one than its reader thinks."""
    told = Faults("kafka.example:9092").translate(KafkaError(KafkaError._TRANSPORT), "describing the topics")
    assert told.message.startswith("Kafka at kafka.example:9092 failed while describing the topics: ")
