"""One detached process of a stack, which survives the command that started it and is never taken for another."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil

MARK = "SYNC_WORKER_STACK_PROCESS"
"""Environment variable that every process of a stack carries: `HOME:NAME`. It tells ours from one that got a stale pid, and finds
what a killed `up` had started but not yet written down."""


class StackError(Exception):
    """A part of the stack does not come up or cannot be had; says what to look at."""


class Daemon:
    """A process in a session of its own, with its pid in `pids/NAME` and its output in `logs/NAME.log` under `home`.

    Args:
        home: folder of the stack.
        name: name of the part.
        stop_signal: what asks the part to stop in an orderly way.
    """

    def __init__(self, home: Path, name: str, *, stop_signal: signal.Signals = signal.SIGTERM) -> None:
        self.name = name
        self.log = home / "logs" / f"{name}.log"
        self._mark = f"{home}:{name}"
        self._pid_file = home / "pids" / name
        self._stop_signal = stop_signal

    def start(
        self, command: Sequence[str | Path], *, environment: Mapping[str, str] | None = None, user: int | None = None
    ) -> None:
        """Start the process; `environment` is added to the little that is passed on, secrets of the caller's are not."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._pid_file.parent.mkdir(parents=True, exist_ok=True)
        passed_on = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [str(word) for word in command],
                env={**passed_on, "LC_ALL": "C.UTF-8", **(environment or {}), MARK: self._mark},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                start_new_session=True,
                user=user,
                group=user,
                extra_groups=None if user is None else [],
            )
        self._pid_file.write_text(str(process.pid))
        # psutil reaps it; without this Popen warns when it is collected.
        process.returncode = 0

    def process(self) -> psutil.Process | None:
        """The running process, None where there is none."""
        with contextlib.suppress(OSError, ValueError):
            found = _marked(int(self._pid_file.read_text()), self._mark)
            if found:
                return found
        return next((found for found in marked_processes(self._mark) if os.getpgid(found.pid) == found.pid), None)

    def stop(self, *, patience_s: float = 15.0) -> None:
        """Ask it to stop, wait, and kill what is left of its process group."""
        process = self.process()
        if process:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)
                process.send_signal(self._stop_signal)
            with contextlib.suppress(psutil.TimeoutExpired):
                process.wait(patience_s)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to it and all its children, and wait until they are gone."""
        for _ in range(3):  # A child may be born while we look.
            tree = self._tree()
            for process in tree:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            if not tree or not psutil.wait_procs(tree, 10)[1]:
                break
        self._pid_file.unlink(missing_ok=True)

    def pause(self) -> None:
        """SIGSTOP to it and all its children, and wait until they stand still: alive, and answering nothing."""
        tree = self._running_tree()
        for process in tree:
            process.suspend()
        while not all(_stands_still(process) for process in tree):
            time.sleep(0.01)

    def resume(self) -> None:
        for process in self._running_tree():
            process.resume()

    def processor_s(self) -> float:
        """Seconds of processor time that it and its children, ended ones included, have used since it was started."""
        spent = 0.0
        for process in self._tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                spent += times.user + times.system + times.children_user + times.children_system
        return spent

    def last_words(self, lines: int = 15) -> str:
        """The end of its log, for error messages."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return "(no log)"

    def _tree(self) -> list[psutil.Process]:
        """By mark and by parenthood: PostgreSQL's children lead sessions of their own and overwrite their environment."""
        found = {process.pid: process for process in marked_processes(self._mark)}
        if process := self.process():
            found[process.pid] = process
        for process in list(found.values()):
            with contextlib.suppress(psutil.NoSuchProcess):
                found |= {child.pid: child for child in process.children(recursive=True)}
        return list(found.values())

    def _running_tree(self) -> list[psutil.Process]:
        if tree := self._tree():
            return tree
        raise StackError(f"{self.name} is not running")


def marked_processes(prefix: str) -> Iterator[psutil.Process]:
    """All running processes whose mark is `prefix` or begins with `prefix` and a separator."""
    for process in psutil.process_iter():
        mark = _mark_of(process)
        if mark is not None and (mark == prefix or mark.startswith((f"{prefix}:", f"{prefix}/"))):
            yield process


def _marked(pid: int, mark: str) -> psutil.Process | None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        if _mark_of(process) == mark:
            return process
    return None


def _stands_still(process: psutil.Process) -> bool:
    try:
        return process.status() in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _mark_of(process: psutil.Process) -> str | None:
    with contextlib.suppress(psutil.Error, OSError):
        if process.status() != psutil.STATUS_ZOMBIE:
            mark: str | None = process.environ().get(MARK)
            return mark
    return None
