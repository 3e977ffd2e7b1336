"""Every metric has one name, one kind and one set of labels, and the page says the same."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import get_args

import pytest

import sync_worker
from sync_worker.adapters.telemetry.page import metrics_page
from sync_worker.adapters.telemetry.prometheus import PrometheusTelemetry
from sync_worker.metrics import METRICS, CounterName, GaugeName, HistogramName, Kind, ScrapedName, exported_name

PACKAGE = Path(sync_worker.__file__).parent


def test_the_types_and_the_list_name_the_same_metrics() -> None:
    """A name that the type checker lets through has an entry of its kind, and no entry is without a name."""
    kinds = {
        **dict.fromkeys(get_args(CounterName), Kind.COUNTER),
        **dict.fromkeys(get_args(GaugeName), Kind.GAUGE),
        **dict.fromkeys(get_args(ScrapedName), Kind.GAUGE),
        **dict.fromkeys(get_args(HistogramName), Kind.HISTOGRAM),
    }
    assert {name: metric.kind for name, metric in METRICS.items()} == kinds


def test_the_page_is_up_to_date() -> None:
    """docs/metrics.md is what the list says now: `python -m sync_worker.adapters.telemetry.page docs/metrics.md`."""
    assert (PACKAGE.parent / "docs" / "metrics.md").read_text(encoding="utf-8") == metrics_page()


def test_freshness_is_told_apart_from_10_ms_to_1_h() -> None:
    """A promise of 10 ms and one of an hour can both be read from the histogram."""
    buckets = METRICS["freshness_seconds"].buckets
    assert (buckets[0], buckets[-1]) == (0.01, 3600.0)
    assert list(buckets) == sorted(set(buckets))


def calls_in(source: str) -> list[tuple[str, set[str]]]:
    """(metric, labels) of every call of count, gauge or observe with a literal metric name."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if node.func.attr not in ("count", "gauge", "observe") or not node.args or any(k.arg is None for k in node.keywords):
            continue
        name = node.args[0]
        if isinstance(name, ast.Constant) and name.value in METRICS:
            found.append((str(name.value), {str(k.arg) for k in node.keywords} - {"value"}))
    return found


def test_every_call_gives_exactly_the_labels_of_its_metric() -> None:
    """Wrong labels would raise in the running worker: they are found here first."""
    assert calls_in("t.count('events', 3, index='a', wrong='b')") == [("events", {"index", "wrong"})]
    wrong = [
        f"{path.relative_to(PACKAGE)}: {name} with {sorted(labels)}"
        for path in PACKAGE.rglob("*.py")
        for name, labels in calls_in(path.read_text(encoding="utf-8"))
        if labels != set(METRICS[name].labels)  # type: ignore[index]
    ]
    assert wrong == []


def test_values_come_out_under_the_listed_names() -> None:
    """What was counted, set and observed is what a scrape reads."""
    telemetry = PrometheusTelemetry()
    telemetry.count("events", 3, index="cities", operation="create")
    telemetry.gauge("in_flight_bytes", 512, index="cities")
    telemetry.gauge("assigned_partitions", 2)
    telemetry.observe("freshness_seconds", 0.03, index="cities")
    value = telemetry.registry.get_sample_value
    assert value(exported_name("events"), {"index": "cities", "operation": "create"}) == 3
    assert value("sync_worker_in_flight_bytes", {"index": "cities"}) == 512
    assert value("sync_worker_assigned_partitions") == 2
    assert value("sync_worker_freshness_seconds_bucket", {"index": "cities", "le": "0.025"}) == 0
    assert value("sync_worker_freshness_seconds_bucket", {"index": "cities", "le": "0.05"}) == 1


def test_two_workers_in_one_process_do_not_share_values() -> None:
    """Each telemetry has its own registry."""
    one, other = PrometheusTelemetry(), PrometheusTelemetry()
    one.gauge("assigned_partitions", 2)
    assert other.registry.get_sample_value("sync_worker_assigned_partitions") == 0


def test_other_labels_than_the_listed_ones_are_refused() -> None:
    """A stray label can't open a new series."""
    with pytest.raises(ValueError, match="label"):
        PrometheusTelemetry().gauge("assigned_partitions", 2, row="x")
