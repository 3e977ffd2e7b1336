"""The steps of a rebuild. Each is recorded before and after, so that whoever comes next goes on where the last was stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sync_worker.backfill.model import Backfill, Stage, Wish
from sync_worker.errors import SinkDenied, SinkUnavailable, SyncWorkerError
from sync_worker.operations.audit import audited
from sync_worker.operations.backfill.request import Asked, request
from sync_worker.operations.reindex.filled import after_swap, before_swap
from sync_worker.operations.reindex.gates import GateFailed, Gates, GateSeen, look, no_task, read_gates
from sync_worker.operations.reindex.parts import ReindexParts
from sync_worker.operations.reindex.report import RebuildShown
from sync_worker.operations.settings import settings_differences
from sync_worker.operations.workers import require_worker
from sync_worker.rebuild.model import Phase, Rebuild
from sync_worker.rebuild.steps import asked, require_abort, require_finish, require_rollback, require_step, rests_at, waits_for

_LOOK_S = 0.2
_SWAP_LOOK_S = 0.02
_LOST_SWAP_S = 3.0
"""How long a swap whose answer was lost, or whose asker died, may take to show among the server's tasks."""


class NotConfirmed(SyncWorkerError):
    """Some worker did not do in time what was asked of all."""


class Reindex:
    """One index's rebuild, taken on by whoever calls."""

    def __init__(self, parts: ReindexParts) -> None:
        self._parts = parts
        self._state = parts.state

    # What an operator asks

    async def start(self, gates: Gates, *, auto_cutover: bool) -> Rebuild:
        """A new one, as far as it goes by itself: to the swap, or to what is left to decide before it.

        Raises SyncWorkerError where one runs already or a gate fails, NotConfirmed, and the ports' errors.
        """
        index = self._parts.declaration
        running = (await self._state.rebuilds()).get(index.name)
        if running is not None:
            raise SyncWorkerError(
                f"{index.name} is being rebuilt already: {running.phase.value}, started by {running.started_by}",
                remedy=f"sync-worker reindex {index.name} --status, --resume or --abort",
            )
        await require_worker(self._state, self._parts.clock)
        target = target_uid(index.uid, self._parts.clock.now())
        async with audited(self._state, self._parts.actor, "reindex", index.name, {"target": target}) as told:
            details = {"gates": gates.model_dump(mode="json")}
            rebuild = await self._state.add_rebuild(index.name, index.uid, target, by=self._parts.actor, details=details)
            rebuild = await self._go_on(rebuild, auto_cutover=auto_cutover)
            told["phase"] = rebuild.phase.value
        return rebuild

    async def resume(self, *, auto_cutover: bool) -> Rebuild:
        """Go on with what was begun, whichever way it was going."""
        rebuild = await self._running()
        async with audited(
            self._state, self._parts.actor, "reindex resume", rebuild.index, {"from": rebuild.phase.value}
        ) as told:
            rebuild = await self._go_on(rebuild, auto_cutover=auto_cutover)
            told["phase"] = rebuild.phase.value
        return rebuild

    async def rollback(self) -> Rebuild:
        """Swap back: both indexes got every change, so nothing is lost."""
        rebuild = await self._running()
        require_rollback(rebuild)
        async with audited(self._state, self._parts.actor, "reindex rollback", rebuild.index, {}) as told:
            if rebuild.phase is Phase.SWAPPED:
                rebuild = await self._to(rebuild, Phase.PAUSING)
            rebuild = await self._swap(rebuild)
            told["phase"] = rebuild.phase.value
        return rebuild

    async def finish(self) -> Rebuild:
        """Write to one index again, and delete the old one."""
        rebuild = await self._running()
        require_finish(rebuild)
        return await self._end(rebuild, "reindex finish")

    async def abort(self) -> Rebuild:
        """Write to one index again, and delete the new one."""
        rebuild = await self._running()
        if rebuild.phase is Phase.PAUSING and not rebuild.new_is_live:
            rebuild = await self._to(rebuild, Phase.GATES)
        require_abort(rebuild)
        await self._stop_fill(rebuild)
        return await self._end(rebuild, "reindex abort")

    async def shown(self, rebuild: Rebuild) -> RebuildShown:
        """Where it is. Raises StateUnavailable."""
        confirmed, missing = await self._confirmed(rebuild) if asked(rebuild).confirmed else ((), ())
        unsure = rebuild.phase is Phase.SWAPPING
        details = rebuild.details
        return RebuildShown(
            index=rebuild.index,
            phase=rebuild.phase.value,
            live_uid=rebuild.uid,
            live="unknown" if unsure else "new" if rebuild.new_is_live else "old",
            live_created_at="" if unsure else rebuild.live_created_at,
            target_uid=rebuild.target_uid,
            waits_for=waits_for(rebuild),
            confirmed_by=tuple(confirmed),
            unconfirmed=tuple(missing),
            started_at=rebuild.started_at,
            changed_at=rebuild.changed_at,
            started_by=rebuild.started_by,
            paused_s=details.get("paused_s"),
            gates=tuple(GateSeen(**one) for one in details.get("seen", [])),
            backfill=details.get("backfill"),
        )

    # The steps

    async def _go_on(self, rebuild: Rebuild, *, auto_cutover: bool) -> Rebuild:
        while True:
            self._parts.tell(f"{rebuild.index}: {rebuild.phase.value}")
            match rebuild.phase:
                case Phase.PLANNED:
                    rebuild = await self._create(rebuild)
                case Phase.CREATED:
                    rebuild = await self._to(rebuild, Phase.DUAL)
                case Phase.DUAL:
                    await self._until_confirmed(rebuild)
                    await self._no_other_backfill(rebuild)
                    rebuild = await self._to(rebuild, Phase.FILLING)
                case Phase.FILLING:
                    await self._until_confirmed(rebuild)
                    rebuild = await self._to(await self._fill(rebuild), Phase.GATES)
                case Phase.GATES:
                    await self._pass_gates(rebuild)
                    if not auto_cutover:
                        return await self._running()
                    rebuild = await self._to(await self._running(), Phase.PAUSING)
                case Phase.PAUSING | Phase.SWAPPING:
                    return await self._swap(rebuild)
                case Phase.ENDING | Phase.DELETING:
                    return await self._end(rebuild, "reindex resume")
                case _:
                    return rebuild

    async def _create(self, rebuild: Rebuild) -> Rebuild:
        admin, index = self._parts.admin, self._parts.declaration
        live = await admin.identity(rebuild.uid)
        if live is None:
            raise SinkDenied(f"{index.name}: there is no index {rebuild.uid} to rebuild", remedy="sync-worker indexes create")
        if await admin.identity(rebuild.target_uid) is not None:
            # Its name is this rebuild's alone: made by whoever was stopped before he could record it.
            await admin.delete_index(rebuild.target_uid)
        made = await admin.create_index(rebuild.target_uid, index.id_field, index.settings)
        differing = settings_differences(index.settings, await admin.settings(rebuild.target_uid))
        if differing:
            raise SinkDenied(f"{rebuild.target_uid}: the server did not take these settings: {', '.join(sorted(differing))}")
        return await self._to(rebuild, Phase.CREATED, old_created_at=live.created_at, new_created_at=made.created_at)

    async def _no_other_backfill(self, rebuild: Rebuild) -> None:
        """Its rows bear nobody's name: they would go to the target, and not where they were asked for."""
        table = self._parts.declaration.table
        for one in await self._state.backfills(running_only=True):
            if one.table == table and one.id != rebuild.details.get("backfill"):
                raise SyncWorkerError(
                    f"{one.run} of {table} runs, and rows of a table can't be told apart",
                    remedy=f"wait for it (sync-worker backfill status), then: sync-worker reindex {rebuild.index} --resume",
                )

    async def _fill(self, rebuild: Rebuild) -> Rebuild:
        clock, index = self._parts.clock, self._parts.declaration
        known = rebuild.details.get("backfill")
        running = None if known is None else await self._state.backfill(known)
        if running is None or running.stage in (Stage.FAILED, Stage.STOPPED):
            wanted = Asked(index.name, index.table, "", False, self._parts.actor)
            running, _ = await request(self._state, self._parts.table, wanted, clock)
            rebuild = await self._note(rebuild, {"backfill": running.id})
            await self._until_confirmed(rebuild)
        said: tuple[str, str] = ("", "")
        while not running.stage.ended:
            if (now := (running.stage.value, running.condition)) != said:
                said = now
                self._parts.tell(f"{index.name}: {running.run}: {': '.join(filter(None, now))}")
            await clock.sleep(_LOOK_S)
            running = await self._state.backfill(running.id) or running
        if running.stage is not Stage.DONE:
            raise SyncWorkerError(
                f"{index.name}: {running.run} ended as {running.stage.value}: {running.condition}",
                remedy=f"sync-worker reindex {index.name} --resume fills it anew; --abort gives up",
            )
        return await self._note(rebuild, _filled(running))

    async def _pass_gates(self, rebuild: Rebuild) -> None:
        gates = read_gates(rebuild.details.get("gates", {}))
        seen = await look(self._parts, rebuild, gates)
        await self._note(rebuild, {"seen": [asdict(one) for one in seen], **await before_swap(self._parts, rebuild)})
        if not all(one.passed for one in seen):
            raise GateFailed(rebuild, seen)

    # The swap

    async def _swap(self, rebuild: Rebuild) -> Rebuild:
        """There or back, from wherever it was stopped."""
        clock = self._parts.clock
        asked_at = rebuild.changed_at
        if rebuild.phase is Phase.PAUSING:
            try:
                await self._until_confirmed(rebuild)
            except NotConfirmed:
                # Nothing was asked of the server yet: go on writing rather than wait for who may not come.
                await self._to(rebuild, rests_at(rebuild))
                raise
            if not (seen := await no_task(self._parts, rebuild)).passed:
                await self._to(rebuild, rests_at(rebuild))
                raise GateFailed(rebuild, [seen])
            rebuild = await self._to(rebuild, Phase.SWAPPING)
            await self._ask_for_swap(rebuild)
        else:
            await self._settle_lost_swap(rebuild)
        await self._until_swapped(rebuild)
        rests = Phase.GATES if rebuild.new_is_live else Phase.SWAPPED
        done = await self._state.exchange_rebuild(rebuild, rests)
        if done is None:
            raise _overtaken(rebuild)
        done = await self._note(done, {"paused_s": round(clock.now() - asked_at, 3)})
        await after_swap(self._parts, done)
        return done

    async def _ask_for_swap(self, rebuild: Rebuild) -> None:
        try:
            await self._parts.admin.enqueue_swap(rebuild.uid, rebuild.target_uid)
        except SinkUnavailable:
            await self._settle_lost_swap(rebuild)

    async def _settle_lost_swap(self, rebuild: Rebuild) -> None:
        """Whether it was asked for is not known. Twice is not at all, so it is looked for before it is asked for again."""
        deadline = self._parts.clock.monotonic() + _LOST_SWAP_S
        while self._parts.clock.monotonic() < deadline:
            if await self._is_swapped(rebuild):
                return
            if await self._parts.admin.unfinished_swaps():
                return
            await self._parts.clock.sleep(_LOOK_S)
        if not await self._is_swapped(rebuild):
            await self._parts.admin.enqueue_swap(rebuild.uid, rebuild.target_uid)

    async def _until_swapped(self, rebuild: Rebuild) -> None:
        while not await self._is_swapped(rebuild):
            if await self._parts.admin.unfinished_swaps() == 0 and not await self._is_swapped(rebuild):
                await self._give_up_swap(rebuild)
            await self._parts.clock.sleep(_SWAP_LOOK_S)

    async def _give_up_swap(self, rebuild: Rebuild) -> None:
        await self._to(rebuild, rests_at(rebuild))
        raise SyncWorkerError(
            f"{rebuild.index}: the server did not swap {rebuild.uid} and {rebuild.target_uid}",
            remedy=f"sync-worker reindex {rebuild.index} --status; is {rebuild.target_uid} still there?",
        )

    async def _is_swapped(self, rebuild: Rebuild) -> bool:
        identity = await self._parts.admin.identity(rebuild.uid)
        return identity is not None and identity.created_at == rebuild.other_created_at

    # The end

    async def _end(self, rebuild: Rebuild, verb: str) -> Rebuild:
        finishes = rebuild.new_is_live
        async with audited(self._state, self._parts.actor, verb, rebuild.index, {"deletes": rebuild.target_uid}):
            if rebuild.phase in (Phase.PLANNED, Phase.CREATED):
                rebuild = await self._to(rebuild, Phase.DELETING)
            elif rebuild.phase is not Phase.DELETING:
                if rebuild.phase is not Phase.ENDING:
                    rebuild = await self._to(rebuild, Phase.ENDING)
                await self._until_confirmed(rebuild)
                rebuild = await self._to(rebuild, Phase.DELETING)
            await self._delete(rebuild)
            done = await self._state.end_rebuild(rebuild, Phase.DONE if finishes else Phase.ABORTED)
            if done is None:
                raise _overtaken(rebuild)
        return done

    async def _delete(self, rebuild: Rebuild) -> None:
        """Raises SinkDenied where the names are not what is recorded: then nothing is deleted."""
        live = await self._parts.admin.identity(rebuild.uid)
        other = await self._parts.admin.identity(rebuild.target_uid)
        kept = (
            f"{rebuild.uid} is the {'new' if rebuild.new_is_live else 'old'} index, created at {rebuild.live_created_at or '?'}"
        )
        if other is None:
            self._parts.tell(f"{rebuild.index}: live: {kept}; {rebuild.target_uid} is gone already")
            return
        planned = not rebuild.new_created_at
        if not planned and (live is None or live.created_at != rebuild.live_created_at):
            raise SinkDenied(f"{rebuild.index}: {kept}, and the server says {live}: nothing is deleted")
        if not planned and other.created_at != rebuild.other_created_at:
            raise SinkDenied(f"{rebuild.index}: {rebuild.target_uid} is not the index of this rebuild: nothing is deleted")
        count = await self._parts.admin.document_count(rebuild.target_uid)
        self._parts.tell(f"{rebuild.index}: live: {kept}")
        self._parts.tell(f"{rebuild.index}: deleted: {rebuild.target_uid}, created at {other.created_at}, {count} documents")
        await self._parts.admin.delete_index(rebuild.target_uid)

    async def _stop_fill(self, rebuild: Rebuild) -> None:
        known = rebuild.details.get("backfill")
        running = None if known is None else await self._state.backfill(known)
        if running is not None and not running.stage.ended:
            await self._state.wish_backfill(running.id, Wish.STOP)

    # Inside

    async def _running(self) -> Rebuild:
        name = self._parts.declaration.name
        rebuild = (await self._state.rebuilds()).get(name)
        if rebuild is None:
            raise SyncWorkerError(f"{name} is not being rebuilt", remedy=f"sync-worker reindex {name} --plan")
        return rebuild

    async def _to(self, rebuild: Rebuild, phase: Phase, **more: str) -> Rebuild:
        require_step(rebuild, phase)
        taken = await self._state.advance_rebuild(
            rebuild, phase, old_created_at=more.get("old_created_at"), new_created_at=more.get("new_created_at")
        )
        if taken is None:
            raise _overtaken(rebuild)
        return taken

    async def _note(self, rebuild: Rebuild, details: Mapping[str, Any]) -> Rebuild:
        """Remember something without a step."""
        noted = await self._state.advance_rebuild(rebuild, rebuild.phase, details=details)
        if noted is None:
            raise _overtaken(rebuild)
        return noted

    async def _confirmed(self, rebuild: Rebuild) -> tuple[Sequence[str], Sequence[str]]:
        """Workers that do what is asked, and those that are alive, or may be, and have not said so."""
        now = self._parts.clock.now()
        alive = {one.worker for one in await self._state.workers() if now - one.last_seen < self._parts.dead_after_s}
        confirmed = {one.worker for one in await self._state.rebuild_confirmations(rebuild)}
        return sorted(confirmed), sorted(alive - confirmed)

    async def _until_confirmed(self, rebuild: Rebuild) -> None:
        """Raises NotConfirmed after the time that one wait may take."""
        if not asked(rebuild).confirmed:
            return
        clock = self._parts.clock
        deadline = clock.monotonic() + self._parts.timeout_s
        while True:
            _, missing = await self._confirmed(rebuild)
            if not missing:
                return
            current = (await self._state.rebuilds()).get(rebuild.index)
            if current is None or current.epoch != rebuild.epoch:
                raise _overtaken(rebuild)
            if clock.monotonic() > deadline:
                raise NotConfirmed(await self._silence(rebuild, missing), remedy=f"sync-worker reindex {rebuild.index} --resume")
            await clock.sleep(_SWAP_LOOK_S if asked(rebuild).still else _LOOK_S)

    async def _silence(self, rebuild: Rebuild, missing: Sequence[str]) -> str:
        now = self._parts.clock.now()
        said = []
        for one in await self._state.workers():
            if one.worker in missing:
                holds = "; ".join(f"{subject}: {cause}" for subject, cause in one.holds.items())
                said.append(f"{one.worker} (seen {now - one.last_seen:.0f} s ago{', holds ' + holds if holds else ''})")
        return f"{rebuild.index}: {rebuild.phase.value} is not confirmed by {', '.join(said)}"


def target_uid(uid: str, now: float) -> str:
    """Of a new rebuild: no other one has it, so that a late write to a deleted one meets nothing."""
    return f"{uid}__{int(now * 1000):x}"


def _filled(backfill: Backfill) -> dict[str, Any]:
    return {
        "backfill": backfill.id,
        "filled": {
            "topic_id": backfill.topic_id,
            "ends": {str(number): end for number, end in backfill.ends.items()},
            "rows": backfill.applied,
            "failed": backfill.failed,
        },
    }


def _overtaken(rebuild: Rebuild) -> SyncWorkerError:
    return SyncWorkerError(
        f"{rebuild.index}: somebody else has moved its rebuild on",
        remedy=f"sync-worker reindex {rebuild.index} --status",
    )
