"""What is in flight and packed behaves as what is not: every flush is packed here, however small."""

from __future__ import annotations

from pathlib import Path

import pytest

from sync_worker.pipeline import lane, model

from .schedule import run
from .world import PLACE, World


@pytest.fixture(autouse=True)
def everything_is_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "PACK_FROM_BYTES", 0)
    monkeypatch.setattr(lane, "_PACK_AFTER_S", 0.0)


@pytest.mark.parametrize("seed", range(100, 104))
async def test_the_books_balance(tmp_path: Path, seed: int) -> None:
    """All invariants of the cycle, with rebalances, poison and late writes, on documents that were packed meanwhile."""
    await run(seed, tmp_path)


async def test_a_packed_document_that_is_refused_is_found_and_its_neighbours_arrive(world: World) -> None:
    """What the server refused is unpacked and isolated; the letter names the poison's own offset."""
    worker = await world.start()
    world.poison("7")
    for key in range(1, 21):
        end = world.change("c", key, name="x", n=key) + 1
    await worker.deliver()
    await world.acknowledged(end)
    assert sorted(world.documents(), key=int) == [str(key) for key in range(1, 21) if key != 7]
    assert [row[0] for row in await world.failures("open")] == ["7"]


async def test_a_packed_document_supersedes_its_failure(world: World) -> None:
    """The poison is mended in the source: its failure is history as soon as the flush is applied."""
    worker = await world.start()
    world.poison("1")
    end = world.change("c", 1, name="x", n=1) + 1
    await worker.deliver()
    await world.acknowledged(end)
    world.poison()
    end = world.change("u", 1, name="y", n=2) + 1
    await worker.deliver()
    await world.acknowledged(end, PLACE)
    assert [row[0] for row in await world.failures("open")] == []
    assert world.documents()["1"]["name"] == "y"
