"""The way of a first user on the real parts: every command of it, in the order of the README."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import psycopg
import stamina

from sync_worker.testing.stack import Stack

ROWS = 500


def test_from_a_table_to_a_search(stack: Stack, fresh_database: str, fresh_name: Callable[[str], str], tmp_path: Path) -> None:
    """init, connector apply, keys, indexes create, check, run: the rows are searchable, SIGTERM ends it with 0."""
    name = fresh_name("cli")
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        connection.execute(f"create table {name} (id bigint primary key, name text not null)")
        connection.execute(f"insert into {name} select g, 'city ' || g from generate_series(1, {ROWS}) g")
    connect_database = f"{stack.connect_database_url.rpartition('/')[0]}/{fresh_database.rpartition('/')[2]}"
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("SYNC_WORKER_", "MEILI_", "DATABASE_"))},
        "SYNC_WORKER_KAFKA__BOOTSTRAP_SERVERS": stack.kafka_bootstrap,
        "SYNC_WORKER_KAFKA__GROUP": name,
        "SYNC_WORKER_KAFKA__DEAD_LETTER_TOPIC": f"{name}.dead-letters",
        "SYNC_WORKER_MEILISEARCH__URL": stack.meili_url,
        "SYNC_WORKER_STATE__URL": f"sqlite:///{tmp_path}/state.db",
        "SYNC_WORKER_SOURCE__URL": fresh_database,
        "SYNC_WORKER_CONNECTOR__URL": stack.connect_url,
        "SYNC_WORKER_CONNECTOR__BOOTSTRAP_SERVERS": stack.connect_kafka_bootstrap,
        "SYNC_WORKER_CONNECTOR__DATABASE_URL": connect_database,
        **{f"SYNC_WORKER_CONNECTOR__{key}": name for key in ("NAME", "TOPIC_PREFIX", "SLOT", "PUBLICATION")},
        "SYNC_WORKER_WORKER__HTTP_PORT": "0",
        "SYNC_WORKER_WORKER__LOG_FORMAT": "json",
        "MEILI_MASTER_KEY": stack.meili_key,
    }

    def command(*arguments: str, status: int = 0) -> str:
        ran = subprocess.run(
            [sys.executable, "-m", "sync_worker", *arguments],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ran.returncode == status, ran.stdout + ran.stderr
        return ran.stdout

    command("init", "--table", f"public.{name}", "--config", "sync-worker.toml")
    before = json.loads(command("check", "--json", status=3))["checks"]
    assert {check["area"] for check in before if check["verdict"] == "error"} >= {"source", "connector", "meilisearch"}
    try:
        command("connector", "apply")
        assert "as declared already" in command("connector", "apply")
        environment |= json.loads(command("keys", "--json"))
        assert f"{name}: created" in command("indexes", "create")
        after = json.loads(command("check", "--json"))["checks"]
        assert [check for check in after if check["verdict"] == "error"] == []

        with subprocess.Popen(
            [sys.executable, "-m", "sync_worker", "run"], env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True
        ) as worker:
            try:
                assert worker.stderr is not None
                line = next(line for line in worker.stderr if '"started"' in line)
                port = int(re.findall(r'"http_port": (\d+)', line)[0])
                with httpx.Client(trust_env=False) as http:
                    for attempt in stamina.retry_context(
                        on=(AssertionError, httpx.HTTPError), timeout=60, attempts=None, wait_max=0.5
                    ):
                        with attempt:
                            key = {"Authorization": f"Bearer {stack.meili_key}"}
                            found = http.get(f"{stack.meili_url}/indexes/{name}/stats", headers=key).json()
                            assert found["numberOfDocuments"] == ROWS
                            assert http.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
                worker.send_signal(signal.SIGTERM)
                worker.stderr.read()
                assert worker.wait(timeout=15) == 0
            finally:
                worker.kill()
        command("findings", "list")
    finally:
        dropped = command("connector", "delete", "--drop-slot", "--drop-publication")
        httpx.delete(f"{stack.meili_url}/indexes/{name}", headers={"Authorization": f"Bearer {stack.meili_key}"}, trust_env=False)
    assert f"dropped replication slot {name}" in dropped
    assert f"dropped publication {name}" in dropped
