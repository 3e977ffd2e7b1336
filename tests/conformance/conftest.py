"""One fixture for both sides: the double always, a real server where PATH or MEILI_URL offers one."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from harness import Server

PAYLOAD_LIMIT = 8_000_000
DOCUMENT_DELAY_S = 0.00002
"""Ten times the double's own: its batches have to last while a loaded machine is slow to cancel one."""
MASTER_KEY = "conformance-master-key"


@contextmanager
def _double() -> Iterator[Server]:
    command = [sys.executable, "-m", "sync_worker.testing.meilisearch", "--port", "0"]
    command += ["--master-key", MASTER_KEY, "--payload-limit", str(PAYLOAD_LIMIT), "--document-delay-s", str(DOCUMENT_DELAY_S)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        started = re.search(r"http://\S+", process.stderr.readline())
        assert started, "the double did not say where it listens"
        try:
            yield Server(started[0], MASTER_KEY, PAYLOAD_LIMIT)
        finally:
            process.terminate()
            process.wait(10)


@contextmanager
def _real(database: Path) -> Iterator[Server]:
    binary = shutil.which("meilisearch")
    if binary is None:
        url, key = os.environ.get("MEILI_URL"), os.environ.get("MEILI_API_KEY")
        if not url or not key:
            pytest.skip("no real server: `meilisearch` is not on PATH, and MEILI_URL with MEILI_API_KEY is not set")
        yield Server(url, key, None)
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [binary, "--no-analytics", "--http-addr", f"127.0.0.1:{port}", "--master-key", MASTER_KEY]
    command += ["--db-path", str(database), "--http-payload-size-limit", f"{PAYLOAD_LIMIT} B"]
    with (
        (database.parent / "meilisearch.log").open("w") as log,
        subprocess.Popen(
            command, stdout=log, stderr=log, cwd=database.parent, env={**os.environ, "MEILI_MAX_INDEXING_MEMORY": "1GiB"}
        ) as process,
    ):
        try:
            _wait_for_health(f"http://127.0.0.1:{port}", process)
            yield Server(f"http://127.0.0.1:{port}", MASTER_KEY, PAYLOAD_LIMIT)
        finally:
            process.terminate()
            process.wait(30)


def _wait_for_health(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/health").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("the real server did not become healthy")


@pytest.fixture(scope="session", params=["double", "real"])
def fresh_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose history nobody has touched: the recordings count on its task uids."""
    side = _double() if request.param == "double" else _real(tmp_path_factory.mktemp("fresh") / "data")
    with side as server:
        if server.get("/tasks?limit=1")["total"] or server.get("/indexes?limit=1")["total"]:
            pytest.skip("MEILI_URL has a history; the recordings can only be replayed on a fresh server")
        yield server


@pytest.fixture(scope="session", params=["double", "real"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server shared by tests that each make their own indexes."""
    side = _double() if request.param == "double" else _real(tmp_path_factory.mktemp("shared") / "data")
    with side as found:
        yield found
