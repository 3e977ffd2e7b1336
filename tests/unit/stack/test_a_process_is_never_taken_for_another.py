"""A stack outlives its commands, so what they find by pid must be proved to be theirs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from sync_worker.testing.stack.process import MARK, Daemon, marked_processes

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(tmp_path, "part")
    yield made
    made.kill()


def test_a_pid_that_was_reused_is_not_ours(daemon: Daemon, tmp_path: Path) -> None:
    """A stale pid file may name somebody else's process, which must neither count as running nor be killed."""
    stranger = subprocess.Popen(SLEEP)
    try:
        (tmp_path / "pids").mkdir()
        (tmp_path / "pids" / "part").write_text(str(stranger.pid))
        assert daemon.process() is None
        daemon.stop()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_process_without_its_pid_file_is_found(daemon: Daemon, tmp_path: Path) -> None:
    """An `up` that was killed right after starting a part has written nothing down; the next command finds it all the same."""
    daemon.start(SLEEP)
    (tmp_path / "pids" / "part").unlink()
    found = daemon.process()
    assert found is not None
    daemon.stop()
    assert not list(marked_processes(str(tmp_path)))


def test_stop_takes_children_along(daemon: Daemon, tmp_path: Path) -> None:
    """A part's children, even in sessions of their own and without our mark, are gone after `stop`."""
    pid_file = tmp_path / "child"
    child = f"import os, subprocess, sys, time; p = subprocess.Popen({SLEEP!r}, start_new_session=True, env={{}}); "
    daemon.start([sys.executable, "-c", f"{child} open({str(pid_file)!r}, 'w').write(str(p.pid)); time.sleep(60)"])
    while not (pid_file.exists() and pid_file.read_text()):
        assert daemon.process() is not None
    born = psutil.Process(int(pid_file.read_text()))
    daemon.kill()
    assert not born.is_running() or born.status() == psutil.STATUS_ZOMBIE


def test_stop_kills_what_does_not_listen(daemon: Daemon, tmp_path: Path) -> None:
    """A part that ignores its stop signal is killed once patience has run out."""
    ready = tmp_path / "ready"
    deaf = f"import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open({str(ready)!r}, 'w'); time.sleep(60)"
    daemon.start([sys.executable, "-c", deaf])
    while not ready.exists():
        assert daemon.process() is not None
    daemon.stop(patience_s=0.2)
    assert daemon.process() is None


def test_pause_and_resume_reach_the_process(daemon: Daemon) -> None:
    """A paused part is alive and does nothing."""
    daemon.start(SLEEP)
    daemon.pause()
    paused = daemon.process()
    assert paused is not None
    assert paused.status() == psutil.STATUS_STOPPED
    daemon.resume()
    while paused.status() == psutil.STATUS_STOPPED:
        assert daemon.process() is not None


def test_the_callers_secrets_are_not_passed_on(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part outlives its caller's shell; what that shell holds is none of its business."""
    monkeypatch.setenv("SOME_TOKEN", "secret")
    daemon.start(SLEEP)
    process = daemon.process()
    assert process is not None
    assert "SOME_TOKEN" not in process.environ()
    assert process.environ()[MARK].endswith(":part")


def test_it_survives_the_end_of_its_starter(tmp_path: Path) -> None:
    """`make up` ends and the stack stays, also when the terminal hangs up."""
    code = (
        "import sys, pathlib; from sync_worker.testing.stack.process import Daemon; "
        f"Daemon(pathlib.Path({str(tmp_path)!r}), 'part').start({SLEEP!r})"
    )
    starter = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    starter.wait()
    daemon = Daemon(tmp_path, "part")
    with pytest.raises(ProcessLookupError):
        os.killpg(starter.pid, signal.SIGHUP)
    assert daemon.process() is not None
    daemon.kill()
