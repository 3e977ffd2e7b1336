"""The jars of the native stack: a committed list, fetched once into a cache outside the checkout, each checked by its SHA-256."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from maven_artifact import Artifact, Downloader
from maven_artifact.requestor import Requestor
from maven_artifact.resolver import Resolver

from sync_worker.testing.stack.process import StackError

CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 15, 60
ATTEMPTS = 4
PARALLEL = 8


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of a list: `group:artifact:version sha256`."""

    coordinate: str
    sha256: str

    @property
    def path(self) -> str:
        """Where it lies in the cache."""
        group, artifact, version = self.coordinate.split(":")
        return f"{group}/{artifact}-{version}.jar"


class _Requestor(Requestor):  # type: ignore[misc]
    """The library sets no time-outs, so one stalled connection would stall everything."""

    def request(self, url: str, onFail: object, onSuccess: object = None, method: str = "get", **kwargs: object) -> object:  # noqa: N803
        kwargs.setdefault("timeout", (CONNECT_TIMEOUT_S, READ_TIMEOUT_S))
        return super().request(url, onFail, onSuccess, method, **kwargs)


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/sync-worker`, shared by all checkouts."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sync-worker"


def read_list(path: Path) -> tuple[Jar, ...]:
    return tuple(Jar(*line.split()) for line in path.read_text().splitlines() if line)


def fetch(jars: Sequence[Jar], cache: Path, *, say: Callable[[str], None]) -> tuple[Path, ...]:
    """Paths of all jars in the cache, in the order of the list; what is missing or damaged is fetched.

    A fetch that was interrupted goes on where it stopped. Raises StackError where a jar cannot be had, or is not what the
    list says.
    """
    paths = tuple(cache / jar.path for jar in jars)
    missing = [(jar, path) for jar, path in zip(jars, paths, strict=True) if not _is_whole(jar, path)]
    if missing:
        progress = _Progress(len(missing), say)
        # The library reports every file on standard output, which belongs to our caller.
        with contextlib.redirect_stdout(open(os.devnull, "w")), ThreadPoolExecutor(PARALLEL) as pool:
            for done in [pool.submit(_fetch_one, jar, path, progress) for jar, path in missing]:
                done.result()
    return paths


def _fetch_one(jar: Jar, path: Path, progress: _Progress) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    trouble: Exception | None = None
    try:
        for _ in range(ATTEMPTS):
            try:
                _downloader().download(Artifact.parse(jar.coordinate), str(part))
            except Exception as error:  # The library raises Exception itself, and what requests raises while streaming.
                trouble = error
                continue
            found = _sha256(part)
            if found == jar.sha256:
                part.replace(path)
                progress.one_more(path.stat().st_size)
                return
            trouble = StackError(f"its SHA-256 is {found}, the list says {jar.sha256}")
            part.unlink()
        raise StackError(f"cannot fetch {jar.coordinate}: {trouble}") from trouble
    finally:
        part.unlink(missing_ok=True)


def _downloader() -> Downloader:
    downloader = Downloader()
    downloader.requestor = _Requestor()
    downloader.resolver = Resolver(downloader.resolver.base, downloader.requestor)
    return downloader


def _is_whole(jar: Jar, path: Path) -> bool:
    return path.is_file() and _sha256(path) == jar.sha256


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Progress:
    def __init__(self, total: int, say: Callable[[str], None]) -> None:
        self._total, self._say = total, say
        self._done = self._bytes = 0
        self._lock = threading.Lock()

    def one_more(self, size: int) -> None:
        with self._lock:
            self._done += 1
            self._bytes += size
            if self._done % 20 == 0 or self._done == self._total:
                self._say(f"jars: {self._done} of {self._total}, {self._bytes / 1e6:.0f} MB")


def to_stderr(line: str) -> None:
    # One write for text and end of line: parts report from several threads.
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
