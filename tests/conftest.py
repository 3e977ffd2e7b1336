"""The parts that tests run against. A test asks for a fixture and does not know who runs the part behind it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import stamina
from confluent_kafka.admin import AdminClient
from psycopg import sql

from sync_worker.testing.stack import Stack, default_home, owned_home, up, what_was_real

REAL = pytest.StashKey[str]()
PROCESSES = 2
"""How many share the files of `pytest -n auto`, each with a stack of its own (2.5 GiB): most of the time is waiting."""
REUSE_VARIABLE = "SYNC_WORKER_TEST_STACK"
LONG_VARIABLE = "SYNC_WORKER_LONG"
UNFINISHED_VARIABLE = "SYNC_WORKER_UNFINISHED"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"long: takes minutes and repeats what a shorter test shows; {LONG_VARIABLE}=1 runs it")
    config.addinivalue_line("markers", f"unfinished: of a verb that is not done yet; {UNFINISHED_VARIABLE}=1 runs it")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Who kills the parts of a stack must be alone with it: a stack that is shared has one process."""
    return 0 if os.environ.get(REUSE_VARIABLE) == "reuse" else PROCESSES


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for marker, variable, why in (
        ("long", LONG_VARIABLE, "takes minutes"),
        ("unfinished", UNFINISHED_VARIABLE, "of a verb that is not done yet"),
    ):
        for item in items:
            if os.environ.get(variable) != "1" and item.get_closest_marker(marker) is not None:
                item.add_marker(pytest.mark.skip(reason=f"{why}: set {variable}=1"))


@pytest.fixture(scope="session")
def stack_home(request: pytest.FixtureRequest) -> Iterator[Path]:
    """The folder of this run's stack; of the one that `make up` started where SYNC_WORKER_TEST_STACK=reuse."""
    if os.environ.get(REUSE_VARIABLE) == "reuse":
        yield default_home()
        return
    with owned_home(default_home() / "test", "run") as home:
        yield home


@pytest.fixture(scope="session")
def stack(stack_home: Path, request: pytest.FixtureRequest) -> Stack:
    """PostgreSQL, Kafka, Connect with Debezium, and Meilisearch, started once per run."""
    running = up(stack_home, say=_to_terminal(request.config))
    request.config.stash[REAL] = what_was_real(running)
    return running


@pytest.fixture(scope="session")
def meilisearch_stack(stack_home: Path, request: pytest.FixtureRequest) -> Stack:
    """A stack of which only Meilisearch is running, unless something else asked for the rest. It may be the double."""
    running = up(stack_home, parts=["meilisearch"], say=_to_terminal(request.config))
    request.config.stash.setdefault(REAL, what_was_real(running, ["meilisearch"]))
    return running


@pytest.fixture(scope="session")
def real_meilisearch(meilisearch_stack: Stack) -> Stack:
    """As `meilisearch_stack`, for what only a real server can prove."""
    if not meilisearch_stack.has_real_meilisearch:
        pytest.skip("needs a real Meilisearch: set MEILI_URL, start Docker, or put `meilisearch` on PATH")
    return meilisearch_stack


@pytest.fixture
def fresh_name() -> Callable[[str], str]:
    """Makes names that nobody has used: valid as topic, database, schema, slot, and index uid."""
    return lambda what: f"{what}_{secrets.token_hex(5)}"


@pytest.fixture
def fresh_topic(stack: Stack, fresh_name: Callable[[str], str]) -> Iterator[str]:
    """The name of a topic that does not exist yet; whatever bears that name, or begins with it, is deleted afterwards."""
    name = fresh_name("topic")
    yield name
    stack.kafka.start()
    admin = AdminClient({"bootstrap.servers": stack.kafka_bootstrap, "log_level": 0})
    made = [topic for topic in admin.list_topics(timeout=10).topics if topic.startswith(name)]
    for deleted in admin.delete_topics(made).values() if made else ():
        deleted.result(timeout=10)


@pytest.fixture
def fresh_database(stack: Stack, fresh_name: Callable[[str], str]) -> Iterator[str]:
    """URL of an empty database in the source's cluster; its replication slots and itself are dropped afterwards."""
    name = fresh_name("db")
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield f"{stack.database_url.rpartition('/')[0]}/{name}"
    stack.postgres.start()
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        # A slot keeps its database, and WAL, for ever; one in use cannot be dropped, and its connector may come back once.
        for attempt in stamina.retry_context(on=psycopg.errors.ObjectInUse, timeout=20):
            with attempt:
                connection.execute(
                    "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = %s", [name]
                )
                connection.execute(
                    "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = %s", [name]
                )
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def fresh_schema(stack: Stack, fresh_name: Callable[[str], str]) -> Iterator[str]:
    """Name of an empty schema in the source database, dropped afterwards with all it holds."""
    name = fresh_name("schema")
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
    yield name
    stack.postgres.start()
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))


@pytest.fixture
def fresh_index_prefix(meilisearch_stack: Stack, fresh_name: Callable[[str], str]) -> Iterator[str]:
    """Begin index uids with it; every index that does is deleted afterwards."""
    prefix = fresh_name("index")
    yield prefix
    meilisearch_stack.meilisearch.start()
    authorization = {"Authorization": f"Bearer {meilisearch_stack.meili_key}"}
    with httpx.Client(base_url=meilisearch_stack.meili_url, headers=authorization, timeout=30) as client:
        indexes = client.get("/indexes", params={"limit": 10_000}).raise_for_status().json()["results"]
        for index in indexes:
            if index["uid"].startswith(prefix):
                client.delete(f"/indexes/{index['uid']}").raise_for_status()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """One of several processes tells the first what it had, who prints it."""
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["real"] = session.config.stash.get(REAL, None)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """The first process keeps what each of the others had; once where all had the same."""
    known = node.config.stash.get(REAL, "").splitlines()
    if (line := getattr(node, "workeroutput", {}).get("real")) and line not in known:
        node.config.stash[REAL] = "\n".join([*known, line])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_unconfigure(config: pytest.Config) -> Iterator[None]:
    """The very last line of a run says what of it was real."""
    yield
    if (line := config.stash.get(REAL, None)) and not hasattr(config, "workeroutput"):
        print(line)


def _to_terminal(config: pytest.Config) -> Callable[[str], None]:
    """Progress of the stack, past pytest's capture: a start takes longer than a silent test should."""
    capture = config.pluginmanager.getplugin("capturemanager")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"  {line}", flush=True)

    return say
