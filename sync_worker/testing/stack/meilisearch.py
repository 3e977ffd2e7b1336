"""Meilisearch, in this order of choice: given, container, on PATH, the project's release, the protocol double."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from sync_worker.testing.stack import versions
from sync_worker.testing.stack.part import Kind, NativePart
from sync_worker.testing.stack.process import Daemon, StackError

MAX_INDEXING_MEMORY = "1GiB"
"""A tenth of the latency of the default, which takes two thirds of the machine's memory into account for every batch."""
HOW_TO_GET_THE_REAL_ONE = (
    "set MEILI_URL and MEILI_API_KEY, start Docker, put `meilisearch` on PATH, "
    f"or set MEILI_DOWNLOAD=1 to fetch the project's release {versions.MEILISEARCH}"
)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which Meilisearch to use; `program` is the one to run, for a server of ours."""

    kind: Kind
    program: Path | None = None
    download: bool = False


def choose(environment: Mapping[str, str], *, containers: bool, which: Callable[[str], str | None] = shutil.which) -> Choice:
    """The first that can be had. `environment` is the caller's, without what a stack of this checkout has put there."""
    if environment.get("MEILI_URL"):
        return Choice(Kind.OUTSIDE)
    if containers:
        return Choice(Kind.CONTAINER)
    if found := which("meilisearch"):
        return Choice(Kind.SERVER, Path(found))
    if environment.get("MEILI_DOWNLOAD") == "1":
        return Choice(Kind.SERVER, download=True)
    return Choice(Kind.DOUBLE)


class Server(NativePart):
    name = "meilisearch"
    kind = Kind.SERVER

    def __init__(self, home: Path, port: int, key: str, program: Path) -> None:
        super().__init__(Daemon(home, self.name))
        self._folder = home / "data" / self.name
        self._port, self._key, self._program = port, key, program

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def launch(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._daemon.start(
            [
                self._program,
                "--no-analytics",
                *("--http-addr", f"127.0.0.1:{self._port}"),
                *("--db-path", self._folder / "data.ms"),
                *("--dump-dir", self._folder / "dumps"),
                *("--snapshot-dir", self._folder / "snapshots"),
            ],
            # Not on the command line, which every user of the machine can read.
            environment={"MEILI_MASTER_KEY": self._key, "MEILI_MAX_INDEXING_MEMORY": MAX_INDEXING_MEMORY},
        )

    def answers(self) -> bool:
        return meilisearch_answers(self.url, self._key)


class Double(NativePart):
    name = "meilisearch"
    kind = Kind.DOUBLE

    def __init__(self, home: Path, port: int, key: str) -> None:
        super().__init__(Daemon(home, self.name))
        self._port, self._key = port, key

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def launch(self) -> None:
        module = "sync_worker.testing.meilisearch"
        self._daemon.start([sys.executable, "-m", module, "--port", str(self._port), "--master-key", self._key])

    def answers(self) -> bool:
        return meilisearch_answers(self.url, self._key)


def meilisearch_answers(url: str, key: str) -> bool:
    """Whether a Meilisearch is available there and takes the key."""
    with httpx.Client(base_url=url, timeout=5, headers={"Authorization": f"Bearer {key}"} if key else {}) as client:
        client.get("/version").raise_for_status()
        return bool(client.get("/health").raise_for_status().json()["status"] == "available")


def server_version(url: str, key: str) -> str:
    with httpx.Client(base_url=url, timeout=5, headers={"Authorization": f"Bearer {key}"} if key else {}) as client:
        return str(client.get("/version").raise_for_status().json()["pkgVersion"])


def download(cache: Path, *, say: Callable[[str], None]) -> Path:
    """The release of the pinned version from the project's public release page, fetched once into the cache.

    The project publishes no checksums, so what was fetched must at least start and name the pinned version.
    """
    program = cache / "meilisearch" / versions.MEILISEARCH / "meilisearch"
    if program.exists():
        return program
    asset = f"meilisearch-{_platform()}"
    url = f"https://github.com/meilisearch/meilisearch/releases/download/v{versions.MEILISEARCH}/{asset}"
    say(f"meilisearch: fetching {asset} {versions.MEILISEARCH}")
    program.parent.mkdir(parents=True, exist_ok=True)
    part = program.with_suffix(f".{os.getpid()}.part")
    try:
        with httpx.stream("GET", url, follow_redirects=True, timeout=60) as response, part.open("wb") as file:
            for chunk in response.raise_for_status().iter_bytes(1 << 20):
                file.write(chunk)
        part.chmod(0o755)
        named = program_version(part)
        if named != versions.MEILISEARCH:
            raise StackError(f"{asset} calls itself version {named}, not {versions.MEILISEARCH}")
        part.replace(program)
    except (httpx.HTTPError, OSError) as error:
        raise StackError(f"cannot fetch {url}: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    return program


def program_version(program: Path) -> str:
    """What `--version` says, without the program's name."""
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout.split()[-1]


def _platform() -> str:
    machine = {"x86_64": "amd64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    if sys.platform == "darwin":
        return "macos-apple-silicon" if machine == "aarch64" else "macos-amd64"
    return f"linux-{machine}"
