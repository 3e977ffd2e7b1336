"""What is done to the parts: each fault has a moment at which it begins and one at which everything is there again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from random import Random

import httpx

from sync_worker.testing.stack import Kind, Part
from sync_worker.testing.torture.site import SESSION_S, Crew, Site


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        kind: for the report, as `kafka killed`.
        target: what it concerns; two faults at once never concern the same.
        done: does it and, when it is left, makes it good again.
        lasts_s: shortest and longest time between the two.
        weight: how often it is drawn, beside the others.
    """

    kind: str
    target: str
    done: Callable[[], AbstractContextManager[None]]
    lasts_s: tuple[float, float]
    weight: float = 1.0


def faults(site: Site, crew: Crew) -> list[Fault]:
    """Everything that can be done here: nothing is done to parts that were given from outside, and the Meilisearch double, which
    keeps nothing on disk, is only stalled."""
    made: list[Fault] = []
    for part in site.stack.parts:
        if part.kind is Kind.OUTSIDE:
            continue
        made.append(Fault(f"{part.name} stalled", part.name, partial(_stalled, part), (7, SESSION_S + 5)))
        if part.kind is not Kind.DOUBLE:
            made.append(Fault(f"{part.name} killed", part.name, partial(_down, part, part.kill), (0, 6)))
            made.append(Fault(f"{part.name} restarted", part.name, partial(_down, part, part.stop), (0, 3), 0.5))
    for number in range(crew.size):
        target = f"worker {number}"
        made += [
            Fault("worker killed", target, partial(_without, crew, partial(crew.kill, number)), (0, 4), 0.8),
            Fault("worker stopped", target, partial(_without, crew, partial(crew.stop, number)), (0, 2), 0.6),
            Fault("worker stalled", target, partial(_asleep, crew, number), (SESSION_S + 1, SESSION_S + 6), 0.8),
        ]
    made += [
        Fault("connector restarted", "connect", partial(_asked, site, "restart?includeTasks=true"), (0, 0), 1.5),
        Fault("task restarted", "connect", partial(_asked, site, "tasks/0/restart"), (0, 0), 2.0),
        Fault("connector paused", "connect", partial(_paused, site), (1, 4), 0.7),
    ]
    return made


def draw(random: Random, kinds: list[Fault]) -> list[Fault]:
    """One fault; every fourth time a second one that concerns something else."""
    first = random.choices(kinds, [kind.weight for kind in kinds])[0]
    if random.random() < 0.75:
        return [first]
    others = [kind for kind in kinds if kind.target != first.target]
    return [first, random.choices(others, [kind.weight for kind in others])[0]]


def restart_failed_tasks(site: Site) -> int:
    """What whoever is alarmed by a FAILED task does; how many there were."""
    with suppress(httpx.HTTPError):
        status = httpx.get(f"{site.connector_url}/status", timeout=5).json()
        failed = [task["id"] for task in status.get("tasks", ()) if task["state"] == "FAILED"]
        if failed or status.get("connector", {}).get("state") == "FAILED":
            httpx.post(f"{site.connector_url}/restart?includeTasks=true&onlyFailed=true", timeout=20)
        return len(failed)
    return 0


@contextmanager
def _down(part: Part, away: Callable[[], None]) -> Iterator[None]:
    away()
    try:
        yield
    finally:
        part.start()


@contextmanager
def _stalled(part: Part) -> Iterator[None]:
    part.pause()
    try:
        yield
    finally:
        part.resume()
        part.start()


@contextmanager
def _without(crew: Crew, away: Callable[[], None]) -> Iterator[None]:
    away()
    try:
        yield
    finally:
        crew.tend()


@contextmanager
def _asleep(crew: Crew, number: int) -> Iterator[None]:
    crew.pause(number)
    try:
        yield
    finally:
        crew.resume(number)


@contextmanager
def _asked(site: Site, verb: str) -> Iterator[None]:
    """Connect refuses while it is busy with what it was asked before."""
    with suppress(httpx.HTTPError):
        httpx.post(f"{site.connector_url}/{verb}", timeout=20)
    yield


@contextmanager
def _paused(site: Site) -> Iterator[None]:
    with suppress(httpx.HTTPError):
        httpx.put(f"{site.connector_url}/pause", timeout=20)
    try:
        yield
    finally:
        _resume(site)


def _resume(site: Site) -> None:
    for _ in range(60):
        try:
            httpx.put(f"{site.connector_url}/resume", timeout=20).raise_for_status()
            return
        except httpx.HTTPError:
            continue
