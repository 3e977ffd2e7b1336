"""What comes of one look at one part of the chain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sync_worker.failure.findings import FindingKind


@dataclass(frozen=True, slots=True)
class Noticed:
    """Something to tell. `words` fill the kind's templates beside the subject."""

    kind: FindingKind
    subject: str
    evidence: str
    words: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Look:
    """The result of one comparison.

    Attributes:
        told: kinds that this look decides about: an open finding of one of them that was not noticed is over, where its proof
            is that it has gone.
        facts: what to record for the next look; None forgets.
    """

    told: frozenset[FindingKind] = frozenset()
    noticed: tuple[Noticed, ...] = ()
    facts: Mapping[tuple[str, str], Any] = field(default_factory=dict)


def lost(indexes: Iterable[str], evidence: str) -> list[Noticed]:
    """Changes that these indexes may never get."""
    return [Noticed(FindingKind.CHANGES_LOST, index, evidence) for index in indexes]
