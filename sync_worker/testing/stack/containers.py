"""The stack as containers, from the same docker-compose.yml that users run."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    """One compose project of our own for each stack's folder, so that two checkouts do not meet."""

    def __init__(self, home: Path, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._project = f"sync-worker-{hashlib.sha256(str(home).encode()).hexdigest()[:10]}"

    def up(self, services: Sequence[str]) -> None:
        """Create and start services through testcontainers; returns once all are healthy."""
        # Only a development install has it, and only Docker needs it.
        from testcontainers.compose import DockerCompose

        with self._environment():
            DockerCompose(context=checkout(), services=list(services), wait=True).start()

    def run(self, *words: str) -> str:
        command = ["docker", "compose", *words]
        done = subprocess.run(
            command,
            cwd=checkout(),
            env=self._all_variables(),
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode:
            raise StackError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")
        return done.stdout

    def is_running(self, service: str) -> bool:
        return bool(self.run("ps", "--status", "running", "--quiet", service).strip())

    def down(self) -> None:
        self.run("down", "--remove-orphans", "--timeout", "15")

    def remove(self) -> None:
        self.run("down", "--remove-orphans", "--volumes", "--timeout", "5")

    def _all_variables(self) -> dict[str, str]:
        return {**os.environ, **self._variables, "COMPOSE_PROJECT_NAME": self._project}

    @contextlib.contextmanager
    def _environment(self) -> Iterator[None]:
        """testcontainers passes on the process's environment and takes none."""
        before = dict(os.environ)
        os.environ.update(self._all_variables())
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


class ContainerPart:
    """A part that is one compose service."""

    kind = Kind.CONTAINER

    def __init__(self, compose: Compose, name: str, answers: Callable[[], bool]) -> None:
        self.name = name
        self._compose, self._answers = compose, answers

    def start(self) -> None:
        if not self.is_running():
            self._compose.up([self.name])
        wait_until(self._answers, self.name, last_words=lambda: self._compose.run("logs", "--tail", "15", self.name))

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
