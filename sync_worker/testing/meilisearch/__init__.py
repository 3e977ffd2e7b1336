"""A protocol double of Meilisearch 1.50 for tests and for machines that have no server. Not a search engine."""

from sync_worker.testing.meilisearch.core import State
from sync_worker.testing.meilisearch.double import MeilisearchDouble
from sync_worker.testing.meilisearch.errors import ApiError
from sync_worker.testing.meilisearch.faults import (
    HoldAnswer,
    LoseAnswer,
    LoseRequest,
    Operation,
    Reject,
    RespondSlowly,
    Strike,
)

__all__ = [
    "ApiError",
    "HoldAnswer",
    "LoseAnswer",
    "LoseRequest",
    "MeilisearchDouble",
    "Operation",
    "Reject",
    "RespondSlowly",
    "State",
    "Strike",
]
