"""Where one stack lives: its folder, its ports and secrets, and what it says about itself."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shlex
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from sync_worker.testing.stack.part import free_port, port_is_free
from sync_worker.testing.stack.process import StackError

PORT_VARIABLE = "SYNC_WORKER_STACK_{}_PORT"


class Place:
    """A folder with `data/`, `logs/`, `pids/`, the file `env`, and `stack.json`, which remembers ports and secrets."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._notes_file = home / "stack.json"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One command at a time. The lock dies with the process that holds it."""
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def port(self, name: str, *, taken_by_us: bool) -> int:
        """The port of a part: the one asked for by variable, else the one it had before if that is still free, else a free one.

        Raises StackError where the port that was asked for is taken.
        """
        variable = PORT_VARIABLE.format(name.upper())
        notes = self._notes()
        before = notes.get(f"{name}.port")
        if taken_by_us and before:
            return int(before)
        asked = os.environ.get(variable)
        if asked:
            if not asked.isdigit() or not port_is_free(int(asked)):
                raise StackError(f"{variable}={asked} is not a free port")
            port = int(asked)
        else:
            port = int(before) if before and port_is_free(int(before)) else free_port()
        self.note({f"{name}.port": str(port)})
        return port

    def secret(self, name: str) -> str:
        """A secret of this stack, made once."""
        known = self._notes().get(f"{name}.secret")
        if known:
            return known
        made = secrets.token_urlsafe(24)
        self.note({f"{name}.secret": made})
        return made

    def note(self, more: Mapping[str, str]) -> None:
        self._write(self._notes_file, json.dumps(self._notes() | dict(more), indent=1))

    def write_env(self, values: Mapping[str, str], *, given: Collection[str]) -> None:
        """Write the file `env`, quoted for shells, and remember which values are our own and not `given` from outside."""
        self._write(self.home / "env", "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items()))
        self.note({f"env.{name}": "" if name in given else value for name, value in values.items()})

    def read_env(self) -> dict[str, str]:
        """What a running stack wrote; empty where there is none."""
        with contextlib.suppress(FileNotFoundError):
            return dict(word.split("=", 1) for word in shlex.split((self.home / "env").read_text()))
        return {}

    def given_from_outside(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The environment without what this stack's own `env` file once put there: a shell may have read it."""
        notes = self._notes()
        return {name: value for name, value in environment.items() if value and notes.get(f"env.{name}") != value}

    def remove_env(self) -> None:
        (self.home / "env").unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the folder, and what its links point to."""
        for link in self.home.glob("data/*"):
            if link.is_symlink():
                shutil.rmtree(link.resolve(), ignore_errors=True)
        shutil.rmtree(self.home, ignore_errors=True)

    def _notes(self) -> dict[str, str]:
        with contextlib.suppress(FileNotFoundError):
            notes: dict[str, str] = json.loads(self._notes_file.read_text())
            return notes
        return {}

    def _write(self, path: Path, text: str) -> None:
        """Whole or not at all, and for nobody else to read."""
        self.home.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        part.touch(mode=0o600)
        part.write_text(text)
        part.replace(path)
