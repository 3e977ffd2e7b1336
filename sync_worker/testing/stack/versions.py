"""The one place for the versions of the parts. A test holds the jars, `docker-compose.yml` and the workflow to it."""

from __future__ import annotations

from typing import Final

POSTGRESQL: Final = "18"
KAFKA: Final = "4.3.1"
DEBEZIUM: Final = "3.7.0.Final"
MEILISEARCH: Final = "1.50.0"
