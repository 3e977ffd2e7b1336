"""What must be true of the new index before it takes the live one's place. Each gate says what it saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sync_worker.errors import ConfigurationError, SyncWorkerError
from sync_worker.operations.drift import Wanted, compare
from sync_worker.operations.reindex.parts import ReindexParts
from sync_worker.operations.settings import settings_differences
from sync_worker.ports import TaskStatus
from sync_worker.rebuild.model import Rebuild

_UNFINISHED = (TaskStatus.ENQUEUED, TaskStatus.PROCESSING)
_PATIENCE_S = 30.0


class Sample(BaseModel):
    """A search and the ids that it must find, in this order, before all others."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    search: dict[str, Any]
    expect: list[str] = Field(min_length=1)


class Gates(BaseModel):
    """What is asked beside what is always asked; as a file of gates has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_documents: int = Field(default=0, ge=0)
    samples: list[Sample] = []


def read_gates(content: Mapping[str, Any]) -> Gates:
    """Raises ConfigurationError with every mistake."""
    try:
        return Gates.model_validate(content)
    except ValidationError as error:
        problems = [f"--gates: {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise ConfigurationError(problems, remedy="min_documents = 1000, and [[samples]] with search and expect") from error


@dataclass(frozen=True, slots=True)
class GateSeen:
    """One gate. `evidence` is what was seen, whether it passed or not."""

    gate: str
    passed: bool
    evidence: str


class GateFailed(SyncWorkerError):
    """The new index is not what it should be; nothing was changed."""

    def __init__(self, rebuild: Rebuild, seen: Sequence[GateSeen]) -> None:
        failed = [f"{one.gate}: {one.evidence}" for one in seen if not one.passed]
        super().__init__(
            f"{rebuild.index}: {rebuild.target_uid} may not go live: {'; '.join(failed)}",
            remedy=f"mend it, then: sync-worker reindex {rebuild.index} --resume; or give up: --abort",
        )
        self.seen = tuple(seen)


async def look(parts: ReindexParts, rebuild: Rebuild, gates: Gates) -> Sequence[GateSeen]:
    """All gates, cheapest first. Raises the ports' errors where one can't be looked at."""
    return [
        await _settings(parts, rebuild),
        await _count(parts, rebuild, gates.min_documents),
        *[await _sample(parts, rebuild, sample) for sample in gates.samples],
        await _drift(parts, rebuild),
    ]


async def _settings(parts: ReindexParts, rebuild: Rebuild) -> GateSeen:
    live = await parts.admin.settings(rebuild.target_uid)
    differing = settings_differences(parts.declaration.settings, live)
    return GateSeen("settings", not differing, f"differ: {', '.join(sorted(differing))}" if differing else "as declared")


async def no_task(parts: ReindexParts, rebuild: Rebuild) -> GateSeen:
    """Looked at while the workers stand still: as long as changes come, some task is always on its way."""
    deadline = parts.clock.monotonic() + _PATIENCE_S
    while True:
        left = {
            uid: count for uid in (rebuild.uid, rebuild.target_uid) if (count := await parts.admin.task_count(uid, _UNFINISHED))
        }
        if not left or parts.clock.monotonic() >= deadline:
            break
        await parts.clock.sleep(0.1)
    said = ", ".join(f"{count} of {uid}" for uid, count in left.items())
    return GateSeen("tasks", not left, f"unfinished for {_PATIENCE_S:.0f} s: {said}" if left else "none unfinished")


async def _count(parts: ReindexParts, rebuild: Rebuild, least: int) -> GateSeen:
    count = await parts.admin.document_count(rebuild.target_uid)
    return GateSeen("count", count >= least, f"{count} documents, at least {least} asked for")


async def _sample(parts: ReindexParts, rebuild: Rebuild, sample: Sample) -> GateSeen:
    found = await parts.admin.found_ids(rebuild.target_uid, parts.declaration.id_field, sample.search)
    passed = list(found[: len(sample.expect)]) == sample.expect
    return GateSeen("sample", passed, f"{sample.search} finds {list(found)}, expected {sample.expect}")


async def _drift(parts: ReindexParts, rebuild: Rebuild) -> GateSeen:
    seen, _ = await compare(parts.drift, parts.target(rebuild), Wanted())
    counts = ", ".join(f"{count} {kind}" for kind, count in seen.counts.items() if count)
    examples = ", ".join(item.document_id for item in seen.items[:5])
    explained = f", {seen.explained} of them failed work" if seen.explained else ""
    what = (
        f"{counts} (for instance {examples}){explained}" if counts else f"{seen.rows} rows, {seen.documents} documents, all equal"
    )
    return GateSeen("drift", seen.in_sync, what)
