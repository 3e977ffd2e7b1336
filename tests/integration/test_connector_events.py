"""What a real connector under the template delivers where Debezium's own defaults lose something in silence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
import pytest
from confluent_kafka import Message
from connector_harness import Addresses, Place, place

from sync_worker.adapters.debezium.template import CANARY_PREFIX
from sync_worker.adapters.source.check import check_source
from sync_worker.adapters.source.soundness import SourceProblem
from sync_worker.testing.stack import Stack


@pytest.fixture
def here(stack: Stack) -> Iterator[Place]:
    with place(Addresses.of(stack)) as made:
        yield made


def _payload(message: Message) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(message.value() or b"{}")
    return payload


def _operations(messages: Sequence[Message]) -> list[str]:
    return [_payload(message).get("op", "tombstone") for message in messages]


def test_null_in_a_column_with_a_default_stays_null(here: Place) -> None:
    """JsonConverter's own default would deliver 5."""
    here.execute("create table t (id integer primary key, a integer default 5)", "insert into t values (1, null)")
    here.with_tables("public.t").start()
    topic = here.settings.data_topic("public.t")
    here.records(topic, lambda read: len(read) >= 1)
    here.execute("insert into t values (2, null)")
    assert [_payload(message)["after"]["a"] for message in here.records(topic, lambda read: len(read) >= 2)] == [None, None]


def test_truncate_and_tombstones_are_delivered(here: Place) -> None:
    """Debezium's own default skips TRUNCATE."""
    here.execute("create table t (id integer primary key)", "insert into t values (1)")
    here.with_tables("public.t").start()
    topic = here.settings.data_topic("public.t")
    here.records(topic, lambda read: len(read) >= 1)
    here.execute("delete from t", "truncate t")
    assert _operations(here.records(topic, lambda read: len(read) >= 4)) == ["r", "d", "tombstone", "t"]


def test_unchanged_large_values_are_read_again(here: Place) -> None:
    """An UPDATE that leaves a TOAST value alone does not carry it: the reselect post-processor fills it, for every type."""
    large = "sync-worker " * 1000
    here.execute(
        "create table t (id integer primary key, small text, t text, j jsonb, b bytea, at text[], ai integer[])",
        *(f"alter table t alter {column} set storage external" for column in ("t", "j", "b", "at", "ai")),
        f"insert into t values (1, 'a', '{large}', to_jsonb('{large}'::text), '{large}'::bytea, array['{large}'], "
        "array(select generate_series(1, 3000)))",
    )
    here.with_tables("public.t").start()
    topic = here.settings.data_topic("public.t")
    here.records(topic, lambda read: len(read) >= 1)
    here.execute("update t set small = 'b'")
    # The row is read as it is when the event passes: had it another key by then, nothing would be found.
    here.records(topic, lambda read: len(read) >= 2)
    here.execute("update t set id = 2")
    read, updated, deleted, _, created = here.records(topic, lambda read: len(read) >= 5)
    whole = _payload(read)["after"]
    assert _payload(updated)["after"] == {**whole, "small": "b"}
    assert _payload(deleted)["op"] == "d"
    assert _payload(created)["after"] == {**whole, "id": 2, "small": "b"}


def test_the_canary_comes_through_kafka(here: Place) -> None:
    """The heartbeat's transactional message is the only proof that events flow, so it must not be filtered out."""
    here.execute("create table t (id integer primary key)")
    here.with_tables("public.t").start()
    messages = here.records(here.settings.message_topic, lambda read: len(read) >= 2)
    assert {_payload(message)["message"]["prefix"] for message in messages} == {CANARY_PREFIX}


def test_a_partitioned_table_streams_under_its_own_name(here: Place) -> None:
    """Without publish_via_partition_root its snapshot would be complete and its stream empty."""
    here.execute(
        "create table t (id integer primary key) partition by range (id)",
        "create table t_low partition of t for values from (0) to (10)",
        "insert into t values (1)",
    )
    here.with_tables("public.t").start()
    topic = here.settings.data_topic("public.t")
    here.records(topic, lambda read: len(read) >= 1)
    here.execute("insert into t values (2)")
    assert _operations(here.records(topic, lambda read: len(read) >= 2)) == ["r", "c"]


def test_stored_generated_columns_are_streamed_from_postgresql_18_on(here: Place) -> None:
    """Otherwise the stream would lack what the snapshot had."""
    with psycopg.connect(here.database_url) as connection:
        if connection.info.server_version < 180000:
            pytest.skip("PostgreSQL publishes generated columns from 18 on")
    here.execute(
        "create table t (id integer primary key, twice integer generated always as (id * 2) stored)",
        "insert into t (id) values (1)",
    )
    here.with_tables("public.t").start()
    topic = here.settings.data_topic("public.t")
    here.records(topic, lambda read: len(read) >= 1)
    here.execute("insert into t (id) values (2)")
    assert [_payload(message)["after"]["twice"] for message in here.records(topic, lambda read: len(read) >= 2)] == [2, 4]


@pytest.mark.parametrize(
    ("type_", "value"), [("numeric[]", "{NaN}"), ("bit(3)[]", "{101}"), ("mood[]", "{sad,NULL}")], ids=["numeric", "bit", "enum"]
)
def test_a_value_that_cannot_be_converted_stops_the_connector_loudly(here: Place, type_: str, value: str) -> None:
    """With Debezium's own default it would become NULL. `check` names these types beforehand."""
    here.execute("create type mood as enum ('sad')", f"create table t (id integer primary key, a {type_})")
    here.with_tables("public.t").start()
    here.execute(f"insert into t values (1, '{value}')")
    with pytest.raises(AssertionError, match=r"Failed to properly convert data value for 'public\.t\.a'"):
        here.records(here.settings.data_topic("public.t"), lambda read: len(read) >= 1)


@pytest.mark.parametrize("identity", ["default", "full"])
def test_an_unchanged_large_array_needs_replica_identity_full(here: Place, identity: str) -> None:
    """Debezium's mark for it is no value of the type, which stops the connector; `check` tells it, and the mend helps."""
    here.execute(
        "create table t (id integer primary key, small text, a numeric[])",
        "alter table t alter a set storage external",
        f"alter table t replica identity {identity}",
        "insert into t select 1, 'a', array(select x::numeric from generate_series(1, 3000) x)",
    )
    here.with_tables("public.t").start()
    topic = here.settings.data_topic("public.t")
    here.records(topic, lambda read: len(read) >= 1)
    here.execute("update t set small = 'b'")
    warned = [problem for problem in asyncio.run(_check(here)) if "unchanged stops the connector" in problem.what]
    if identity == "default":
        assert [problem.subject for problem in warned] == ["public.t.a"]
        with pytest.raises(AssertionError, match=r"Failed to properly convert data value for 'public\.t\.a'"):
            here.records(topic, lambda read: len(read) >= 2)
    else:
        assert warned == []
        read, updated = here.records(topic, lambda read: len(read) >= 2)
        assert _payload(updated)["after"] == {**_payload(read)["after"], "small": "b"}


async def _check(here: Place) -> list[SourceProblem]:
    return await check_source(here.database_url, ["public.t"], here.settings.slot, here.settings.publication)


def test_a_role_with_replication_and_select_is_enough(here: Place) -> None:
    """The documented least privilege: stream, heartbeat, and reading again."""
    role = here.settings.name
    here.execute(
        "create table t (id integer primary key, a text)",
        f"create role {role} with login replication password 'secret'",
        f"grant select on t to {role}",
    )
    try:
        here.with_tables("public.t", user=role, password="secret").start()
        here.execute("insert into t values (1, 'a')")
        here.records(here.settings.data_topic("public.t"), lambda read: len(read) >= 1)
        here.records(here.settings.message_topic, lambda read: len(read) >= 1)
    finally:
        here.stop()
        here.execute(f"drop owned by {role}", f"drop role {role}")
