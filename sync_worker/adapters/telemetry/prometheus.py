"""The port `Telemetry` on prometheus-client, in a registry of its own."""

from __future__ import annotations

from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from sync_worker.metrics import METRICS, CounterName, GaugeName, HistogramName, exported_name


class PrometheusTelemetry:
    """Implements `sync_worker.ports.Telemetry`.

    Raises ValueError for labels other than the metric's own.
    """

    def __init__(self) -> None:
        # Not the library's global registry: a second worker in one process would clash with the first.
        self.registry = CollectorRegistry()
        names: tuple[CounterName, ...] = get_args(CounterName)
        self._counters = {
            n: Counter(exported_name(n), METRICS[n].meaning, METRICS[n].labels, registry=self.registry) for n in names
        }
        gauges: tuple[GaugeName, ...] = get_args(GaugeName)
        self._gauges = {n: Gauge(exported_name(n), METRICS[n].meaning, METRICS[n].labels, registry=self.registry) for n in gauges}
        histograms: tuple[HistogramName, ...] = get_args(HistogramName)
        self._histograms = {
            n: Histogram(
                exported_name(n), METRICS[n].meaning, METRICS[n].labels, buckets=METRICS[n].buckets, registry=self.registry
            )
            for n in histograms
        }

    def count(self, metric: CounterName, value: float = 1, **labels: str) -> None:
        counter = self._counters[metric]
        (counter.labels(**labels) if METRICS[metric].labels or labels else counter).inc(value)

    def gauge(self, metric: GaugeName, value: float, **labels: str) -> None:
        gauge = self._gauges[metric]
        (gauge.labels(**labels) if METRICS[metric].labels or labels else gauge).set(value)

    def observe(self, metric: HistogramName, value: float, **labels: str) -> None:
        histogram = self._histograms[metric]
        (histogram.labels(**labels) if METRICS[metric].labels or labels else histogram).observe(value)
