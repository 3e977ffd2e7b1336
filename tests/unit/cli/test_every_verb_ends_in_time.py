"""`--timeout` bounds every verb, whatever the parts do: ports that take a connection and never answer are the worst of it."""

from __future__ import annotations

import importlib
import json
import os
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sync_worker.cli.app import app
from sync_worker.cli.outcome import exit_status

_TIMEOUT_S = 0.4
_MORE_S = 1.0
_MACHINE_S = 4.0
"""What a loaded machine may add."""


class BlackHoles:
    """Ports that accept, read, and say nothing."""

    def __init__(self, names: list[str]) -> None:
        self._selector = selectors.DefaultSelector()
        self._open: list[socket.socket] = []
        self.port: dict[str, int] = {}
        for name in names:
            listening = socket.create_server(("127.0.0.1", 0))
            self.port[name] = listening.getsockname()[1]
            self._selector.register(listening, selectors.EVENT_READ)
            self._open.append(listening)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._swallow, daemon=True)
        self._thread.start()

    def _swallow(self) -> None:
        while not self._ending.is_set():
            for key, _ in self._selector.select(0.1):
                listening: Any = key.fileobj
                taken, _ = listening.accept()
                self._open.append(taken)

    def close(self) -> None:
        self._ending.set()
        self._thread.join()
        for one in self._open:
            one.close()


PARTS = {
    "PostgreSQL": "source",
    "Kafka": "kafka",
    "Kafka Connect": "connect",
    "Meilisearch": "sink",
    "the state database": "state",
}


@pytest.fixture(scope="module", autouse=True)
def _imported() -> None:
    """What takes long the first time, and is no part of a verb's time."""
    for name in ("adapters.state", "wiring.reindex", "wiring.reconcile", "wiring.doctor"):
        importlib.import_module(f"sync_worker.{name}")


@pytest.fixture(scope="module")
def holes() -> Iterator[BlackHoles]:
    made = BlackHoles(list(PARTS.values()))
    yield made
    made.close()


@pytest.fixture
def config(tmp_path: Path, holes: BlackHoles) -> Path:
    port = holes.port
    file = tmp_path / "sync-worker.toml"
    file.write_text(
        f"""
[kafka]
bootstrap_servers = "127.0.0.1:{port["kafka"]}"
[connector]
url = "http://127.0.0.1:{port["connect"]}"
[meilisearch]
url = "http://127.0.0.1:{port["sink"]}"
api_key = "key"
admin_key = "key"
[source]
url = "postgresql://somebody:hunter2@127.0.0.1:{port["source"]}/app"
[state]
url = "postgresql://somebody:hunter2@127.0.0.1:{port["state"]}/state"
[indexes.things]
table = "public.things"
primary_key = "id"
fields = {{ name = "text" }}
""",
        encoding="utf-8",
    )
    return file


ALL = tuple(PARTS)
STATE = ("the state database",)
VERBS: dict[str, tuple[str, ...]] = {
    "drift": ALL,
    "drift things --counts": ALL,
    "drift things --show 1": ("PostgreSQL", "Meilisearch", *STATE),
    "retry 1": ("Kafka", "Meilisearch", *STATE),
    "retry --index things --yes": ("Kafka", "Meilisearch", *STATE),
    "discard 1 --reason why": STATE,
    "backfill things": ("PostgreSQL", "Meilisearch", *STATE),
    "backfill things --plan": ("PostgreSQL", "Meilisearch", *STATE),
    "backfill things --ids 1": ALL,
    "backfill status": STATE,
    "backfill pause things": STATE,
    "backfill stop things": STATE,
    "wait": ("PostgreSQL", "Kafka", "Kafka Connect", *STATE),
    "pause things": STATE,
    "resume things": STATE,
    "failed list": STATE,
    "failed counts": STATE,
    "failed show 1 --payload": ("Kafka", *STATE),
    "findings list": STATE,
    "findings clear drift things --reason why": STATE,
    "audit": STATE,
    "dlq tail": ("Kafka",),
    "dlq rebuild-table": ("Kafka", *STATE),
    "dlq erase --index things --document 1": ("Kafka", *STATE),
    "settings diff": ("Meilisearch",),
    "settings apply --acknowledge-live": ("Meilisearch", *STATE),
    "contract": ("Meilisearch",),
    "indexes create": ("Meilisearch", *STATE),
    "keys": ("Meilisearch",),
    "connector status": ("Kafka Connect",),
    "connector apply": ("PostgreSQL", "Kafka", "Kafka Connect", *STATE),
    "connector restart": ("Kafka Connect", *STATE),
    "connector delete": ("Kafka Connect", *STATE),
    "reindex things": ALL,
    "reindex things --plan": ("PostgreSQL", "Meilisearch", *STATE),
    "reindex things --status": ("Meilisearch", *STATE),
}


USUAL = (
    "drift",
    "retry 1",
    "backfill things",
    "backfill status",
    "wait",
    "failed list",
    "dlq tail",
    "contract",
)
"""The others go the same way: they are looked at in the long run."""


@pytest.mark.parametrize("verb", [verb if verb in USUAL else pytest.param(verb, marks=pytest.mark.long) for verb in VERBS])
def test_parts_that_never_answer_are_named_in_time(
    verb: str, config: Path, holes: BlackHoles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit status 1 within the timeout and a second: which parts, at which addresses, and what to do about each."""
    monkeypatch.setenv("MEILI_MASTER_KEY", "key")
    began = time.monotonic()
    done = CliRunner().invoke(app, [*verb.split(), "--config", str(config), "--timeout", str(_TIMEOUT_S)])
    took = time.monotonic() - began
    assert took < _TIMEOUT_S + _MORE_S + _MACHINE_S
    assert isinstance(done.exception, Exception), done.stdout
    assert exit_status(done.exception) == 1
    told = str(done.exception)
    for part in VERBS[verb]:
        assert f"{part} at 127.0.0.1:{holes.port[PARTS[part]]} did not answer" in told
    assert len(told.splitlines()) == len(VERBS[verb]), "no part is blamed that the verb does not need"
    assert getattr(done.exception, "remedy", "")
    assert "hunter2" not in told


def test_init_is_bounded_too(config: Path, holes: BlackHoles) -> None:
    """It has no configuration yet: the database is the one that it was given."""
    port = holes.port["source"]
    given = ["--table", "public.things", "--database-url", f"postgresql://somebody:hunter2@127.0.0.1:{port}/app"]
    done = CliRunner().invoke(app, ["init", *given, "--timeout", str(_TIMEOUT_S)])
    assert f"PostgreSQL at 127.0.0.1:{port} did not answer" in str(done.exception)


@pytest.mark.parametrize("verb", ["status", "check", "doctor", "reconcile"])
def test_what_looks_at_everything_reports_in_time(verb: str, config: Path) -> None:
    """They end by themselves, with a report in which every part that did not answer is named."""
    began = time.monotonic()
    done = CliRunner().invoke(app, [verb, "--json", "--config", str(config), "--timeout", str(_TIMEOUT_S)])
    assert time.monotonic() - began < _TIMEOUT_S + _MORE_S + _MACHINE_S
    assert isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code in (1, 3)
    assert json.loads(done.stdout)


@pytest.mark.parametrize("verb", ["drift", pytest.param("status", marks=pytest.mark.long)])
def test_the_process_ends_as_well(verb: str, config: Path) -> None:
    """Threads that still ask a silent part do not keep it, and what it had to say is said."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SYNC_WORKER_")}
    command = [sys.executable, "-m", "sync_worker", verb, "--config", str(config), "--timeout", str(_TIMEOUT_S)]
    began = time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert time.monotonic() - began < 25, "interpreter and imports included"
    assert done.returncode == 1
    assert "Kafka" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
