"""The one list of metrics: what may be counted, set and observed, and what each means.

The port `Telemetry` takes only these names, so that the type checker refuses a stray one or one of the wrong kind.
`docs/metrics.md` is made from this list (`python -m sync_worker.adapters.telemetry.page docs/metrics.md`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

CounterName = Literal[
    "events",
    "tasks",
    "failures",
    "dead_letters",
    "superseded",
    "late_writes_found",
    "late_writes_mended",
    "promises_kept",
    "promises_broken",
    "replays",
    "retries",
    "isolation_steps",
    "payload_splits",
    "scrubbed",
]
GaugeName = Literal[
    "in_flight_documents",
    "in_flight_bytes",
    "in_flight_tasks",
    "lag_messages",
    "lag_seconds",
    "open_failures",
    "assigned_partitions",
    "findings",
    "documents_of_older_declaration",
    "last_comparison_timestamp_seconds",
    "rebuild_phase",
]
HistogramName = Literal[
    "flush_documents",
    "flush_bytes",
    "flush_seconds",
    "task_seconds",
    "freshness_seconds",
]
ScrapedName = Literal["holds", "commit_age_seconds", "last_applied_age_seconds", "canary_age_seconds", "alive"]
"""Read from the worker whenever somebody scrapes: a value pushed by a stalled worker would stay where it was."""

MetricName = CounterName | GaugeName | HistogramName | ScrapedName


class Kind(StrEnum):
    """Prometheus's own words."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        labels: exactly these are given with every value. None of them ever holds a row's value.
        buckets: upper bounds in `unit`, for a histogram.
    """

    kind: Kind
    unit: str
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
_DOCUMENTS = (1.0, 10.0, 100.0, 1_000.0, 5_000.0, 10_000.0, 25_000.0, 50_000.0, 100_000.0, 250_000.0)
_BYTES = (1e3, 1e4, 1e5, 1e6, 5e6, 1e7, 2.5e7, 5e7, 1e8)

METRICS: Mapping[MetricName, Metric] = {
    "events": Metric(
        Kind.COUNTER,
        "changes",
        "Changes taken from Kafka that became a document, a delete or a clear of an index, again when a range is consumed again. "
        "Records that ask nothing of it, such as tombstones, and changes that no document could be made of are not counted.",
        ("index", "operation"),
    ),
    "tasks": Metric(
        Kind.COUNTER, "tasks", "Meilisearch tasks that ended: succeeded, failed, canceled or unknown.", ("index", "outcome")
    ),
    "failures": Metric(Kind.COUNTER, "changes", "Changes that could not be applied, by reason class.", ("index", "reason_class")),
    "dead_letters": Metric(Kind.COUNTER, "records", "Records whose delivery to the dead-letter topic was confirmed.", ("index",)),
    "retries": Metric(
        Kind.COUNTER,
        "failures",
        "Failed work that an operator had tried again, by outcome: resolved, failed, superseded.",
        ("index", "outcome"),
    ),
    "superseded": Metric(Kind.COUNTER, "failures", "Open failures that a later applied change made void.", ("index",)),
    "late_writes_found": Metric(
        Kind.COUNTER,
        "tasks",
        "Writes found in the index's task history that this worker did not know of: an older owner's, or a lost answer's.",
        ("index",),
    ),
    "late_writes_mended": Metric(Kind.COUNTER, "tasks", "Late writes whose effect was undone by a replay.", ("index",)),
    "promises_kept": Metric(Kind.COUNTER, "changes", "Key changes whose create followed their delete.", ("topic",)),
    "promises_broken": Metric(
        Kind.COUNTER,
        "changes",
        "Key changes whose create was lost by a restart of the connector; their rows were read from the source.",
        ("topic",),
    ),
    "replays": Metric(
        Kind.COUNTER, "replays", "Ranges of a partition that were consumed again to undo a late write.", ("index",)
    ),
    "isolation_steps": Metric(
        Kind.COUNTER,
        "tasks",
        "Payloads tried to find a failing document, on the scratch index or on the live one.",
        ("index", "place"),
    ),
    "payload_splits": Metric(Kind.COUNTER, "payloads", "Payloads split because the server's size limit was passed.", ("index",)),
    "in_flight_documents": Metric(Kind.GAUGE, "documents", "Documents sent and not settled yet.", ("index",)),
    "in_flight_bytes": Metric(Kind.GAUGE, "bytes", "Bytes of documents sent and not settled yet.", ("index",)),
    "in_flight_tasks": Metric(Kind.GAUGE, "tasks", "Tasks accepted and not settled yet.", ("index",)),
    "lag_messages": Metric(Kind.GAUGE, "records", "Records of the partition not acknowledged yet.", ("topic", "partition")),
    "lag_seconds": Metric(
        Kind.GAUGE, "seconds", "Age of the oldest change not acknowledged yet, by its commit time.", ("topic", "partition")
    ),
    "open_failures": Metric(Kind.GAUGE, "failures", "Failures open now, of the partitions that this worker owns.", ("index",)),
    "rebuild_phase": Metric(
        Kind.GAUGE,
        "rebuilds",
        "1 for the phase that an index's rebuild is in, as this worker read it last, 0 for those it has left. `uid` is queried "
        "by applications and bears the physical index `live` (`old` or `new`); `target` is the other one's name.",
        ("index", "uid", "target", "live", "phase"),
    ),
    "assigned_partitions": Metric(Kind.GAUGE, "partitions", "Partitions that this worker owns."),
    "findings": Metric(Kind.GAUGE, "findings", "Open findings, by kind, as the state database has them.", ("kind",)),
    "documents_of_older_declaration": Metric(
        Kind.GAUGE,
        "documents",
        "Documents that may have been made with another declaration than today's, at most: all that were in the index when the "
        "change was noticed, until it is filled again.",
        ("index",),
    ),
    "last_comparison_timestamp_seconds": Metric(
        Kind.GAUGE,
        "seconds",
        "When the last complete comparison of rows and documents began, by `drift` or the scrub, in seconds since 1970: what it "
        "proves is as old as that. Absent before the first one.",
        ("index", "depth"),
    ),
    "scrubbed": Metric(Kind.COUNTER, "rows", "Rows, and then ids of documents, that the scrub looked at.", ("index",)),
    "flush_documents": Metric(Kind.HISTOGRAM, "documents", "Documents of one flush.", ("index",), _DOCUMENTS),
    "flush_bytes": Metric(Kind.HISTOGRAM, "bytes", "Bytes of documents of one flush, before compression.", ("index",), _BYTES),
    "flush_seconds": Metric(
        Kind.HISTOGRAM, "seconds", "From the first request of a flush until it settled.", ("index",), _SECONDS
    ),
    "task_seconds": Metric(
        Kind.HISTOGRAM, "seconds", "From a task's acceptance until it was seen finished.", ("index",), _SECONDS
    ),
    "freshness_seconds": Metric(
        Kind.HISTOGRAM,
        "seconds",
        "From the commit in the source until the change was applied. A sample: of a flush of more than 400 "
        "documents 200 to 400 are observed, evenly spread, so its count is no count of changes.",
        ("index",),
        _SECONDS,
    ),
    "holds": Metric(
        Kind.GAUGE,
        "1",
        "1 while the worker holds for this subject; the cause is the error's class or the finding's kind. Absent otherwise.",
        ("subject", "cause"),
    ),
    "commit_age_seconds": Metric(
        Kind.GAUGE,
        "seconds",
        "Since the last acknowledgement of a partition that has a backlog; absent without one.",
        ("topic", "partition"),
    ),
    "last_applied_age_seconds": Metric(
        Kind.GAUGE, "seconds", "Since a change was last applied to any index; absent before the first one."
    ),
    "canary_age_seconds": Metric(
        Kind.GAUGE,
        "seconds",
        "Since the newest message that came the whole way, from PostgreSQL through Debezium and Kafka to this worker, was "
        "committed, by PostgreSQL's clock; absent before the first one.",
    ),
    "alive": Metric(Kind.GAUGE, "1", "1 while the canary is younger than worker.canary_limit_s; nothing else makes it so."),
}


def exported_name(name: MetricName) -> str:
    """The name under which Prometheus sees it."""
    suffix = "_total" if METRICS[name].kind is Kind.COUNTER else ""
    return f"sync_worker_{name}{suffix}"
