"""What librdkafka reports, in the words of `sync_worker.errors`."""

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException

from sync_worker.errors import ConfigurationError, LogUnavailable, SyncWorkerError

_CREDENTIALS = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError._SSL,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError.ILLEGAL_SASL_STATE,
        KafkaError.SECURITY_DISABLED,
    }
)
_SETTINGS = frozenset(
    {
        KafkaError._INVALID_ARG,
        KafkaError._UNSUPPORTED_FEATURE,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.INVALID_CONFIG,
        KafkaError.INVALID_PARTITIONS,
    }
)

# Rights can be taken from a running worker, so these hold it: the next attempt goes through once they are given back.
_RIGHTS = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    }
)
_TOO_LARGE = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE})


class Faults:
    """Translates one client's errors.

    librdkafka goes on trying when its credentials are refused, tells so beside the request, and lets the request time out. So
    the refusal is remembered (this object is the client's `error_cb`) and stands for the time-outs until something succeeds.
    """

    def __init__(self, brokers: str) -> None:
        self.brokers = brokers
        self._refusal: KafkaError | None = None

    def __call__(self, error: KafkaError) -> None:
        if error.code() in _CREDENTIALS:
            self._refusal = error

    def succeeded(self) -> None:
        self._refusal = None

    def translate(self, error: KafkaException | KafkaError, doing: str) -> SyncWorkerError:
        """The error to raise; `doing` completes "Kafka at HOST:PORT failed while …"."""
        cause = error.args[0] if isinstance(error, KafkaException) else error
        if self._refusal is not None and cause.code() not in _SETTINGS:
            cause = self._refusal
        told = f"{cause.str()} ({cause.name()})"
        if cause.code() in _CREDENTIALS:
            return ConfigurationError(
                [f"[kafka] the brokers refuse the credentials: {told}"], remedy="Correct the security settings in [kafka]."
            )
        if cause.code() in _SETTINGS:
            return ConfigurationError([f"[kafka] {told}, while {doing}"], remedy="Correct the settings in [kafka].")
        remedy = ""
        if cause.code() in _RIGHTS:
            remedy = "Give the worker's Kafka user the right that is named here."
        elif cause.code() in _TOO_LARGE:
            remedy = "Raise max.message.bytes of the dead-letter topic above the data topics' by 128 KiB."
        return LogUnavailable(f"Kafka at {self.brokers} failed while {doing}: {told}", remedy=remedy)
