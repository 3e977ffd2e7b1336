"""The connector's configuration: what the template holds, and what an operator may not change."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sync_worker.adapters.debezium.refusals import refusals
from sync_worker.adapters.debezium.template import ConnectorSettings, render_connector, template
from sync_worker.errors import ConfigurationError

SETTINGS = ConnectorSettings(
    name="cities",
    topic_prefix="app",
    hostname="db",
    port=5432,
    user="sync_worker",
    password='se"cret$$',
    database="app",
    tables=("public.cities", "public.odd$name"),
    slot="sync_worker",
    publication="sync_worker",
    bootstrap_servers="kafka:9092",
)


def test_the_template_renders_without_a_placeholder_left() -> None:
    """Values are put in as they are, whatever they contain."""
    config = render_connector(SETTINGS)
    assert all(isinstance(value, str) for value in config.values())
    assert config["database.password"] == 'se"cret$$'
    assert not [option for option, value in config.items() if "${" in value]
    assert config["table.include.list"] == r"public\.cities,public\.odd\$name"


def test_a_reference_to_a_secret_reaches_connect_as_it_is() -> None:
    """Connect's config providers read it; the password is then nowhere in the configuration."""
    config = render_connector(replace(SETTINGS, password="${file:/run/secrets/database:password}"))
    assert config["database.password"] == "${file:/run/secrets/database:password}"


def test_what_the_facts_demand_is_in_the_template() -> None:
    """Measured or read in the sources; each of these has lost or held up events with another value."""
    config = render_connector(SETTINGS)
    for option, value in {
        "tasks.max": "1",
        "read.only": "true",
        "poll.interval.ms": "2",
        "incremental.snapshot.chunk.size": "1024",
        "signal.enabled.channels": "kafka",
        "signal.poll.interval.ms": "200",
        "signal.kafka.poll.timeout.ms": "500",
        "notification.enabled.channels": "sink",
        "topic.creation.default.partitions": "1",
        "topic.creation.default.cleanup.policy": "delete",
        "reselector.reselect.unavailable.values": "true",
        "reselector.reselect.null.values": "false",
    }.items():
        assert config[option] == value, option
    assert config["topic.creation.default.max.message.bytes"] == config["producer.override.max.request.size"]
    assert int(config["producer.override.buffer.memory"]) > int(config["producer.override.max.request.size"])


def test_each_connector_listens_to_its_signals_alone() -> None:
    """Two connectors in one group would take each other's signals."""
    other = render_connector(replace(SETTINGS, name="other"))
    assert render_connector(SETTINGS)["signal.kafka.groupId"] != other["signal.kafka.groupId"]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("snapshot.mode", "when_needed"),
        ("snapshot.mode", "no_data"),
        ("offset.mismatch.strategy", "trust_slot"),
        ("lsn.flush.mode", "manual"),
        ("slot.drop.on.stop", "true"),
        ("publication.autocreate.mode", "filtered"),
        ("publication.name", "dbz_publication"),
        ("event.converting.failure.handling.mode", "warn"),
        ("event.processing.failure.handling.mode", "skip"),
        ("errors.tolerance", "all"),
        ("value.converter.replace.null.with.default", "true"),
        ("key.converter.replace.null.with.default", "true"),
        ("value.converter", "io.confluent.connect.avro.AvroConverter"),
        ("decimal.handling.mode", "double"),
        ("time.precision.mode", "connect"),
        ("binary.handling.mode", "base64"),
        ("skipped.operations", "t"),
        ("skip.messages.without.change", "true"),
        ("tombstones.on.delete", "false"),
        ("unavailable.value.placeholder", "?"),
        ("transforms", "unwrap"),
        ("message.key.columns", "public.cities:name"),
        ("column.mask.with.3.chars", "public.cities.name"),
        ("column.truncate.to.3.chars", "public.cities.name"),
        ("snapshot.include.collection.list", "public.cities"),
        ("message.prefix.exclude.list", "sync-worker.*"),
        ("message.prefix.exclude.list", "mine, sync-worker.barrier"),
        ("message.prefix.include.list", "mine"),
        ("message.prefix.include.list", "mine,sync-worker.canary"),
        ("heartbeat.interval.ms", "0"),
        ("heartbeat.action.query", "SELECT 1"),
        ("heartbeat.action.query", "SELECT pg_logical_emit_message(false, 'sync-worker.canary', '')"),
        ("tasks.max", "2"),
        ("exactly.once.support", "required"),
        ("field.name.adjustment.mode", "avro"),
    ],
)
def test_an_override_that_loses_events_quietly_is_refused(option: str, value: str) -> None:
    """Named with its danger and the mend, before anything is sent to Connect."""
    with pytest.raises(ConfigurationError) as raised:
        render_connector(replace(SETTINGS, overrides={option: value}))
    [problem] = raised.value.problems
    assert problem.startswith(option)


def test_an_option_left_out_is_as_bad_as_a_wrong_one() -> None:
    """Debezium's defaults are the danger: a connector made by hand is measured the same way."""
    bare = {"name": "x", "connector.class": "io.debezium.connector.postgresql.PostgresConnector"}
    assert {problem.split("=")[0] for problem in refusals(bare)} >= {
        "event.converting.failure.handling.mode",
        "value.converter.replace.null.with.default",
        "skipped.operations",
    }


def test_harmless_overrides_pass() -> None:
    """Tuning and security are the operator's."""
    overrides = {
        "max.batch.size": "100",
        "signal.consumer.security.protocol": "SSL",
        "column.exclude.list": "public.cities.secret",
    }
    assert render_connector(replace(SETTINGS, overrides=overrides)).items() >= overrides.items()


def test_all_wrong_settings_are_told_at_once() -> None:
    """One run, one list."""
    wrong = replace(SETTINGS, topic_prefix="a.b", slot="Slot", tables=("cities",), publication="dbz_publication")
    with pytest.raises(ConfigurationError) as raised:
        render_connector(wrong)
    assert len(raised.value.problems) == 5


def test_the_template_is_found_where_the_documentation_says() -> None:
    """connectors/postgres.json is the very file that the package ships."""
    shown = Path(__file__).parents[3] / "connectors" / "postgres.json"
    assert json.loads(shown.read_text(encoding="utf-8")) == template()
