"""Virtual time and a seeded scheduler: the only file that knows the library `detangle`.

Everything that is left to chance in a run is asked here, so that a run is described by its seed, or by the list of
what was chosen. 0 always is the plain case: tasks in asyncio's own order, no fault, no delay.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import detangle
from detangle import Replay, SimConfig, Strategy, decode_token, encode_token, execute

_MAX_STEPS = 60_000
_MAX_TIME_S = 3_000.0
_SEED = "s"
_LEFT_OPEN = "while closing async generator"


class _Seeded(Strategy):
    """Choices at random; tasks in an order that suits the seed: as asyncio has it, nearly so, or by standing priorities."""

    name = "seeded"

    def __init__(self, seed: int) -> None:
        self._random = Random(seed).random
        self._deviate = (0.0, 0.03, 0.3, 1.0)[seed % 4]
        self._priorities: dict[int, float] | None = {} if seed % 8 == 7 else None

    def schedule(self, lanes: Sequence[Any]) -> int:
        random = self._random
        if self._priorities is not None:
            return self._by_priority(lanes, self._priorities)
        if self._deviate == 0.0 or random() >= self._deviate:
            return 0
        return int(random() * len(lanes))

    def _by_priority(self, lanes: Sequence[Any], priorities: dict[int, float]) -> int:
        random = self._random
        best, best_priority = 0, -1.0
        for position, lane in enumerate(lanes):
            priority = priorities.setdefault(lane.id, random())
            if priority > best_priority:
                best, best_priority = position, priority
        if random() < 0.02:
            priorities[lanes[best].id] = random() * 0.1
        return best

    def choose(self, n: int, kind: str) -> int:
        return int(self._random() * n)

    def flip(self, p: float, kind: str) -> bool:
        return self._random() < p


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one run ended. `problem` is empty where nothing is wrong; `steps` are those of tasks and callbacks."""

    token: str
    problem: str
    steps: int
    virtual_s: float
    choices: tuple[int, ...] = ()


def token_of(seed: int) -> str:
    return f"{_SEED}{seed}"


def run(main: Callable[[], Coroutine[Any, Any, None]], token: str) -> Outcome:
    """One run of `main` in a fresh world of its own, as the token says: `s<seed>`, or a list of choices in detangle's form."""
    strategy: Strategy = _Seeded(int(token[1:])) if token.startswith(_SEED) else Replay(decode_token(token))
    strategy.start(0)
    return _outcome(main, token, strategy)


def _outcome(main: Callable[[], Coroutine[Any, Any, None]], token: str, strategy: Strategy) -> Outcome:
    config = SimConfig(max_steps=_MAX_STEPS, max_time=_MAX_TIME_S, seed_random=True)
    result = execute(main, config=config, strategy=strategy)
    # Closing what a dead process left half done is the library's affair, and no part of the run.
    failures = [failure for failure in (result.failure, *result.secondary) if failure and _LEFT_OPEN not in failure.message]
    failure, problem = failures[0] if failures else None, ""
    if failure is not None:
        problem = f"{failure.kind}: {failure.message}"
        if failure.kind in ("exception", "callback-error", "unobserved-exception") and not isinstance(
            failure.exception, Violation
        ):
            problem += "\n" + "".join(traceback.format_exception(failure.exception))
    return Outcome(token, problem, result.steps, result.virtual_time, tuple(result.values) if problem else ())


def shrink(
    main: Callable[[], Coroutine[Any, Any, None]], outcome: Outcome, same: Callable[[str], bool], attempts: int
) -> Outcome:
    """The outcome of a simpler run that is wrong in the same way: choices set back to the plain case, in ever smaller pieces."""
    best = outcome
    size = max(1, len(best.choices) // 2)
    while size and attempts > 0:
        start = 0
        while start < len(best.choices) and attempts > 0:
            values = list(best.choices)
            if any(values[start : start + size]):
                values[start : start + size] = [0] * len(values[start : start + size])
                attempts -= 1
                found = _outcome(main, encode_token(values), Replay(values))
                if found.problem and same(found.problem) and sum(map(bool, found.choices)) < sum(map(bool, best.choices)):
                    best = found
            start += size
        size //= 2
    return Outcome(encode_token(best.choices), best.problem, best.steps, best.virtual_s, best.choices)


class Violation(AssertionError):
    """Something that must never happen has happened."""


def choose(n: int) -> int:
    """A number from 0 to n - 1; 0 is the plain case."""
    return detangle.current_loop().choose(n, "data")


def chance(probability: float) -> bool:
    """Whether something out of the ordinary happens."""
    return detangle.current_loop().flip(probability, "data")


def pick(options: Sequence[Any]) -> Any:
    return options[choose(len(options))]


def now() -> float:
    """Virtual seconds since the run began."""
    return asyncio.get_running_loop().time()


def after(seconds: float, what: Callable[[], None]) -> None:
    """Call `what` in so many virtual seconds."""
    asyncio.get_running_loop().call_later(seconds, what)


def after_each_step(check: Callable[[], object], name: str) -> None:
    """Raise from `check` to end the run."""
    detangle.invariant(check, name)


_story: list[str] | None = None


def tell_the_story(lines: list[str] | None) -> None:
    """From now on write down what happens; None ends it."""
    global _story
    _story = lines


def say(what: str, *about: object) -> None:
    """A line for whoever replays a run; costs nothing while nobody does."""
    if _story is not None:
        _story.append(f"{now():9.3f}  {what} {' '.join(map(str, about))}")
