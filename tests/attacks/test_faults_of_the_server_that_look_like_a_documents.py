"""The server fails every document of an index with `internal` for a while."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unit.pipeline.world import World

from sync_worker.testing.meilisearch.errors import ApiError
from sync_worker.testing.meilisearch.tasks import Addition


async def test_an_index_that_takes_no_document_dead_letters_none(world: World) -> None:
    """A fault of the environment dead-letters nothing (invariant 5). A document that fails with `internal` is convicted only
    where another one passes; that a delete of nothing passes shows nothing about documents."""

    def broken(tasks: Sequence[Any]) -> ApiError | None:
        additions = [task for task in tasks if isinstance(task.content, Addition) and task.index_uid == "things"]
        return ApiError("internal", "internal: MDB_CORRUPTED: Located page was wrong type.") if additions else None

    worker = await world.start()
    world.double.core.batch_fault = broken
    world.change("c", 1, name="a", n=1)
    world.change("c", 2, name="b", n=1)
    await worker.deliver()
    await world.until(lambda: worker.pipeline.health.holds() or len(world.dead_letters.letters), "hold or dead letter")
    await world.until(lambda: len(world.tasks()) > 30 or len(world.dead_letters.letters), "some attempts")
    assert not world.dead_letters.letters
    world.double.core.batch_fault = lambda _tasks: None
    await world.acknowledged(2)
    assert set(world.documents()) == {"1", "2"}


async def test_a_document_that_only_the_live_index_refuses_is_found_once_another_one_passes(world: World) -> None:
    """One bad document costs one document (invariant 4): what fails with `internal` on the live index alone is held until a
    later document shows that the index takes others."""

    def stored_poison(tasks: Sequence[Any]) -> ApiError | None:
        additions = [task.content for task in tasks if isinstance(task.content, Addition) and task.index_uid == "things"]
        ids = {str(incoming.fields.get("id")) for addition in additions for incoming in addition.documents}
        return ApiError("internal", "internal: something is wrong.") if "1" in ids else None

    worker = await world.start()
    world.double.core.batch_fault = stored_poison
    world.change("c", 1, name="a", n=1)
    await worker.deliver()
    await world.until(worker.pipeline.health.holds, "held")
    assert not world.dead_letters.letters
    end = world.change("c", 2, name="b", n=1) + 1
    await worker.deliver()
    await world.acknowledged(end)
    assert set(world.documents()) == {"2"}
    assert [row[0] for row in await world.failures()] == ["1"]
