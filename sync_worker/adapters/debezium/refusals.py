"""Options of a connector that lose, age or change events without a word. Pure.

Each line was reproduced against Debezium 3.7 and Connect 4.3 or read in their sources.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sync_worker.change.message import BARRIER_PREFIX

CANARY_PREFIX = "sync-worker.canary"
"""Prefix of the transactional messages that the connector's heartbeat writes into the WAL."""

_REQUIRED: Mapping[str, tuple[str, str]] = {
    "plugin.name": ("pgoutput", "only pgoutput ships with PostgreSQL and only its values are proven"),
    "slot.drop.on.stop": ("false", "a dropped slot forgets every change until the next start: deletes are lost for ever"),
    "snapshot.mode": (
        "initial",
        "'when_needed' and 'always' read again without the deletes of the gap, 'no_data' skips rows that were never sent, "
        "'initial_only' stops after the snapshot",
    ),
    "offset.mismatch.strategy": (
        "no_validation",
        "'trust_slot' and 'trust_greater_lsn' skip everything between offset and slot in silence",
    ),
    "lsn.flush.mode": (
        "connector",
        "the slot may only advance behind what Connect has stored; 'manual' never frees WAL, the driver's too much",
    ),
    "publication.autocreate.mode": (
        "disabled",
        "'filtered' rewrites a publication and drops its column lists and filters, 'all_tables' publishes what nobody asked for",
    ),
    "event.converting.failure.handling.mode": ("fail", "a value that can't be converted becomes NULL with 'warn' or 'skip'"),
    "event.processing.failure.handling.mode": ("fail", "'warn', 'skip' and 'ignore' drop the event"),
    "errors.tolerance": ("none", "'all' drops the event"),
    "key.converter": ("org.apache.kafka.connect.json.JsonConverter", "the decoder reads JSON"),
    "value.converter": ("org.apache.kafka.connect.json.JsonConverter", "the decoder reads JSON"),
    "key.converter.replace.null.with.default": ("false", "a NULL in a column with a DEFAULT arrives as that default"),
    "value.converter.replace.null.with.default": ("false", "a NULL in a column with a DEFAULT arrives as that default"),
    "decimal.handling.mode": ("string", "'double' loses digits, 'precise' is not what the decoder reads"),
    "time.precision.mode": ("isostring", "the decoder reads ISO text; 'connect' also cuts microseconds"),
    "binary.handling.mode": (
        "bytes",
        "JSON carries bytes as base64 anyway; in other modes an unchanged large bytea arrives as NULL, without the placeholder",
    ),
    "interval.handling.mode": ("string", "'numeric' takes a month for 30.4375 days"),
    "hstore.handling.mode": ("json", "the decoder reads JSON text"),
    "schema.name.adjustment.mode": ("none", "names must be the table's own"),
    "field.name.adjustment.mode": ("none", "it renames columns, and the declaration no longer finds them"),
    "include.unknown.datatypes": ("false", "an unknown type must be missing and so be noticed, not arrive as bytes"),
    "unavailable.value.placeholder": ("__debezium_unavailable_value", "the decoder knows an unchanged TOAST value by it"),
    "skipped.operations": ("none", "Debezium's default skips TRUNCATE"),
    "skip.messages.without.change": ("false", "it drops updates that a retry or a backfill may be waiting for"),
    "tombstones.on.delete": ("true", "a compacted copy of the topic would keep deleted rows"),
}

_FORBIDDEN: tuple[tuple[str, str, str], ...] = (
    (
        r"transforms",
        "a transformation can drop, rename or reroute events unseen",
        "transform in the declaration",
    ),
    (r"predicates", "they steer transformations", "transform in the declaration"),
    (r"converters", "a custom converter changes values that the source's rows do not change with", "convert in a hook"),
    (r"topic\.naming\.strategy", "topics must be <prefix>.<schema>.<table>", "leave it out"),
    (
        r"message\.key\.columns",
        "a key outside the replica identity is null or stale in deletes, so documents stay behind",
        "declare the index's primary_key instead",
    ),
    (
        r"column\.mask\..*|column\.truncate\..*",
        "values differ from the source's rows",
        "omit the field",
    ),
    (r"snapshot\.include\.collection\.list", "the tables left out are never filled", "leave it out"),
    (r"snapshot\.select\.statement\.overrides.*", "rows left out of the snapshot are never filled", "use the index's where"),
    (r"message\.prefix\.include\.list", "the canary and barriers would not pass", "leave it out"),
    (r"table\.exclude\.list|schema\.exclude\.list|schema\.include\.list", "table.include.list alone decides", "leave it out"),
)


def refusals(config: Mapping[str, str]) -> list[str]:
    """Why this configuration must not run: option, danger and mend, one sentence each. Empty for the template's own."""
    found = []
    for option, (wanted, why) in _REQUIRED.items():
        value = config.get(option)
        if value is None or value.strip().lower() != wanted.lower():
            found.append(f"{option}={value!r} is refused: {why}; set it to {wanted!r}")
    for pattern, why, mend in _FORBIDDEN:
        found += [
            f"{option} is refused: {why}; {mend}"
            for option, value in config.items()
            if re.fullmatch(pattern, option) and value.strip()
        ]
    found += _other(config)
    return found


def _other(config: Mapping[str, str]) -> list[str]:
    found = []
    if config.get("tasks.max", "1") != "1":
        found.append("tasks.max is refused: the PostgreSQL connector has one task; set it to '1'")
    if config.get("publication.name", "dbz_publication") == "dbz_publication":
        found.append("publication.name is refused: 'dbz_publication' is what every unnamed connector uses; name its own")
    if config.get("exactly.once.support") == "required":
        found.append("exactly.once.support is refused: readers would have to skip aborted records; leave it out")
    interval = config.get("heartbeat.interval.ms", "0")
    if not interval.isdecimal() or int(interval) == 0:
        found.append("heartbeat.interval.ms is refused: without the canary nothing proves that events flow; set it to '1000'")
    query = re.sub(r"\s", "", config.get("heartbeat.action.query", ""))
    if f"pg_logical_emit_message(true,'{CANARY_PREFIX}'," not in query:
        found.append(
            "heartbeat.action.query is refused: only a transactional logical message with the canary's prefix proves the "
            "whole way; leave the template's query"
        )
    excluded = config.get("message.prefix.exclude.list", "")
    if hidden := [prefix for prefix in (CANARY_PREFIX, BARRIER_PREFIX) if _matches(excluded, prefix)]:
        found.append(f"message.prefix.exclude.list is refused: it hides the canary or barriers; leave {', '.join(hidden)} out")
    return found


def _matches(patterns: str, prefix: str) -> bool:
    """Debezium reads each entry as a regular expression for the whole prefix."""
    return any(re.fullmatch(pattern.strip(), prefix) for pattern in patterns.split(",") if pattern.strip())
