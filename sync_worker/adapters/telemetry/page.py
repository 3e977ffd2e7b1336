"""Makes `docs/metrics.md` from the list of metrics: `python -m sync_worker.adapters.telemetry.page docs/metrics.md`."""

from __future__ import annotations

import sys
from pathlib import Path

from sync_worker.metrics import METRICS, exported_name

_HEAD = """# Metrics

Served at `/metrics` of the worker, in Prometheus's text format. Made from `sync_worker/metrics.py`; change it there.

| name | kind | unit | labels | meaning |
|---|---|---|---|---|
"""


def metrics_page() -> str:
    """The page as Markdown."""
    rows = (
        f"| `{exported_name(name)}` | {metric.kind} | {metric.unit} | {', '.join(f'`{label}`' for label in metric.labels)} "
        f"| {metric.meaning} |"
        for name, metric in METRICS.items()
    )
    return _HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(metrics_page(), encoding="utf-8")
