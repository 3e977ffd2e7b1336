"""Make the worker's two Meilisearch keys from an administrator's key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class WorkerKeys:
    """The two keys of a worker.

    Attributes:
        worker: writes to the declared indexes, and can't create one.
        scratch: creates, fills and deletes indexes named `scratch-*`, and nothing else.
    """

    worker: str = field(repr=False)
    scratch: str = field(repr=False)


class KeyMaker(Protocol):
    """A Meilisearch with an administrator's key. Raises SinkDenied where the key may not make keys, and SinkUnavailable."""

    async def make_worker_keys(self, index_uids: Sequence[str]) -> WorkerKeys:
        """The same two keys again where they exist already with the same rights."""
        ...


@dataclass(frozen=True, slots=True)
class KeysReport:
    """The keys, ready for the worker's environment. Never logged.

    Attributes:
        instance: which Meilisearch, as the configuration names it.
        environment: (variable, key) pairs.
    """

    instance: str
    index_uids: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = field(repr=False)


async def make_keys(
    maker: KeyMaker, *, instance: str, index_uids: Sequence[str], key_variable: str, scratch_variable: str
) -> KeysReport:
    """Keys for one Meilisearch instance, under the names of the variables that the configuration reads."""
    keys = await maker.make_worker_keys(index_uids)
    return KeysReport(instance, tuple(index_uids), ((key_variable, keys.worker), (scratch_variable, keys.scratch)))
