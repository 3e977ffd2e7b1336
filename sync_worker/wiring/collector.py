"""How often Python looks for garbage cycles."""

from __future__ import annotations

import gc

_YOUNG = 200_000
_MIDDLE = 50
_OLD = 1_000


def calm_collector() -> None:
    """Look for cycles in what a run leaves behind, not in every row that passes.

    A row is a few dicts and lists without cycles, freed as soon as its flush is done. At Python's own threshold (700 new
    containers) the collector walks through everything in flight over and over: some four tenths of the worker's processor time
    while it drains a backlog. Modules and classes, which live as long as the process, are not walked through at all.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
