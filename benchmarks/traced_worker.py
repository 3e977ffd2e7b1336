"""`sync-worker run`, noting when each flush passed which point. Only the benchmark of latency starts it."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from sync_worker.pipeline.pipeline import Pipeline
from sync_worker.pipeline.settle import Settler
from sync_worker.pipeline.write import Writer
from sync_worker.wiring.build import read_config
from sync_worker.wiring.worker import run_worker


def _note(event: str, **values: Any) -> None:
    print(json.dumps({"event": event, **values}), flush=True)


def _trace() -> None:
    take, send, settle = Pipeline.take, Writer.send, Settler._settle

    async def traced_take(self: Pipeline, chunk: Any) -> None:
        now = time.time()
        await take(self, chunk)
        for record in chunk.records:
            if record.value is not None:
                _note("taken", offset=record.offset, at=now)

    async def traced_send(self: Writer, part: Any, entries: Any) -> None:
        now = time.time()
        await send(self, part, entries)
        for _, high in part.ranges.values():
            _note("sent", offset=high, task=part.uid, from_s=now, at=time.time())

    def traced_settle(self: Settler, uid: Any, task: Any) -> None:
        part = self._parts[uid]
        settle(self, uid, task)
        for _, high in part.ranges.values():
            _note("settled", offset=high, at=time.time())

    Pipeline.take, Writer.send, Settler._settle = traced_take, traced_send, traced_settle  # type: ignore[method-assign]


if __name__ == "__main__":
    _trace()
    sys.exit(run_worker(read_config(Path(sys.argv[sys.argv.index("--config") + 1]))))
