"""`sync-worker drift`: rows against documents, and what mends the difference. The scrub is made of the same parts."""

from __future__ import annotations

from sync_worker.operations.drift.comparing import DriftParts as DriftParts
from sync_worker.operations.drift.comparing import Wanted as Wanted
from sync_worker.operations.drift.comparing import compare as compare
from sync_worker.operations.drift.parts import Compared as Compared
from sync_worker.operations.drift.repair import repair as repair
from sync_worker.operations.drift.report import DriftItem as DriftItem
from sync_worker.operations.drift.report import DriftReport as DriftReport
from sync_worker.operations.drift.report import IndexDrift as IndexDrift
from sync_worker.operations.drift.report import Repair as Repair
from sync_worker.operations.drift.show import DriftShow as DriftShow
from sync_worker.operations.drift.show import show as show
