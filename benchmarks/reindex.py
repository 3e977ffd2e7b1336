"""`sync-worker reindex` of every row, against posting the same documents straight into a fresh index; what it adds to freshness.

Applications' updates go on meanwhile, one row at a time, each timed from its commit until a reader sees it: first with nothing
else going on, then while the rebuild runs, through its cutover.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from pathlib import Path

import psycopg

from benchmarks import cities
from benchmarks.drain import documents
from benchmarks.harness import Figure, Goal, NotMeasuredError, Setting, quantile, until
from benchmarks.server import PAYLOAD, Server
from benchmarks.site import Site, site

PARTS = ("postgres", "kafka", "connect", "meilisearch")
_ALONE_S = 20.0
_PACE_S = 0.2


class _Updates:
    """One row after the other is changed, and looked for."""

    def __init__(self, server: Server, mine: Site, keys: list[int]) -> None:
        self._server, self._mine, self._keys = server, mine, keys
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.took: list[float] = []

    def __enter__(self) -> _Updates:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(120)

    def _run(self) -> None:
        with psycopg.connect(self._mine.database_url, autocommit=True) as connection:
            for number in range(1, 1_000_000):
                if self._stop.wait(_PACE_S):
                    return
                key = self._keys[number % len(self._keys)]
                connection.execute(b"UPDATE cities SET population = %s WHERE id = %s", [number, key])
                began = time.monotonic()
                while self._server.document(self._mine.name, key, "population") != number:
                    if self._stop.is_set() and time.monotonic() - began > 60:
                        return
                    time.sleep(0.005)
                self.took.append(time.monotonic() - began)


def measure(setting: Setting) -> list[Figure]:
    found = cities.rows(setting.rows)
    server = Server(setting.stack)
    uid = f"direct-{setting.folder.name}"
    server.create(uid, cities.DECLARATION["settings"])
    began = time.monotonic()
    server.load(uid, iter(documents(found)))
    direct = time.monotonic() - began
    server.delete(uid)
    with site(setting.stack, setting.folder) as mine:
        mine.create_database()
        cities.load(mine.database_url, found)
        mine.cli("connector", "apply")
        server.create(mine.name, cities.DECLARATION["settings"])
        worker = mine.start()
        worker.wait_ready()
        server.until_searchable(mine.name, len(found), within_s=900)
        keys = [int(row["id"]) for row in found[:50]]
        with tempfile.TemporaryDirectory() as folder:
            key_file = Path(folder) / "key"
            key_file.write_text(setting.stack.meili_key)
            os.chmod(key_file, 0o600)
            with _Updates(server, mine, keys) as alone:
                until(lambda: len(alone.took) >= _ALONE_S / _PACE_S / 4, "updates before", within_s=300)
            with _Updates(server, mine, keys) as meanwhile:
                began = time.monotonic()
                told = mine.cli("reindex", "cities", "--auto-cutover", "--json", "--admin-key-file", str(key_file))
                took = time.monotonic() - began
            one = json.loads(told)["rebuilds"][0]
            if (one["phase"], one["live"]) != ("swapped", "new"):
                raise NotMeasuredError(f"the rebuild did not come to its swap: {one}")
            mine.cli("reindex", "cities", "--finish", "--admin-key-file", str(key_file))
        worker.stop()
        server.delete(mine.name)
    server.close()
    before, during = quantile(alone.took, 0.99), quantile(meanwhile.took, 0.99)
    detail = f"{took:.1f} s from the command to the swap, gates included; {direct:.1f} s directly, {PAYLOAD:,} a payload"
    updates = f"{len(meanwhile.took)} updates, {before:.2f} s alone ({len(alone.took)}), {during:.2f} s meanwhile"
    return [
        Figure("reindex", took / direct, "of posting directly into a fresh index", Goal(at_most=1.5), detail),
        Figure("reindex, standing still", one["paused_s"], "s without writing for the swap", Goal(at_most=2.0), "as recorded"),
        Figure("reindex, freshness", during - before, "s added to p99 of live updates", None, updates),
    ]
