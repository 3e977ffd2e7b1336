"""The parts around the worker, started and stopped: for `make up`, the tests, the demo and the benchmarks."""

from sync_worker.testing.stack.lifecycle import default_home, down, owned_home, remove, remove_orphans, up
from sync_worker.testing.stack.model import PARTS, Stack
from sync_worker.testing.stack.part import Kind, Part
from sync_worker.testing.stack.process import StackError
from sync_worker.testing.stack.report import what_was_real

__all__ = [
    "PARTS",
    "Kind",
    "Part",
    "Stack",
    "StackError",
    "default_home",
    "down",
    "owned_home",
    "remove",
    "remove_orphans",
    "up",
    "what_was_real",
]
