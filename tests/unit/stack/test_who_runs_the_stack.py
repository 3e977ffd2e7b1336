"""Containers where Docker answers, native processes elsewhere: one decision, seen from outside through a `docker` on PATH."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from sync_worker.testing.stack.assembly import Assembly
from sync_worker.testing.stack.containers import Compose, use_containers
from sync_worker.testing.stack.part import Kind
from sync_worker.testing.stack.place import Place
from sync_worker.testing.stack.process import StackError


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `docker` that succeeds at everything and writes down what it was asked."""
    calls = tmp_path / "calls"
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nimport sys\nopen({str(calls)!r}, 'a').write(' '.join(sys.argv[1:]) + '\\n')\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return calls


def test_containers_where_docker_answers(docker: Path) -> None:
    """Both the daemon and `compose` are asked for."""
    assert use_containers({})
    assert docker.read_text().splitlines() == ["version --format {{.Server.Version}}", "compose version"]


def test_native_where_there_is_no_docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without Docker is the normal case."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not use_containers({})


def test_the_variable_overrules_and_is_checked(docker: Path) -> None:
    """CI runs both ways on one machine; a typo must not pick one of them."""
    assert not use_containers({"SYNC_WORKER_STACK": "native"})
    assert use_containers({"SYNC_WORKER_STACK": "containers"})
    with pytest.raises(StackError, match="native or containers"):
        use_containers({"SYNC_WORKER_STACK": "container"})
    assert not docker.exists()


def test_containers_get_ports_and_secrets_by_a_file_for_their_owner_only(docker: Path, tmp_path: Path) -> None:
    """Every later command finds the same project, ports and secrets; none stands on a command line."""
    home = tmp_path / "home"
    home.mkdir()
    stack = Assembly(Place(home), {"SYNC_WORKER_STACK": "containers"}, ["postgres", "kafka"], lambda _: None).stack()
    assert {part.kind for part in stack.parts} == {Kind.CONTAINER}
    written = dict(line.split("=", 1) for line in (home / "compose.env").read_text().splitlines())
    assert written["POSTGRES_PASSWORD"] in stack.database_url
    assert written["MEILI_MASTER_KEY"] == stack.meili_key
    assert stack.kafka_bootstrap == f"127.0.0.1:{written['SYNC_WORKER_STACK_KAFKA_PORT']}"
    assert (home / "compose.env").stat().st_mode & 0o077 == 0
    Compose(home).down()
    last = docker.read_text().splitlines()[-1]
    assert last == f"compose --env-file {home / 'compose.env'} down --remove-orphans --timeout 15"


def test_connect_sees_other_addresses_in_containers(docker: Path, tmp_path: Path) -> None:
    """A connector that is told the host's loopback address would look for PostgreSQL in its own container."""
    stack = Assembly(Place(tmp_path), {"SYNC_WORKER_STACK": "containers"}, [], lambda _: None).stack()
    assert stack.connect_database_url.endswith("@postgres:5432/app")
    assert stack.connect_kafka_bootstrap == "kafka:19092"


def test_what_is_given_from_outside_is_used(tmp_path: Path) -> None:
    """Nothing is started for a part whose address was given, and the state goes where the source is not ours."""
    given = {
        "SYNC_WORKER_STACK": "native",
        "DATABASE_URL": "postgresql://elsewhere/app",
        "KAFKA_BOOTSTRAP_SERVERS": "elsewhere:9092",
        "CONNECT_URL": "http://elsewhere:8083",
        "MEILI_URL": "http://elsewhere:7700/",
        "MEILI_API_KEY": "key",
    }
    stack = Assembly(Place(tmp_path), given, ["kafka"], lambda _: None).stack()
    assert {part.kind for part in stack.parts} == {Kind.OUTSIDE}
    assert (stack.database_url, stack.meili_url, stack.meili_key) == (
        "postgresql://elsewhere/app",
        "http://elsewhere:7700",
        "key",
    )
    assert stack.state_url == f"sqlite:///{tmp_path / 'state.db'}"
    with pytest.raises(StackError, match="not ours"):
        stack.kafka.kill()
