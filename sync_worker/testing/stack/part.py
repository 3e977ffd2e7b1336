"""What the parts of a stack have in common, whoever runs them."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from sync_worker.testing.stack.process import Daemon, StackError

READY_WITHIN_S = 180.0
OUTSIDE_READY_WITHIN_S = 30.0


def _never() -> bool:
    return False


class Kind(StrEnum):
    """Who runs a part, as `.local/env` says it."""

    NATIVE = "native"
    SERVER = "server"
    CONTAINER = "container"
    DOUBLE = "double"
    OUTSIDE = "outside"


class Part(Protocol):
    """One part of a stack, for tests to stop, kill and start again. Its address stays the same."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> Kind: ...

    def start(self, given_up: Callable[[], bool] = _never) -> None:
        """Start it where it is not running, and wait until it answers.

        Raises StackError where it does not, or where the caller has `given_up` waiting by then.
        """
        ...

    def stop(self) -> None:
        """Stop it in an orderly way, and wait until it is gone."""
        ...

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        ...

    def pause(self) -> None:
        """SIGSTOP: alive, holding its connections, answering nothing."""
        ...

    def resume(self) -> None: ...

    def is_running(self) -> bool: ...


class NativePart:
    """A part that is one process of ours. A subclass says how to launch it and when it answers."""

    name: str
    kind: Kind = Kind.NATIVE

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def launch(self) -> None:
        """Prepare what is missing and start the process, without waiting."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether it answers now. May raise anything while it does not."""
        raise NotImplementedError

    def start(self, given_up: Callable[[], bool] = _never) -> None:
        if not self.is_running():
            self.launch()
        wait_until(self.answers, self.name, given_up=given_up, alive=self.is_running, last_words=self._daemon.last_words)

    def stop(self) -> None:
        self._daemon.stop()

    def kill(self) -> None:
        self._daemon.kill()

    def pause(self) -> None:
        self._daemon.pause()

    def resume(self) -> None:
        self._daemon.resume()

    def is_running(self) -> bool:
        return self._daemon.process() is not None

    def processor_s(self) -> float:
        """Seconds of processor time that it has used since it was started."""
        return self._daemon.processor_s()


class OutsidePart:
    """A part that was given from outside: used, never started or stopped."""

    kind = Kind.OUTSIDE

    def __init__(self, name: str, answers: Callable[[], bool]) -> None:
        self.name = name
        self._answers = answers

    def start(self, given_up: Callable[[], bool] = _never) -> None:
        wait_until(self._answers, self.name, given_up=given_up, within_s=OUTSIDE_READY_WITHIN_S)

    def _not_ours(self) -> StackError:
        return StackError(f"{self.name} was given from outside, so it is not ours to stop")

    def stop(self) -> None:
        raise self._not_ours()

    def kill(self) -> None:
        raise self._not_ours()

    def pause(self) -> None:
        raise self._not_ours()

    def resume(self) -> None:
        raise self._not_ours()

    def is_running(self) -> bool:
        try:
            return self._answers()
        except Exception:  # Whatever the client library raises, the answer is no.
            return False


def wait_until(
    answers: Callable[[], bool],
    name: str,
    *,
    given_up: Callable[[], bool] = _never,
    alive: Callable[[], bool] = lambda: True,
    last_words: Callable[[], str] = lambda: "",
    within_s: float = READY_WITHIN_S,
) -> None:
    """Wait until `answers` is true. Raises StackError with the part's last words when its process ended or time ran out."""
    deadline = time.monotonic() + within_s
    trouble: Exception | None = None
    while time.monotonic() < deadline:
        try:
            if answers():
                return
        except Exception as error:  # Each client library has its own, and all mean "not yet" here.
            trouble = error
        if not alive():
            raise StackError(f"{name} ended while it was starting{_quoted(last_words())}")
        if given_up():
            raise StackError(f"{name} did not answer yet when its start was given up")
        time.sleep(0.1)
    why = f": {trouble}" if trouble else ""
    raise StackError(f"{name} does not answer after {within_s:.0f} s{why}{_quoted(last_words())}")


def _quoted(last_words: str) -> str:
    return f"\nIts last words:\n{last_words}" if last_words else ""


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def port_is_free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def checkout() -> Path:
    """The working tree that this code belongs to."""
    return Path(__file__).resolve().parents[3]
