"""The whole chain as a user runs it: a database, a connector, indexes, workers as processes, and what can be seen of them.

Everything goes through the command line. What a test looks at, it looks at from outside: rows by SQL, documents by
Meilisearch's own interface, offsets by Kafka's, failures in the state database.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx
import psycopg
import stamina
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from psycopg import sql

from sync_worker.testing.stack import Stack

PROGRAM = (sys.executable, "-m", "sync_worker")
SESSION_S = 6


def eventually(condition: Callable[[], Any], within_s: float, what: str | Callable[[], str]) -> Any:
    """The first true value of the condition. What it raises counts as not yet; a wait that fails says what it saw last."""
    deadline = time.monotonic() + within_s
    trouble: Exception | None = None
    while True:
        try:
            if value := condition():
                return value
            trouble = None
        except (httpx.HTTPError, psycopg.Error, KafkaException) as error:
            trouble = error
        if time.monotonic() > deadline:
            said = what if isinstance(what, str) else what()
            raise AssertionError(f"not within {within_s:.0f} s: {said}" + (f" ({trouble!r})" if trouble else ""))
        time.sleep(0.1)


@dataclass
class Worker:
    """One `sync-worker run`."""

    process: subprocess.Popen[bytes]
    log: Path

    def lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """Its log so far: structured lines, or only those of one event."""
        found = []
        for line in self.log.read_text(errors="replace").splitlines():
            with suppress(ValueError):
                entry = json.loads(line)
                if isinstance(entry, dict) and event in (None, entry.get("event")):
                    found.append(entry)
        return found

    @property
    def url(self) -> str:
        def port() -> int | None:
            assert self.process.poll() is None, f"the worker ended with {self.process.returncode}: {self.tail()}"
            return next((line["http_port"] for line in self.lines("started")), None)

        return f"http://127.0.0.1:{eventually(port, 60, lambda: f'the worker serves no pages: {self.tail()}')}"

    def tail(self, count: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])

    def healthz(self) -> int:
        return httpx.get(f"{self.url}/healthz", timeout=10).status_code

    def readyz(self) -> tuple[int, dict[str, Any]]:
        answer = httpx.get(f"{self.url}/readyz", timeout=10)
        return answer.status_code, answer.json()

    def ready(self) -> bool:
        return self.readyz()[0] == 200

    def metric(self, name: str, **labels: str) -> float:
        """Sum over all series of that name that bear these labels."""
        total = 0.0
        for line in httpx.get(f"{self.url}/metrics", timeout=10).text.splitlines():
            series, _, value = line.rpartition(" ")
            if series.partition("{")[0] == name and all(f'{key}="{wanted}"' in series for key, wanted in labels.items()):
                total += float(value)
        return total

    def wait_for_hold(self, word: str, within_s: float = 60) -> dict[str, Any]:
        """Until /readyz is 503 and names it; what it says then. /healthz has to stay 200 meanwhile."""

        def held() -> dict[str, Any] | None:
            status, report = self.readyz()
            return report if status == 503 and word in json.dumps(report) else None

        report: dict[str, Any] = eventually(held, within_s, lambda: f"no hold names {word!r}: {self.readyz()}\n{self.tail()}")
        assert self.healthz() == 200, "a worker that holds is alive"
        return report

    def kill9(self) -> None:
        self.process.kill()
        self.process.wait()

    def sigterm(self) -> tuple[int, float]:
        """Exit status, and the seconds that it took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30), time.monotonic() - began

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.resume()
            self.kill9()


@dataclass(frozen=True)
class Pair:
    """One index and what it has to hold.

    Attributes:
        rows: SQL of the rows that belong to it.
        document: row → the document that must be there, made without any code of the worker. The id field is left out where
            it is no integer.
        key: names of the document's fields that identify it.
    """

    index: str
    rows: str
    document: Callable[[dict[str, Any]], dict[str, Any]]
    key: tuple[str, ...] = ("id",)
    vectors: bool = False


@dataclass
class Site:
    """A database, a topic prefix, a group, a state database and indexes of its own.

    `tables` is SQL and `indexes` is TOML; `{index}` in it is the prefix of the index uids.
    """

    stack: Stack
    folder: Path
    tables: str
    indexes: str
    pairs: Sequence[Pair] = ()
    partitions: int = 1
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    meili: tuple[str, str] | None = None
    name: str = field(default_factory=lambda: f"acc{secrets.token_hex(4)}")
    workers: list[Worker] = field(default_factory=list)

    # -- making it

    def __post_init__(self) -> None:
        base = self.stack.database_url.rpartition("/")[0]
        self.database_url = f"{base}/{self.name}"
        self.state_url = f"{base}/{self.name}_state"
        self.meili_url, self.meili_key = self.meili or (self.stack.meili_url, self.stack.meili_key)
        self.config = self.folder / f"{self.name}.toml"
        self.environment = {**os.environ, "MEILI_MASTER_KEY": self.meili_key}

    def create(self) -> Site:
        """Databases, tables and configuration."""
        with psycopg.connect(self.stack.database_url, autocommit=True) as connection:
            for database in (self.name, f"{self.name}_state"):
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        self.execute(self.tables)
        self.configure()
        return self

    def configure(self, **changes: Mapping[str, Any]) -> None:
        connect_url = f"{self.stack.connect_database_url.rpartition('/')[0]}/{self.name}"
        sections: dict[str, dict[str, Any]] = {
            "kafka": {
                "bootstrap_servers": self.stack.kafka_bootstrap,
                "group": self.name,
                "dead_letter_topic": f"{self.name}.dead-letters",
                "session_timeout_s": SESSION_S,
            },
            "meilisearch": {"url": self.meili_url, "write_timeout_s": 5, "read_timeout_s": 5},
            "state": {"url": self.state_url},
            "source": {"url": self.database_url},
            "connector": {
                "url": self.stack.connect_url,
                "name": self.name,
                "topic_prefix": self.name,
                "database_url": connect_url,
                "bootstrap_servers": self.stack.connect_kafka_bootstrap,
                "slot": self.name,
                "publication": self.name,
                "partitions": self.partitions,
            },
            "worker": {"http_port": 0, "log_format": "json"},
        }
        for given in (self.settings, changes):
            for section, values in given.items():
                sections.setdefault(section, {}).update(values)
        text = "".join(
            f"[{section}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()) + "\n"
            for section, values in sections.items()
        )
        self.config.write_text(text + self.indexes.replace("{index}", self.name))

    def set_up(self) -> Site:
        """What a user does once: keys, indexes, connector."""
        self.create()
        self.make_keys()
        self.cli("indexes", "create")
        self.cli("connector", "apply", "--timeout", "120")
        return self

    def make_keys(self) -> None:
        self.environment.update(json.loads(self.cli("keys", "--json").stdout))

    def cli(self, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*PROGRAM, *arguments, "--config", str(self.config)],
            env=self.environment, cwd=self.folder, capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip
        assert done.returncode == status, f"{arguments} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done

    def cli_any(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Whatever its exit status."""
        return subprocess.run(
            [*PROGRAM, *arguments, "--config", str(self.config)],
            env=self.environment, cwd=self.folder, capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip

    def worker(self, **environment: str) -> Worker:
        log = self.folder / f"{self.name}-{len(self.workers)}.log"
        with log.open("wb") as to:
            process = subprocess.Popen(
                [*PROGRAM, "run", "--config", str(self.config)],
                env={**self.environment, **environment}, cwd=self.folder, stdout=to, stderr=to,
            )  # fmt: skip
        worker = Worker(process, log)
        self.workers.append(worker)
        return worker

    def stop_workers(self) -> None:
        for worker in self.workers:
            worker.stop()

    def remove(self) -> None:
        """Everything that it made, with all parts running again."""
        self.stop_workers()
        for part in self.stack.parts:
            part.start()
        with suppress(httpx.HTTPError):
            httpx.delete(f"{self.stack.connect_url}/connectors/{self.name}", timeout=60)
        admin = self.admin()
        topics = [topic for topic in admin.list_topics(timeout=10).topics if topic.startswith(f"{self.name}.")]
        for deleted in admin.delete_topics(topics).values() if topics else ():
            deleted.result(30)
        with suppress(httpx.HTTPError), self.meilisearch() as client:
            for index in client.get("/indexes", params={"limit": 10_000}).json()["results"]:
                if index["uid"].startswith(self.name):
                    client.delete(f"/indexes/{index['uid']}")
        with psycopg.connect(self.stack.database_url, autocommit=True) as connection:
            for attempt in stamina.retry_context(on=psycopg.errors.ObjectInUse, timeout=30):
                with attempt:
                    where = [self.name]
                    connection.execute(
                        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = %s", where
                    )
                    connection.execute(
                        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", where
                    )
            for database in (self.name, f"{self.name}_state"):
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))

    # -- the source

    def execute(self, *statements: str) -> None:
        """Each in a transaction of its own."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def rows(self, query: str) -> list[dict[str, Any]]:
        with psycopg.connect(self.database_url) as connection:
            cursor = connection.cursor(row_factory=psycopg.rows.dict_row)
            return cursor.execute(query.encode()).fetchall()

    # -- the log

    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.stack.kafka_bootstrap, "log_level": 0})

    def topic(self, table: str) -> str:
        return f"{self.name}.{table}"

    def data_topics(self) -> list[str]:
        known = self.admin().list_topics(timeout=10).topics
        return sorted(topic for topic in known if topic.startswith(f"{self.name}.public."))

    def positions(self) -> dict[str, tuple[int, int]]:
        """`topic/partition` → (committed offset of the group, end of the log)."""
        consumer = Consumer({"bootstrap.servers": self.stack.kafka_bootstrap, "group.id": self.name, "log_level": 0})
        try:
            found = {}
            topics = consumer.list_topics(timeout=10).topics
            places = [TopicPartition(topic, number) for topic in self.data_topics() for number in topics[topic].partitions]
            for place in consumer.committed(places, timeout=10):
                end = consumer.get_watermark_offsets(TopicPartition(place.topic, place.partition), timeout=10)[1]
                found[f"{place.topic}/{place.partition}"] = (max(0, place.offset), end)
            return found
        finally:
            consumer.close()

    def create_topic(self, topic: str, partitions: int = 1, **config: str) -> None:
        new = NewTopic(topic, partitions, 1, config={name.replace("_", "."): value for name, value in config.items()})
        admin = self.admin()
        admin.create_topics([new])[topic].result(30)

    def delete_topic(self, topic: str) -> None:
        admin = self.admin()
        admin.delete_topics([topic])[topic].result(30)
        eventually(lambda: topic not in admin.list_topics(timeout=10).topics, 30, f"{topic} is still there")

    def produce(self, topic: str, records: Sequence[tuple[bytes | None, bytes | None]]) -> None:
        """By a producer that is not Debezium."""
        producer = Producer({"bootstrap.servers": self.stack.kafka_bootstrap, "log_level": 0})
        for key, value in records:
            producer.produce(topic, key=key, value=value, headers=[("origin", b"elsewhere")])
        assert producer.flush(30) == 0

    def records(self, topic: str) -> list[Message]:
        """All that the topic holds."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.stack.kafka_bootstrap,
                "group.id": f"{self.name}-look",
                "enable.auto.commit": False,
                "log_level": 0,
            }
        )
        read: list[Message] = []
        try:
            places = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            bounds = {number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10) for number in places}
            consumer.assign([TopicPartition(topic, number, low) for number, (low, _) in bounds.items()])
            missing = {number: high for number, (low, high) in bounds.items() if high > low}
            deadline = time.monotonic() + 30
            while missing:
                assert time.monotonic() < deadline, f"{topic} can't be read to its end"
                message = consumer.poll(1.0)
                if message is not None and message.error() is None:
                    read.append(message)
                    if message.offset() + 1 >= missing.get(message.partition(), 0):
                        missing.pop(message.partition(), None)
        finally:
            consumer.close()
        return read

    def dead_letters(self) -> list[Message]:
        topic = f"{self.name}.dead-letters"
        return self.records(topic) if topic in self.admin().list_topics(timeout=10).topics else []

    # -- the index

    @contextmanager
    def meilisearch(self) -> Iterator[httpx.Client]:
        headers = {"Authorization": f"Bearer {self.meili_key}"}
        with httpx.Client(base_url=self.meili_url, headers=headers, timeout=60) as client:
            yield client

    def uid(self, index: str) -> str:
        return f"{self.name}-{index}"

    def documents(self, index: str, *, vectors: bool = False) -> list[dict[str, Any]]:
        with self.meilisearch() as client:
            found: list[dict[str, Any]] = []
            while True:
                page = {"limit": 20_000, "offset": len(found), "retrieveVectors": vectors}
                answer = client.post(f"/indexes/{self.uid(index)}/documents/fetch", json=page).raise_for_status().json()
                found += answer["results"]
                if len(found) >= answer["total"] or not answer["results"]:
                    return found

    def task(self, response: httpx.Response) -> dict[str, Any]:
        """Wait for the task of a request of the test's own."""
        uid = response.raise_for_status().json()["taskUid"]

        def finished() -> dict[str, Any] | None:
            with self.meilisearch() as client:
                task: dict[str, Any] = client.get(f"/tasks/{uid}").raise_for_status().json()
                return task if task["status"] in ("succeeded", "failed", "canceled") else None

        found: dict[str, Any] = eventually(finished, 60, f"task {uid} does not end")
        return found

    # -- the state

    def state(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.state_url) as connection:
            return connection.execute(query.encode(), values).fetchall()

    def failures(self) -> list[dict[str, Any]]:
        with psycopg.connect(self.state_url) as connection:
            cursor = connection.cursor(row_factory=psycopg.rows.dict_row)
            return cursor.execute("SELECT * FROM failed_work ORDER BY id").fetchall()

    def findings(self) -> list[tuple[str, str]]:
        """Kind and subject of every open finding."""
        return self.state("SELECT kind, subject FROM findings WHERE cleared_at IS NULL")

    # -- the comparison

    def difference(self, *, except_documents: Mapping[str, set[Any]] | None = None) -> str:
        """What rows and documents do not have in common; empty where nothing."""
        said = []
        for pair in self.pairs:
            excepted = (except_documents or {}).get(pair.index, set())
            expected = {}
            for row in self.rows(pair.rows):
                document = pair.document(row)
                expected[tuple(document[name] for name in pair.key)] = document
            documents = self.documents(pair.index, vectors=pair.vectors)
            for document in documents if pair.vectors else ():
                vectors = document.get("_vectors", {})
                document["_vectors"] = {name: held["embeddings"] for name, held in vectors.items() if held["embeddings"]}
            found = {tuple(document.get(name) for name in pair.key): document for document in documents}
            if len(found) != len(documents):
                said.append(f"{pair.index}: {len(documents)} documents for {len(found)} keys")
            both = {key for key in expected.keys() & found.keys() if key[0] not in excepted}
            missing = {key for key in expected.keys() - found.keys() if key[0] not in excepted}
            ghosts = found.keys() - expected.keys()
            different = [
                f"{key}: {name} is {found[key].get(name)!r}, must be {value!r}"
                for key in sorted(both, key=repr)
                for name, value in expected[key].items()
                if found[key].get(name, "(absent)") != value
            ]
            for what, sample in (("missing", missing), ("ghosts", ghosts), ("different", different)):
                if sample:
                    said.append(f"{pair.index}: {len(sample)} {what}, as {sorted(sample, key=repr)[:4]}")
        return "; ".join(said)

    def wait_equal(self, within_s: float = 60, **exceptions: Any) -> None:
        """Until everything that the source has committed came out of the log, all of it is acknowledged, and every index shows
        exactly its table's rows. Nothing may be open as failed, and no finding."""
        self.wait_for_marker(within_s)
        last: list[str] = [""]

        def equal() -> bool:
            behind = {place: where for place, where in self.positions().items() if where[0] != where[1]}
            if behind:
                last[0] = f"not acknowledged: {behind}"
                return False
            last[0] = self.difference(**exceptions)
            return not last[0]

        eventually(equal, within_s, lambda: f"{last[0]}\n{self.what_workers_say()}")

    def what_workers_say(self) -> str:
        """For the message of a failed test."""
        said = []
        for worker in self.workers[-3:]:
            alive = worker.process.poll() is None
            said.append(f"-- {worker.log.name}: {worker.readyz() if alive else worker.process.returncode}\n{worker.tail(12)}")
        with suppress(psycopg.Error):
            for failure in self.failures()[-5:]:
                said.append(f"failed: {failure['index_name']} {failure['document_id']} {failure['code']}: {failure['message']}")
        return "\n".join(said)

    def wait_for_marker(self, within_s: float) -> None:
        """Until a message that is committed now has come through Debezium and Kafka, and with it all that was before it."""
        token = secrets.token_hex(8)
        self.execute(f"SELECT pg_logical_emit_message(true, 'test-marker', '{token}')")
        consumer = Consumer({"bootstrap.servers": self.stack.kafka_bootstrap, "group.id": f"{self.name}-marker", "log_level": 0})
        place = TopicPartition(f"{self.name}.message", 0)
        wanted = base64.b64encode(token.encode())
        try:
            end = eventually(
                lambda: consumer.get_watermark_offsets(place, timeout=10)[1],
                within_s,
                "no heartbeat comes: the connector is dead",
            )
            consumer.assign([TopicPartition(place.topic, 0, max(0, end - 50))])

            def came() -> bool:
                message = consumer.poll(1.0)
                return message is not None and wanted in (message.value() or b"")

            eventually(came, within_s, lambda: f"nothing comes through the connector: {self.connector_status()}")
        finally:
            consumer.close()

    def connector_status(self) -> str:
        return httpx.get(f"{self.stack.connect_url}/connectors/{self.name}/status", timeout=10).text[:2000]

    def wait_settled(self, within_s: float = 60) -> None:
        """`wait_equal`, and nothing is open: no failure, no finding, a ready worker."""
        self.wait_equal(within_s)
        opened = [failure for failure in self.failures() if failure["status"] in ("open", "retrying")]
        assert opened == [], f"failures are open: {opened[:3]}"
        # A condition that has gone, such as a connector that was not there yet, is cleared by the watch's next look.
        eventually(lambda: self.findings() == [], 30, lambda: f"findings are open: {self.findings()}")
        alive = [worker for worker in self.workers if worker.process.poll() is None]
        eventually(
            lambda: any(worker.ready() for worker in alive), 20, lambda: f"not ready: {[worker.readyz() for worker in alive]}"
        )


class Load:
    """Random writes from one thread, some hundred transactions a second, until it is stopped.

    Args:
        step: one transaction over an open cursor.
        seed: of the random sequence.
    """

    def __init__(self, site: Site, step: Callable[[psycopg.Cursor[Any], Random], None], *, seed: int, pause_s: float) -> None:
        self._site = site
        self._step = step
        self._random = Random(seed)
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.transactions = 0
        self.trouble: BaseException | None = None

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)
        assert self.trouble is None, f"the load ended: {self.trouble!r}"

    def wait_for(self, transactions: int, within_s: float = 60) -> None:
        """Until so many more transactions were committed."""
        wanted = self.transactions + transactions
        eventually(lambda: self.transactions >= wanted or self.trouble, within_s, lambda: f"{self.transactions} of {wanted}")
        assert self.trouble is None, repr(self.trouble)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with psycopg.connect(self._site.database_url, connect_timeout=5) as connection:
                    while not self._stop.is_set():
                        with connection.transaction(), connection.cursor() as cursor:
                            self._step(cursor, self._random)
                        self.transactions += 1
                        self._stop.wait(self._pause_s)
            except (psycopg.OperationalError, psycopg.InterfaceError):
                # PostgreSQL is down, which is what some tests are about.
                self._stop.wait(0.2)
            except BaseException as error:
                self.trouble = error
                return
