"""What a user sets up once, through the command line, and the workers, as an orchestrator runs them."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from psycopg import sql

from sync_worker.testing.stack import Stack
from sync_worker.testing.torture.tables import DDL, EMBEDDERS, HOOKS, TABLES, toml

SESSION_S = 6.0
AGAIN_AFTER_S = 2.0
_PROGRAM = (sys.executable, "-m", "sync_worker")


class SetUpError(Exception):
    """The chain could not be built, so nothing was tried."""


@dataclass
class Site:
    """Databases, topics, group and indexes under one name. Everything that it makes, `remove` takes away."""

    stack: Stack
    folder: Path
    batch: int
    name: str = field(default_factory=lambda: f"torture{secrets.token_hex(4)}")

    def __post_init__(self) -> None:
        base = self.stack.database_url.rpartition("/")[0]
        self.database_url, self.state_url = f"{base}/{self.name}", f"{base}/{self.name}_state"
        self.connector_url = f"{self.stack.connect_url}/connectors/{self.name}"
        self.dead_letter_topic = f"{self.name}.dead-letters"
        self._config = self.folder / f"{self.name}.toml"
        self._environment = {**os.environ, "MEILI_MASTER_KEY": self.stack.meili_key}

    def set_up(self) -> None:
        """Raises SetUpError."""
        with psycopg.connect(self.stack.database_url, autocommit=True) as connection:
            for database in (self.name, f"{self.name}_state"):
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            for statement in DDL:
                connection.execute(statement.encode())
        (self.folder / "hooks.py").write_text(HOOKS)
        self._config.write_text(self._configuration())
        self._environment.update(json.loads(self._cli("keys", "--json")))
        self._cli("indexes", "create")
        with self.meilisearch() as client:
            for table in TABLES:
                if table.embeds:
                    client.patch(f"/indexes/{self.uid(table.name)}/settings", json=EMBEDDERS).raise_for_status()
        self._cli("connector", "apply", "--timeout", "120")

    def start_worker(self, number: int) -> tuple[subprocess.Popen[bytes], Path]:
        """The process, and where its lines go."""
        log = self.folder / f"worker-{number}.log"
        with log.open("ab") as to:
            process = subprocess.Popen(
                [*_PROGRAM, "run", "--config", str(self._config)],
                env=self._environment, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=to, stderr=to,
            )  # fmt: skip
        return process, log

    def remove(self) -> None:
        """Take away everything that bears the name. All parts must be running."""
        with suppress(httpx.HTTPError):
            httpx.delete(self.connector_url, timeout=60)
        admin = AdminClient({"bootstrap.servers": self.stack.kafka_bootstrap, "log_level": 0})
        with suppress(KafkaException):
            made = [topic for topic in admin.list_topics(timeout=10).topics if topic.startswith(f"{self.name}.")]
            for deleted in admin.delete_topics(made).values() if made else ():
                deleted.result(30)
        with suppress(httpx.HTTPError), self.meilisearch() as client:
            for index in client.get("/indexes", params={"limit": 10_000}).json()["results"]:
                if index["uid"].startswith(self.name):
                    client.delete(f"/indexes/{index['uid']}")
        with psycopg.connect(self.stack.database_url, autocommit=True) as connection:
            deadline = time.monotonic() + 30
            while not self._slot_is_gone(connection) and time.monotonic() < deadline:
                time.sleep(0.2)
            for database in (self.name, f"{self.name}_state"):
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))

    def uid(self, index: str) -> str:
        return f"{self.name}-{index}"

    def meilisearch(self, timeout_s: float = 60) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.stack.meili_key}"}
        return httpx.Client(base_url=self.stack.meili_url, headers=headers, timeout=timeout_s)

    def documents(self, client: httpx.Client, index: str, fields: list[str] | None = None) -> list[dict[str, Any]]:
        """All of them in one answer, so that it is one moment of the index."""
        asked: dict[str, Any] = {"limit": 1_000_000}
        if fields is not None:
            asked["fields"] = fields
        answer = client.post(f"/indexes/{self.uid(index)}/documents/fetch", json=asked)
        found: list[dict[str, Any]] = answer.raise_for_status().json()["results"]
        return found

    def behind(self) -> dict[str, str]:
        """Data topics whose end the group has not acknowledged: topic → `committed of end`."""
        places = [TopicPartition(f"{self.name}.public.{table.name}", 0) for table in TABLES]
        consumer = Consumer({"bootstrap.servers": self.stack.kafka_bootstrap, "group.id": self.name, "log_level": 0})
        try:
            found = {}
            for place in consumer.committed(places, timeout=10):
                end = consumer.get_watermark_offsets(TopicPartition(place.topic, place.partition), timeout=10)[1]
                if place.offset != end:
                    found[place.topic] = f"{place.offset} of {end}"
            return found
        finally:
            consumer.close()

    def _slot_is_gone(self, connection: psycopg.Connection[Any]) -> bool:
        with suppress(psycopg.errors.ObjectInUse):
            named = [self.name]
            connection.execute("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = %s", named)
            connection.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", named)
            return True
        return False

    def _cli(self, *arguments: str) -> str:
        done = subprocess.run(
            [*_PROGRAM, *arguments, "--config", str(self._config)],
            env=self._environment, cwd=self.folder, capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip
        if done.returncode:
            raise SetUpError(f"sync-worker {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def _configuration(self) -> str:
        sections: dict[str, dict[str, object]] = {
            "kafka": {
                "bootstrap_servers": self.stack.kafka_bootstrap,
                "group": self.name,
                "dead_letter_topic": self.dead_letter_topic,
                "session_timeout_s": SESSION_S,
            },
            "meilisearch": {"url": self.stack.meili_url, "write_timeout_s": 5, "read_timeout_s": 5},
            "state": {"url": self.state_url},
            "source": {"url": self.database_url},
            "connector": {
                "url": self.stack.connect_url,
                "name": self.name,
                "topic_prefix": self.name,
                "database_url": f"{self.stack.connect_database_url.rpartition('/')[0]}/{self.name}",
                "bootstrap_servers": self.stack.connect_kafka_bootstrap,
                "slot": self.name,
                "publication": self.name,
            },
            # Small batches of Debezium's: a restart of its task may then fall between any two events.
            "connector.overrides": {"max.batch.size": str(self.batch), "max.queue.size": str(self.batch * 4)},
            "worker": {"http_port": 0, "log_format": "json"},
        }
        text = "".join(
            f"[{section}]\n" + "".join(f"{json.dumps(key)} = {json.dumps(value)}\n" for key, value in values.items()) + "\n"
            for section, values in sections.items()
        )
        return text + toml(self.name)


@dataclass
class Crew:
    """Two workers, each started again whenever it ended.

    Attributes:
        ended: (exit status, last line) of workers that ended without being asked to.
        quiet: what a worker did that nobody may do: end without a word, or with a status that is not for it.
    """

    site: Site
    size: int = 2
    ended: list[tuple[int, str]] = field(default_factory=list)
    quiet: list[str] = field(default_factory=list)
    _running: dict[int, tuple[subprocess.Popen[bytes], Path]] = field(default_factory=dict)
    _not_before: dict[int, float] = field(default_factory=dict)

    def tend(self) -> None:
        """Start what is not running, as an orchestrator does: what ends at once is not started again at once."""
        for number in range(self.size):
            if number in self._running:
                process, log = self._running[number]
                if (status := process.poll()) is None:
                    continue
                self._running.pop(number)
                self._note_end(status, log)
                self._not_before[number] = time.monotonic() + AGAIN_AFTER_S
            if time.monotonic() >= self._not_before.get(number, 0.0):
                self._running[number] = self.site.start_worker(number)

    def kill(self, number: int) -> None:
        if number in self._running:
            process, _ = self._running.pop(number)
            process.kill()
            process.wait()

    def stop(self, number: int) -> None:
        if number not in self._running:
            return
        process, log = self._running.pop(number)
        began = time.monotonic()
        if process.poll() is not None:
            self._note_end(process.returncode, log)
            return
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            self.quiet.append("a worker did not end within 30 s of SIGTERM")
            return
        if status != 0:
            self.quiet.append(f"a worker that was asked to stop ended with {status} after {time.monotonic() - began:.1f} s")

    def pause(self, number: int) -> None:
        self._signal(number, signal.SIGSTOP)

    def resume(self, number: int) -> None:
        self._signal(number, signal.SIGCONT)

    def kill_all(self) -> None:
        for number in list(self._running):
            self.kill(number)

    def _signal(self, number: int, what: signal.Signals) -> None:
        if number in self._running:
            self._running[number][0].send_signal(what)

    def _note_end(self, status: int, log: Path) -> None:
        last = next((line for line in reversed(log.read_text(errors="replace").splitlines()) if line.strip()), "")
        self.ended.append((status, last[-600:]))
        if status != 1 or not last.startswith("{"):
            self.quiet.append(f"a worker ended by itself with {status}, and its last line is: {last[-600:]}")
