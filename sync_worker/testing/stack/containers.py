"""The stack as containers, from the same docker-compose.yml that users run."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from sync_worker.testing.stack.part import Kind, checkout, wait_until
from sync_worker.testing.stack.process import StackError

CHOICE_VARIABLE = "SYNC_WORKER_STACK"


def use_containers(environment: Mapping[str, str]) -> bool:
    """The one decision: containers where Docker answers, native processes elsewhere.

    `SYNC_WORKER_STACK=native|containers` overrules.
    """
    choice = environment.get(CHOICE_VARIABLE, "")
    if choice not in ("", "native", "containers"):
        raise StackError(f"{CHOICE_VARIABLE}={choice}: say native or containers")
    return choice == "containers" or (choice == "" and docker_answers())


def docker_answers() -> bool:
    """Whether a daemon answers and the client knows `compose`."""
    for command in (["docker", "version", "--format", "{{.Server.Version}}"], ["docker", "compose", "version"]):
        try:
            subprocess.run(command, capture_output=True, check=True, timeout=10)
        except (OSError, subprocess.SubprocessError):
            return False
    return True


class Compose:
    """One compose project of our own for each stack's folder, so that two checkouts do not meet.

    Args:
        home: the stack's folder; ports and secrets are handed over in a file there.
    """

    def __init__(self, home: Path) -> None:
        self._file = home / "compose.env"
        self._project = f"sync-worker-{hashlib.sha256(str(home).encode()).hexdigest()[:10]}"

    def set(self, variables: Mapping[str, str]) -> None:
        """Remember variables of docker-compose.yml, for this and every later command."""
        known = dict(line.split("=", 1) for line in self._file.read_text().splitlines()) if self._file.exists() else {}
        known |= {"COMPOSE_PROJECT_NAME": self._project, **variables}
        self._file.touch(mode=0o600)
        self._file.write_text("".join(f"{name}={value}\n" for name, value in known.items()))

    def up(self, services: Sequence[str]) -> None:
        """Create and start services through testcontainers; returns once all are healthy."""
        # Only a development install has it, and only Docker needs it.
        from testcontainers.compose import DockerCompose

        try:
            DockerCompose(context=checkout(), env_file=str(self._file), services=list(services), wait=True).start()
        except subprocess.CalledProcessError as error:
            raise StackError(f"`docker compose up {' '.join(services)}` failed") from error

    def run(self, *words: str) -> str:
        command = ["docker", "compose", "--env-file", str(self._file), *words]
        done = subprocess.run(command, cwd=checkout(), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise StackError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")
        return done.stdout

    def is_running(self, service: str) -> bool:
        return self._file.exists() and bool(self.run("ps", "--status", "running", "--quiet", service).strip())

    def down(self, *, with_data: bool = False) -> None:
        """Stop and remove the containers of this stack, where it has any."""
        if self._file.exists():
            self.run("down", "--remove-orphans", "--timeout", "15", *(["--volumes"] if with_data else []))


class ContainerPart:
    """A part that is one compose service."""

    kind = Kind.CONTAINER

    def __init__(self, compose: Compose, name: str, answers: Callable[[], bool]) -> None:
        self.name = name
        self._compose, self._answers = compose, answers

    def start(self, given_up: Callable[[], bool] = lambda: False) -> None:
        if not self.is_running():
            self._compose.up([self.name])
        last_words = partial(self._compose.run, "logs", "--tail", "15", self.name)
        wait_until(self._answers, self.name, given_up=given_up, last_words=last_words)

    def stop(self) -> None:
        self._compose.run("stop", "--timeout", "15", self.name)

    def kill(self) -> None:
        self._compose.run("kill", self.name)

    def pause(self) -> None:
        self._compose.run("pause", self.name)

    def resume(self) -> None:
        self._compose.run("unpause", self.name)

    def is_running(self) -> bool:
        return self._compose.is_running(self.name)
