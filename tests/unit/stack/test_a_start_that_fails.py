"""`make up` that fails says why, soon, and leaves nothing behind that `make status` does not show."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from sync_worker.testing.stack import assembly, part, up
from sync_worker.testing.stack.kafka import Broker
from sync_worker.testing.stack.lifecycle import status
from sync_worker.testing.stack.part import free_port
from sync_worker.testing.stack.place import Place
from sync_worker.testing.stack.process import Daemon, StackError, marked_processes

GIVEN = {"SYNC_WORKER_STACK": "native", "CONNECT_URL": "http://127.0.0.1:9", "MEILI_URL": "http://127.0.0.1:9"}
PASSWORD = "hunter2"


@pytest.fixture
def silent_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that runs and never answers, and no patience with what was given from outside."""

    def launch(self: Broker) -> None:
        self._daemon.start([sys.executable, "-c", "import time; time.sleep(600)"])

    monkeypatch.setattr(Broker, "launch", launch)
    monkeypatch.setattr(assembly.Assembly, "_jars", lambda _self, _name: ())
    monkeypatch.setattr(part, "OUTSIDE_READY_WITHIN_S", 0.5)


@pytest.mark.usefixtures("silent_broker")
def test_what_it_started_is_stopped_and_the_error_comes_soon(tmp_path: Path) -> None:
    """PostgreSQL cannot be had, so nobody waits for Kafka's three minutes, and its process is gone."""
    url = f"postgresql://somebody:{PASSWORD}@127.0.0.1:{free_port()}/app"
    began = time.monotonic()
    with pytest.raises(StackError, match=r"(?s)postgres does not answer.*refused") as failed:
        up(tmp_path, parts=("postgres", "kafka"), environment=GIVEN | {"DATABASE_URL": url}, say=lambda _: None)
    assert time.monotonic() - began < part.READY_WITHIN_S / 4
    assert PASSWORD not in str(failed.value)
    assert "last words" not in str(failed.value)
    assert not list(marked_processes(str(tmp_path)))
    assert status(tmp_path) == []


@pytest.mark.usefixtures("silent_broker")
def test_what_ran_before_is_left_running(tmp_path: Path) -> None:
    """Only this call's parts are stopped: a stack that was up stays up."""
    broker = Daemon(tmp_path, "kafka")
    broker.start([sys.executable, "-c", "import time; time.sleep(600)"])
    url = f"postgresql://somebody:{PASSWORD}@127.0.0.1:{free_port()}/app"
    try:
        with pytest.raises(StackError, match="postgres"):
            up(tmp_path, parts=("postgres", "kafka"), environment=GIVEN | {"DATABASE_URL": url}, say=lambda _: None)
        assert broker.process() is not None
    finally:
        broker.kill()


@pytest.mark.usefixtures("silent_broker")
@pytest.mark.parametrize("password", ["se/cret-word", "p@secret-word", "se%cret-word"])
def test_no_part_of_a_password_is_told(tmp_path: Path, password: str) -> None:
    """A password that is not percent-encoded is cut up by libpq, which quotes the pieces in its error."""
    url = f"postgresql://somebody:{password}@127.0.0.1:{free_port()}/app"
    with pytest.raises(StackError, match="percent-encode") as failed:
        up(tmp_path, parts=("postgres",), environment=GIVEN | {"DATABASE_URL": url}, say=lambda _: None)
    assert "cret" not in str(failed.value)


def test_status_hides_the_whole_password(tmp_path: Path) -> None:
    """Also one that holds a colon."""
    Place(tmp_path).write_env(
        {"DATABASE_URL": "postgresql://u:a:b@127.0.0.1:5/app", "SYNC_WORKER_STACK_POSTGRES": "outside"}, given=[]
    )
    assert status(tmp_path) == ["postgres: not ours (outside) postgresql://u:***@127.0.0.1:5/app"]
