"""One look of the watch, stored: findings first, then what to compare the next look with."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from sync_worker.errors import SyncWorkerError
from sync_worker.failure.findings import RULES, FindingKind, Proof, found, rule_of
from sync_worker.failure.model import Finding
from sync_worker.operations.watch.comparing import Comparison, WatchParts, compare
from sync_worker.operations.watch.filling import FillWatch
from sync_worker.ports import Clock, State
from sync_worker.watch.facts import Watched
from sync_worker.watch.look import Noticed

log = structlog.get_logger(__name__)

INTERVAL_S = 60.0
_SOON_S = 5.0
"""While a condition is open that may go by itself: a connector that is back must not be called down for another minute."""

_BLIND_AFTER = 3
"""Looks in a row at which a part did not answer, before that is a finding: a restart takes less."""


class Watcher:
    """Every worker looks by itself: a look is some ten queries and six requests a minute, and what it stores may be stored twice.

    Args:
        fills: looked at with each look, after everything else.
    """

    def __init__(self, parts: WatchParts, watched: Watched, *, state: State, fills: FillWatch, clock: Clock) -> None:
        self._parts = parts
        self._watched = watched
        self._state = state
        self._fills = fills
        self._clock = clock
        self._unanswered: dict[str, int] = {}
        self._may_go = False
        self._told: set[tuple[FindingKind, str]] = set()

    async def run(self) -> None:
        """For ever, a look a minute. What keeps a look from being stored is logged, and the next one tries again."""
        while True:
            await self._clock.sleep(_SOON_S if self._may_go else INTERVAL_S)
            await self.look()

    async def look(self) -> None:
        """One look. Raises nothing of the chain's: a part that does not answer is a log line, and a finding when it stays so."""
        try:
            comparison = await self._store()
            await self._fills.look(comparison.connector)
            self._may_go = any(RULES[one.kind].proof is Proof.GONE for one in comparison.noticed)
        except SyncWorkerError as error:
            log.warning("watch", cause=error.message)

    async def _store(self) -> Comparison:
        now = self._clock.now()
        recorded = await self._state.recorded_facts()
        comparison = await compare(self._parts, self._watched, recorded, now=now)
        noticed = [*comparison.noticed, *self._blind(comparison.unanswered)]
        for one in await self._not_accepted(noticed):
            await self._state.add_finding(found(one.kind, one.subject, one.evidence, now=now, **one.words))
            if (one.kind, one.subject) not in self._told:
                log.warning("finding", kind=one.kind.value, subject=one.subject, evidence=one.evidence)
        self._told = {(one.kind, one.subject) for one in noticed}
        await self._clear_what_has_gone(comparison, noticed)
        changed = {key: value for key, value in comparison.facts.items() if recorded.get(key) != value}
        if changed:
            await self._state.record_facts(changed)
        return comparison

    def _blind(self, unanswered: Mapping[str, SyncWorkerError]) -> list[Noticed]:
        self._unanswered = {part: self._unanswered.get(part, 0) + 1 for part in unanswered}
        for part, error in unanswered.items():
            log.warning("watch", part=part, cause=error.message)
        return [
            Noticed(FindingKind.WATCH_BLIND, part, f"{part} did not answer {looks} looks in a row: {unanswered[part].message}")
            for part, looks in self._unanswered.items()
            if looks >= _BLIND_AFTER
        ]

    async def _not_accepted(self, noticed: list[Noticed]) -> list[Noticed]:
        """Without those that stop writing and that somebody has cleared, word for word: they would stop it again for ever."""
        if not any(RULES[one.kind].blocks for one in noticed):
            return noticed
        known = await self._state.findings(open_only=False)
        accepted = {(finding.kind, finding.subject, finding.evidence) for finding in known if finding.cleared_by}
        return [
            one for one in noticed if not RULES[one.kind].blocks or (one.kind.value, one.subject, one.evidence) not in accepted
        ]

    async def _clear_what_has_gone(self, comparison: Comparison, noticed: list[Noticed]) -> None:
        still = {(one.kind.value, one.subject) for one in noticed}
        for finding in await self._state.findings():
            if (finding.kind, finding.subject) not in still and self._decides(finding, comparison):
                await self._state.clear_finding(finding.kind, finding.subject, by="watch: gone")
                log.info("finding gone", kind=finding.kind, subject=finding.subject)

    def _decides(self, finding: Finding, comparison: Comparison) -> bool:
        rule = rule_of(finding.kind)
        if rule is None or rule.proof is not Proof.GONE:
            return False
        if finding.kind == FindingKind.WATCH_BLIND:
            return finding.subject not in comparison.unanswered
        return FindingKind(finding.kind) in comparison.told
