"""Mistakes in a declaration or a configuration as readable lines: all of them at once, each with what to do."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake.

    Attributes:
        path: keys from the part that was validated down to the mistake.
        what: what is wrong and what to do, as one line.
    """

    path: tuple[str, ...]
    what: str


class ProblemsError(ValueError):
    """Several mistakes found by one validator. Pydantic wraps it; whoever reports unwraps it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{'.'.join(problem.path)}: {problem.what}" for problem in problems))


def suggestion(name: str, known: Collection[str]) -> str:
    """`did you mean …?`, or the list of what there is."""
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else f"known are {', '.join(f'`{item}`' for item in sorted(known))}"
