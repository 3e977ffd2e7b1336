"""`backfill pause`, `resume` and `stop` say in words what has become of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import typer

from sync_worker.adapters.clock import SystemClock
from sync_worker.backfill.model import Backfill, Stage, Wish
from sync_worker.cli.commands.backfill import _wished
from sync_worker.operations.backfill.request import wish


class Obedient:
    """A state database with one backfill that does at once what is wished."""

    def __init__(self) -> None:
        self.one = Backfill(1, "things", "public.things", "", False, Stage.SCANNING, Wish.RUN, "me", 0.0, 9)

    async def backfills(self, **_: Any) -> list[Backfill]:
        return [self.one]

    async def backfill(self, _: int) -> Backfill:
        return self.one

    async def wish_backfill(self, _: int, wanted: Wish) -> None:
        stage, ended = (Stage.STOPPED, 1.0) if wanted is Wish.STOP else (Stage.SCANNING, None)
        self.one = replace(self.one, wish=wanted, paused=wanted is Wish.PAUSE, stage=stage, ended_at=ended)

    async def audit(self, *_: Any) -> None:
        pass


@pytest.mark.parametrize(("wanted", "said"), [(Wish.PAUSE, "paused"), (Wish.RUN, "goes on"), (Wish.STOP, "stopped")])
def test_each_wish_is_told(wanted: Wish, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`resume` ended in a KeyError, though it had done what it was asked to."""
    work = wish(Obedient(), "things", wanted, SystemClock(), actor="me", timeout_s=1)  # type: ignore[arg-type]
    with pytest.raises(typer.Exit) as ended:
        _wished(5, False, work, list)
    assert (ended.value.exit_code, capsys.readouterr().out) == (0, f"backfill 1 of public.things: {said}\n")
