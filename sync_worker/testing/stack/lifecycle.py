"""Bring a stack up, take it down, say how it is."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event

from sync_worker.testing.stack import meilisearch, postgres
from sync_worker.testing.stack.assembly import Assembly
from sync_worker.testing.stack.containers import Compose
from sync_worker.testing.stack.jars import to_stderr
from sync_worker.testing.stack.model import PARTS, Stack
from sync_worker.testing.stack.part import Kind, Part, checkout
from sync_worker.testing.stack.place import Place
from sync_worker.testing.stack.process import Daemon, marked_processes


def default_home() -> Path:
    """The folder of the stack that `make up` starts."""
    return checkout() / ".local"


def up(
    home: Path,
    *,
    parts: Collection[str] = PARTS,
    environment: Mapping[str, str] | None = None,
    say: Callable[[str], None] = to_stderr,
    answered: Callable[[Stack, Part], None] = lambda _stack, _part: None,
) -> Stack:
    """Bring up the parts that are not yet running, and wait until each answers. Idempotent.

    Args:
        home: the stack's folder.
        parts: names from PARTS; the others are neither started nor waited for.
        environment: what was given from outside, the process's own by default.
        answered: told of each part as soon as it answers, from a thread of its own: Connect takes much longer than PostgreSQL.

    Raises StackError where a part cannot be had or does not come up; what this call started is stopped again; logs and data stay.
    """
    place = Place(home)
    with place.locked():
        assembly = Assembly(place, os.environ if environment is None else environment, parts, say)
        stack = assembly.stack()
        wanted = [part for part in stack.parts if part.name in parts]
        ours = [part for part in wanted if part.kind is not Kind.OUTSIDE and not part.is_running()]
        with _stopped_on_failure(ours, say):
            assembly.start_containers(wanted)
            _start_all(wanted, lambda part, given_up: _start(stack, part, say, answered, given_up))
        if set(parts) == set(PARTS):
            place.write_env(stack.environment, given=assembly.given)
    if stack.meilisearch in wanted and not stack.has_real_meilisearch:
        say(f"meilisearch: THIS IS A PROTOCOL DOUBLE, not a server. For a real one {meilisearch.HOW_TO_GET_THE_REAL_ONE}")
    return stack


def down(home: Path, *, say: Callable[[str], None] = to_stderr) -> None:
    """Stop everything that belongs to this folder, also what a killed `up` left behind. Data stays."""
    place = Place(home)
    if not home.exists():
        return
    with place.locked():
        daemons = [Daemon(home, "connect"), Daemon(home, "kafka"), Daemon(home, "meilisearch"), postgres.daemon(home)]
        running = [daemon for daemon in daemons if daemon.process()]
        with ThreadPoolExecutor(len(daemons)) as pool:
            list(pool.map(lambda daemon: _stop(daemon, say), running))
        Compose(home).down()
        for process in marked_processes(str(home)):
            with contextlib.suppress(Exception):
                process.kill()
        place.remove_env()


def remove(home: Path) -> None:
    """Take it down and remove its folder with all data."""
    down(home, say=lambda _: None)
    if home.exists():
        Compose(home).down(with_data=True)
    Place(home).remove()


@contextlib.contextmanager
def owned_home(root: Path, name: str) -> Iterator[Path]:
    """A folder for a stack that lives as long as this process.

    What earlier owners left behind when they were killed is removed first. Ownership is a lock on a file, which dies with
    its owner.
    """
    root.mkdir(parents=True, exist_ok=True)
    remove_orphans(root)
    home = root / f"{name}-{os.getpid()}"
    home.mkdir()
    # Locked before it bears the name by which others look for orphans: two owners may begin at once.
    with (home / "owner.part").open("w") as owner:
        fcntl.flock(owner, fcntl.LOCK_EX)
        (home / "owner.part").rename(home / "owner")
        try:
            yield home
        finally:
            remove(home)


def remove_orphans(root: Path) -> None:
    """Take down and remove the stacks of owners that are gone."""
    for mark in root.glob("*/owner"):
        with contextlib.suppress(BlockingIOError, FileNotFoundError), mark.open("r+") as owner:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove(mark.parent)


def status(home: Path) -> list[str]:
    """One line for each part of a stack that is up, whether its process runs or not; empty where none is up."""
    place = Place(home)
    written = place.read_env()
    lines = []
    for name, variable in _ADDRESSES.items():
        kind = written.get(f"SYNC_WORKER_STACK_{'MEILI' if name == 'meilisearch' else name.upper()}")
        if kind is None:
            continue
        if kind == Kind.CONTAINER:
            state = "running" if Compose(home).is_running(name) else "NOT RUNNING"
        elif kind == Kind.OUTSIDE:
            state = "not ours"
        else:
            state = "running" if Daemon(home, name).process() else "NOT RUNNING"
        lines.append(f"{name}: {state} ({kind}) {_without_password(written[variable])}")
    return lines


_ADDRESSES = {
    "postgres": "DATABASE_URL",
    "kafka": "KAFKA_BOOTSTRAP_SERVERS",
    "connect": "CONNECT_URL",
    "meilisearch": "MEILI_URL",
}


def _without_password(address: str) -> str:
    return re.sub(r"(://[^:@/]*):.*@", r"\1:***@", address)


def _start(
    stack: Stack,
    part: Part,
    say: Callable[[str], None],
    answered: Callable[[Stack, Part], None],
    given_up: Callable[[], bool],
) -> None:
    began = time.monotonic()
    say(f"{part.name}: starting ({part.kind})" if not part.is_running() else f"{part.name}: is running ({part.kind})")
    part.start(given_up)
    say(f"{part.name}: answers after {time.monotonic() - began:.1f} s")
    answered(stack, part)


def _start_all(parts: Collection[Part], start: Callable[[Part, Callable[[], bool]], None]) -> None:
    """Start all at once. The first that fails ends the waiting for the others; its error is raised."""
    given_up = Event()
    with ThreadPoolExecutor(len(PARTS)) as pool:
        try:
            starts = [pool.submit(start, part, given_up.is_set) for part in parts]
            for done in wait(starts, return_when=FIRST_EXCEPTION).done:
                done.result()
        except BaseException:
            given_up.set()
            raise


@contextlib.contextmanager
def _stopped_on_failure(parts: Collection[Part], say: Callable[[str], None]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        for part in parts:
            if part.is_running():
                part.kill()
                say(f"{part.name}: stopped again")
        raise


def _stop(daemon: Daemon, say: Callable[[str], None]) -> None:
    daemon.stop()
    say(f"{daemon.name}: stopped")
