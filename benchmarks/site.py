"""The product as a user runs it: a configuration file, the command line, the worker as a process."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
from psycopg import sql

from benchmarks import cities
from benchmarks.cities import DECLARATION, TABLE
from benchmarks.harness import NotMeasuredError, until
from benchmarks.server import Server
from sync_worker.testing.stack import Stack

_PROGRAM = (sys.executable, "-m", "sync_worker")
WORKER = (*_PROGRAM, "run")


@dataclass
class Worker:
    """One `sync-worker run`. `began` is `time.time()` just before it was started."""

    process: subprocess.Popen[bytes]
    log: Path
    began: float

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Its log lines of this event so far."""
        found = []
        for line in self.log.read_text(errors="replace").splitlines():
            with suppress(ValueError):
                entry = json.loads(line)
                if isinstance(entry, dict) and entry.get("event") == event:
                    found.append(entry)
        return found

    def wait_ready(self) -> float:
        """Seconds since 1970 at which its partition was ready."""

        def ready() -> bool:
            if self.process.poll() is not None:
                raise NotMeasuredError(f"the worker ended with {self.process.returncode}: {self.tail()}")
            return bool(self.lines("partition ready"))

        until(ready, "the worker's partition", within_s=90)
        return moment(self.lines("partition ready")[0])

    def tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])

    def flushes(self) -> str:
        """Documents of each flush, in words."""
        return ", ".join(f"{line['document_count']:,}" for line in self.lines("flush applied"))

    def rss_mib(self) -> float:
        return psutil.Process(self.process.pid).memory_info().rss / 2**20

    def processor_s(self) -> float:
        """Seconds of processor time that it used."""
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def moment(line: Mapping[str, Any]) -> float:
    """Seconds since 1970 of a log line."""
    return datetime.fromisoformat(str(line["timestamp"])).timestamp()


@dataclass
class Site:
    """One configuration with a name of its own for everything that it makes."""

    stack: Stack
    folder: Path
    declaration: Mapping[str, Any] = field(default_factory=lambda: DECLARATION)
    worker_settings: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    name: str = field(default_factory=lambda: f"bench{secrets.token_hex(4)}")
    _workers: list[Worker] = field(default_factory=list)
    _has_database: bool = False

    @property
    def topic(self) -> str:
        return f"{self.name}.{TABLE}"

    @property
    def config(self) -> Path:
        return self.folder / f"{self.name}.toml"

    @property
    def database_url(self) -> str:
        return f"{self.stack.database_url.rpartition('/')[0]}/{self.name}"

    def configure(self) -> None:
        """Write the configuration. The state database is the default kind, a file."""
        stack, settings = self.stack, {"http_port": 0, "log_format": "json"} | dict(self.worker_settings)
        sections: dict[str, dict[str, Any]] = {
            "kafka": {
                "bootstrap_servers": stack.kafka_bootstrap,
                "group": self.name,
                "dead_letter_topic": f"{self.name}.dead-letters",
            },
            "meilisearch": {"url": stack.meili_url, "api_key": stack.meili_key, "scratch_key": stack.meili_key},
            "state": {"url": f"sqlite:///{self.folder}/{self.name}.db"},
            "source": {"url": self.database_url},
            "connector": {
                "url": stack.connect_url,
                "name": self.name,
                "topic_prefix": self.name,
                "database_url": f"{stack.connect_database_url.rpartition('/')[0]}/{self.name}",
                "bootstrap_servers": stack.connect_kafka_bootstrap,
                "slot": self.name,
                "publication": self.name,
            },
            "worker": settings,
            "indexes.cities": {"uid": self.name} | dict(self.declaration),
        }
        text = ""
        for section, values in sections.items():
            text += f"[{section}]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in values.items()) + "\n"
        self.config.write_text(text)

    def cli(self, *arguments: str) -> str:
        """Standard output of one command. Raises NotMeasuredError where it fails."""
        done = subprocess.run(
            [*_PROGRAM, *arguments, "--config", str(self.config)],
            cwd=self.folder, env=self._environment, capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip
        if done.returncode:
            raise NotMeasuredError(f"sync-worker {' '.join(arguments)} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def start(self, program: Sequence[str] = WORKER) -> Worker:
        """Start the worker without waiting for anything."""
        log = self.folder / f"{self.name}-{len(self._workers)}.log"
        began = time.time()
        with log.open("wb") as to:
            process = subprocess.Popen(
                [*program, "--config", str(self.config)], cwd=self.folder, env=self._environment, stdout=to, stderr=to
            )
        worker = Worker(process, log, began)
        self._workers.append(worker)
        return worker

    @property
    def _environment(self) -> dict[str, str]:
        # A user's own SYNC_WORKER_… variables must not reach into a benchmark.
        mine = {name: value for name, value in os.environ.items() if not name.startswith("SYNC_WORKER_")}
        here = str(Path(__file__).resolve().parent.parent)
        return mine | {"PYTHONPATH": os.pathsep.join(filter(None, [here, mine.get("PYTHONPATH", "")]))} | dict(self.environment)

    def create_database(self) -> None:
        self._has_database = True
        with psycopg.connect(self.stack.database_url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self.name)))

    def remove(self) -> None:
        """Stop the workers; remove connector, slot and database, so that no WAL is kept for them."""
        for worker in self._workers:
            if worker.process.poll() is None:
                worker.stop()
        if not self._has_database:
            return
        with suppress(httpx.HTTPError):
            httpx.delete(f"{self.stack.connect_url}/connectors/{self.name}", timeout=60)
        with psycopg.connect(self.stack.database_url, autocommit=True) as connection:
            until(lambda: self._drop_slot(connection), f"the slot {self.name} to be free", within_s=60, every_s=0.5)
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(self.name)))

    def _drop_slot(self, connection: psycopg.Connection[Any]) -> bool:
        with suppress(psycopg.errors.ObjectInUse):
            connection.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", [self.name]
            )
            return True
        return False


@contextmanager
def site(stack: Stack, folder: Path, **given: Any) -> Iterator[Site]:
    """A configured site, taken down afterwards."""
    made = Site(stack, folder, **given)
    made.configure()
    try:
        yield made
    finally:
        made.remove()


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(inner) for inner in value) + "]"
    return json.dumps(value)


def started(server: Server, mine: Site, found: Sequence[cities.Row], program: Sequence[str] = WORKER) -> Worker:
    """A worker whose index holds these cities. The site's database is there, and empty."""
    cities.load(mine.database_url, found)
    server.create(mine.name, DECLARATION["settings"])
    worker = mine.start(program)
    mine.cli("connector", "apply")
    worker.wait_ready()
    server.until_searchable(mine.name, len(found), within_s=120)
    return worker
