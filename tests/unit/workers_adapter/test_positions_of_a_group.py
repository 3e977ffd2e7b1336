"""How far the group is, whoever of it answers."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from sync_worker.adapters.workers.positions import GroupPositions, told
from sync_worker.change.model import TopicPartition
from sync_worker.ports import Bookmark, WorkerRow
from sync_worker.progress.passed import Position

A, B = TopicPartition("app.public.a", 0), TopicPartition("app.public.b", 0)


@dataclass(frozen=True)
class Held:
    subject: str = "a"
    kind: str = "SinkFull"
    cause: str = "disk full"
    remedy: str = "give it room"


@dataclass
class State:
    rows: list[WorkerRow] = field(default_factory=list)
    marks: dict[TopicPartition, Bookmark] = field(default_factory=dict)

    async def workers(self) -> Sequence[WorkerRow]:
        return self.rows

    async def bookmarks(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, Bookmark]:
        return {place: mark for place, mark in self.marks.items() if place in partitions}

    def add(self, name: str, *, last_seen: float | None = None, address: str | None = None) -> None:
        at = time.time() if last_seen is None else last_seen
        self.rows.append(WorkerRow(name, 0.0, at, [], {}, f"http://{name}:9464" if address is None else address))


@dataclass
class Workers:
    """Name → what it says; one that is not here does not answer."""

    said: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.host)
        if request.url.host not in self.said:
            raise httpx.ConnectError("refused", request=request)
        return httpx.Response(200, json=self.said[request.url.host])


def at(applied: int, generation: int, topic_id: str = "id") -> Position:
    return Position(applied, topic_id, generation, "")


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture
def workers() -> Workers:
    return Workers()


@pytest.fixture
def group(state: State, workers: Workers) -> GroupPositions:
    return GroupPositions(state, transport=httpx.MockTransport(workers.handle))


async def test_every_living_worker_is_asked(state: State, workers: Workers, group: GroupPositions) -> None:
    """Several share the tables; one that has long been gone, or serves no pages, is left alone."""
    state.add("w1")
    state.add("w2")
    state.add("old", last_seen=time.time() - 3_600)
    state.add("mute", address="")
    workers.said = {"w1": told("w1", {A: at(7, 4)}, [Held()]), "w2": told("w2", {B: at(9, 4)}, [])}
    standing = await group.standing([A, B])
    assert standing.positions == {A: Position(7, "id", 4, "w1"), B: Position(9, "id", 4, "w2")}
    assert [(hold.subject, hold.cause, hold.worker, hold.blocking) for hold in standing.holds] == [
        ("a", "disk full", "w1", False)
    ]
    assert sorted(workers.asked) == ["w1", "w2"]


async def test_of_two_claims_the_highest_generation_counts(state: State, workers: Workers, group: GroupPositions) -> None:
    """A worker that stalled goes on claiming a partition that another has taken over and reads again."""
    state.add("zombie")
    state.add("owner")
    workers.said = {"zombie": told("zombie", {A: at(100, 4)}, []), "owner": told("owner", {A: at(90, 5)}, [])}
    assert (await group.standing([A])).positions == {A: Position(90, "id", 5, "owner")}


async def test_where_nobody_answers_the_bookmark_counts(state: State, workers: Workers, group: GroupPositions) -> None:
    """A worker that vanished is not waited for; what it had acknowledged stays applied."""
    state.add("gone")
    state.marks[A] = Bookmark(A, "id", 5, {})
    assert (await group.standing([A])).positions == {A: Position(5, "id", -1, "bookmark")}
    await group.standing([A])
    assert workers.asked == ["gone"], "it is not asked again with every look"


async def test_a_stranger_on_the_port_of_one_that_ended_says_nothing(
    state: State, workers: Workers, group: GroupPositions
) -> None:
    """Ports are given out again: a worker of another installation must not answer for this one."""
    state.add("w1")
    workers.said = {"w1": told("somebody-else", {A: at(1_000, 9)}, [])}
    assert (await group.standing([A])).positions == {}


@pytest.mark.parametrize("said", [[], {}, None, "text", {"worker": "w1"}, {"worker": "w1", "positions": [{}], "holds": []}])
async def test_what_is_no_answer_is_taken_for_none(state: State, workers: Workers, group: GroupPositions, said: Any) -> None:
    """Another program, or another version: a barrier must not end with its mistake."""
    state.add("w1")
    workers.said = {"w1": said}
    assert (await group.standing([A])).positions == {}


async def test_a_worker_answers_for_itself_without_asking_itself(state: State, workers: Workers) -> None:
    """It would wait for its own page."""
    state.add("me")
    state.add("other")
    workers.said = {"other": told("other", {B: at(2, 3)}, [])}
    group = GroupPositions(state, own=lambda: told("me", {A: at(1, 3)}, []), transport=httpx.MockTransport(workers.handle))
    assert set((await group.standing([A, B])).positions) == {A, B}
    assert workers.asked == ["other"]


async def test_barriers_that_wait_at_once_each_get_their_partitions(state: State, group: GroupPositions) -> None:
    """What one asked a moment ago must not hide what another asks for."""
    state.marks = {A: Bookmark(A, "id", 5, {}), B: Bookmark(B, "id", 6, {})}
    assert set((await group.standing([A])).positions) == {A}
    assert set((await group.standing([B])).positions) == {B}
