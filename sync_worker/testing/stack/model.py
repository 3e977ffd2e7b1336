"""A stack as tests, demo and benchmarks see it."""

from __future__ import annotations

from dataclasses import dataclass

from sync_worker.testing.stack.part import Kind, Part

PARTS = ("postgres", "kafka", "connect", "meilisearch")


@dataclass(frozen=True, slots=True)
class Stack:
    """Addresses, and the parts to stop, kill, pause and start again.

    Attributes:
        database_url: the source, `postgresql://…`, a superuser.
        state_url: the state database, `postgresql://…` or `sqlite:///…`.
        meili_key: Meilisearch's master key.
        connect_database_url: the source as Connect reaches it: `connector.database_url` of the configuration.
        connect_kafka_bootstrap: Kafka as Connect reaches it: `connector.bootstrap_servers`. Both differ from what the host sees
            only where the parts are containers.
    """

    kafka_bootstrap: str
    connect_url: str
    database_url: str
    meili_url: str
    meili_key: str
    state_url: str
    connect_database_url: str
    connect_kafka_bootstrap: str
    postgres: Part
    kafka: Part
    connect: Part
    meilisearch: Part

    @property
    def parts(self) -> tuple[Part, ...]:
        return (self.postgres, self.kafka, self.connect, self.meilisearch)

    @property
    def environment(self) -> dict[str, str]:
        """What `.local/env` holds."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka_bootstrap,
            "CONNECT_URL": self.connect_url,
            "DATABASE_URL": self.database_url,
            "MEILI_URL": self.meili_url,
            "MEILI_API_KEY": self.meili_key,
            "STATE_URL": self.state_url,
            "CONNECT_DATABASE_URL": self.connect_database_url,
            "CONNECT_KAFKA_BOOTSTRAP_SERVERS": self.connect_kafka_bootstrap,
            "SYNC_WORKER_STACK_POSTGRES": str(self.postgres.kind),
            "SYNC_WORKER_STACK_KAFKA": str(self.kafka.kind),
            "SYNC_WORKER_STACK_CONNECT": str(self.connect.kind),
            "SYNC_WORKER_STACK_MEILI": str(self.meilisearch.kind),
        }

    @property
    def has_real_meilisearch(self) -> bool:
        """False where it is the protocol double. What was given from outside is taken for real."""
        return self.meilisearch.kind is not Kind.DOUBLE
