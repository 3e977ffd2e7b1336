"""The watch over the whole chain: once before the worker consumes, every minute after, and in `sync-worker check`."""

from sync_worker.operations.watch.comparing import Comparison, WatchParts, compare
from sync_worker.operations.watch.filling import FillWatch, completed_fill
from sync_worker.operations.watch.watcher import Watcher

__all__ = ["Comparison", "FillWatch", "WatchParts", "Watcher", "compare", "completed_fill"]
