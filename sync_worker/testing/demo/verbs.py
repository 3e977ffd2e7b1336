"""sync-worker as a user runs it: its verbs as commands, the worker as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx

from sync_worker.testing.demo.waiting import NotObservedError
from sync_worker.testing.stack import Stack
from sync_worker.testing.stack.process import Daemon

CONFIG = "sync-worker.toml"
_COMMAND = (sys.executable, "-m", "sync_worker")
_PATIENCE_S = 120


class Verbs:
    """Runs the command line in a folder of the demo's own.

    Args:
        folder: holds the configuration, and the hook that it names.
        log: every command's output is kept there.
    """

    def __init__(self, stack: Stack, folder: Path, log: Path, http_port: int, say: Callable[[str], None]) -> None:
        self._folder, self._log, self._say = folder, log, say
        self._keys: dict[str, str] = {}
        self._admin_key = stack.meili_key
        self._settings = {
            "SYNC_WORKER_KAFKA__BOOTSTRAP_SERVERS": stack.kafka_bootstrap,
            "SYNC_WORKER_MEILISEARCH__URL": stack.meili_url,
            "SYNC_WORKER_SOURCE__URL": stack.database_url,
            "SYNC_WORKER_STATE__URL": stack.state_url,
            "SYNC_WORKER_CONNECTOR__URL": stack.connect_url,
            "SYNC_WORKER_CONNECTOR__DATABASE_URL": stack.connect_database_url,
            "SYNC_WORKER_CONNECTOR__BOOTSTRAP_SERVERS": stack.connect_kafka_bootstrap,
            "SYNC_WORKER_WORKER__HTTP_PORT": str(http_port),
            "SYNC_WORKER_WORKER__LOG_FORMAT": "json",
        }

    @property
    def config(self) -> Path:
        return self._folder / CONFIG

    @property
    def worker_environment(self) -> dict[str, str]:
        """What `sync-worker run` needs: no administrator's key."""
        return self._settings | self._keys

    def run(self, *words: str, as_administrator: bool = False) -> str:
        """What the command prints on stdout. Raises NotObservedError, with all it printed, unless its exit status is 0."""
        self._say(f"  $ sync-worker {' '.join(words)}")
        # A user's own SYNC_WORKER_… variables must not reach into the demo.
        passed_on = {name: value for name, value in os.environ.items() if not name.startswith(("SYNC_WORKER_", "MEILI_"))}
        administrator = {"MEILI_MASTER_KEY": self._admin_key} if as_administrator else {}
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [*_COMMAND, *words],
            cwd=self._folder,
            env=passed_on | self.worker_environment | administrator,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
        # `keys` prints secrets, which a log that outlives a failed demo must not hold.
        printed = "" if words[0] == "keys" else done.stdout
        with self._log.open("a") as log:
            log.write(f"$ sync-worker {' '.join(words)}\n{printed}{done.stderr}exit status {done.returncode}\n")
        if done.returncode:
            raise NotObservedError(
                f"`sync-worker {' '.join(words)}` ended with exit status {done.returncode}:\n{printed}{done.stderr}"
            )
        return done.stdout

    def make_keys(self) -> None:
        """Take the worker's two keys from `sync-worker keys`, as a user puts its lines into the environment."""
        lines = self.run("keys", as_administrator=True).splitlines()
        self._keys = dict(line.split("=", 1) for line in lines)


class Worker:
    """`sync-worker run` as a process that ends with the demo's stack, whatever happens to the demo."""

    def __init__(self, home: Path, verbs: Verbs, http_port: int) -> None:
        self._daemon = Daemon(home, "worker")
        self._verbs = verbs
        self._url = f"http://127.0.0.1:{http_port}"

    def start(self) -> None:
        self._daemon.start([*_COMMAND, "run", "--config", self._verbs.config], environment=self._verbs.worker_environment)

    def stop(self) -> None:
        self._daemon.stop()

    def check_alive(self) -> None:
        """Raises NotObservedError with its last words where it ended."""
        if self._daemon.process() is None:
            raise NotObservedError(f"the worker ended. Its last words:\n{self._daemon.last_words()}")

    def state(self) -> str:
        """What its readiness page says now."""
        try:
            return f"/readyz says {httpx.get(f'{self._url}/readyz', timeout=5).text.strip()}"
        except httpx.HTTPError as error:
            return f"/readyz does not answer ({type(error).__name__})"
