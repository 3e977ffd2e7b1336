"""How long a barrier takes on a quiet stack: the strict one against the goal, and beside it what else a user may call.

Asked of the worker's own page. Connect stores its offsets every 100 ms here, as `connectors/README.md` advises.
"""

from __future__ import annotations

import random
import time

import httpx
import psycopg

from benchmarks import cities
from benchmarks.harness import Figure, Goal, NotMeasuredError, Setting, quantile
from benchmarks.server import Server
from benchmarks.site import site, started

PARTS = ("postgres", "kafka", "connect", "meilisearch")
_ROWS = 1_000
_SAMPLES = 100
_RUNS = 5


def measure(setting: Setting) -> list[Figure]:
    found = cities.rows(_ROWS)
    server = Server(setting.stack)
    with site(setting.stack, setting.folder) as mine:
        mine.create_database()
        worker = started(server, mine, found)
        port = int(worker.lines("started")[0]["http_port"])
        with (
            httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as page,
            psycopg.connect(mine.database_url, autocommit=True) as connection,
        ):
            strict = [_barrier(page) for _ in range(_SAMPLES)]
            quick = [_barrier(page, strict="false") for _ in range(_SAMPLES)]
            after: list[float] = []
            for number in range(_SAMPLES):
                row = found[number % _ROWS]
                connection.execute(b"UPDATE cities SET population = %s WHERE id = %s", [10_000_000 + number, row["id"]])
                lsn = connection.execute(b"SELECT pg_current_wal_insert_lsn()").fetchone()
                assert lsn is not None
                after.append(_barrier(page, lsn=str(lsn[0]), strict="false"))
                if server.document(mine.name, row["id"], "population") != 10_000_000 + number:
                    raise NotMeasuredError("a barrier passed before the change was searchable")
        command: list[float] = []
        for _ in range(_RUNS):
            began = time.perf_counter()
            mine.cli("wait", "cities")
            command.append(time.perf_counter() - began)
        worker.stop()
        server.delete(mine.name)
    server.close()
    return [
        Figure("wait, strict, p50", quantile(strict, 0.5), "ms", Goal(at_most=200.0), _more(strict)),
        Figure("  quick, p50", quantile(quick, 0.5), "ms", None, _more(quick)),
        Figure("  quick, right after a commit, by its LSN, p50", quantile(after, 0.5), "ms", None, _more(after)),
        Figure("  sync-worker wait, whole process", 1000 * quantile(command, 0.5), "ms", None, f"strict; median of {_RUNS}"),
    ]


def _more(values: list[float]) -> str:
    return f"p99 {quantile(values, 0.99):.0f} ms; {len(values)} of GET /barrier"


def _barrier(page: httpx.Client, **query: str) -> float:
    """Milliseconds. At a random moment of Connect's and the heartbeat's intervals."""
    time.sleep(random.uniform(0.05, 0.15))
    began = time.perf_counter()
    answer = page.get("/barrier", params=query)
    took = 1000 * (time.perf_counter() - began)
    if answer.status_code != 200:
        raise NotMeasuredError(f"the barrier did not pass: {answer.text}")
    return took
