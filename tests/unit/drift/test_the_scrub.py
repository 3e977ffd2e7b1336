"""The scrub finds what a comparison finds, slice by slice, whoever does the next one."""

from __future__ import annotations

import pytest

from sync_worker.errors import SinkUnavailable
from sync_worker.failure.findings import FindingKind, found
from sync_worker.operations.drift.documents import Place, all_ids, next_ids
from sync_worker.operations.scrub import Scrub
from sync_worker.ports import Depth

from .site import Site
from .test_rows_and_documents_are_compared import filled


class Numbers:
    def __init__(self) -> None:
        self.scrubbed = 0.0

    def count(self, metric: str, value: float = 1, **labels: str) -> None:
        self.scrubbed += value

    def gauge(self, metric: str, value: float, **labels: str) -> None: ...

    def observe(self, metric: str, value: float, **labels: str) -> None: ...


def scrub(site: Site, worker: str = "w1", rate: float = 10) -> Scrub:
    return Scrub(
        [site.target],
        rows_per_second=rate,
        worker=worker,
        state=site.state,
        barrier=site,
        clock=site.clock,
        telemetry=Numbers(),
    )


async def whole_round(site: Site, one: Scrub) -> int:
    """How many slices it took."""
    slices = 1
    while await one.slice(site.target):
        slices += 1
    return slices


async def test_a_round_over_what_is_in_sync_is_a_proof(site: Site) -> None:
    """It is recorded as a comparison of content, and clears what that disproves."""
    await filled(site, 230)
    await site.state.add_finding(found(FindingKind.DRIFT, "things", "seen", now=1.0))
    assert await whole_round(site, scrub(site)) > 8
    [made] = await site.state.comparisons()
    assert (made.depth, made.rows, made.documents, made.differences, made.by) == (Depth.CONTENT, 230, 230, 0, "scrub")
    assert await site.state.findings() == []
    assert site.barriers == 0


async def test_every_kind_of_difference_becomes_a_finding(site: Site) -> None:
    """Missing, different, ghost: told at once, not at the end of a round that may take days."""
    await filled(site, 120)
    await site.remove(3)
    one = scrub(site)
    await one.slice(site.target)
    [told] = await site.state.findings()
    assert (told.kind, told.subject) == ("drift", "things")
    assert "3 (missing)" in told.evidence
    await site.plant({"id": 60, "name": "other", "n": 60})
    await site.plant({"id": 999, "name": "ghost", "n": 1})
    await site.plant({"id": "not-an_int", "name": "ghost", "n": 1})
    await whole_round(site, one)
    [made] = await site.state.comparisons()
    assert made.differences == 4
    assert [finding.kind for finding in await site.state.findings()] == ["drift"]


async def test_the_heir_goes_on_where_it_was(site: Site) -> None:
    """A worker that died in the middle of a round leaves its place, not its beginning; two do not work at the same index."""
    await filled(site, 230)
    first, second = scrub(site, "w1"), scrub(site, "w2")
    for _ in range(3):
        assert await first.slice(site.target)
    assert not await second.slice(site.target)
    before = await site.state.scrub_progress("things")
    assert before is not None
    assert before["rows"] == 150
    holder, _, progress = site.state.scrubs["things"]
    site.state.scrubs["things"] = (holder, 0.0, progress)
    await second.slice(site.target)
    after = await site.state.scrub_progress("things")
    assert after is not None
    assert (after["rows"], after["began_at"]) == (200, before["began_at"])
    assert not await first.slice(site.target)


async def test_a_slice_that_could_not_be_judged_is_looked_at_again(site: Site) -> None:
    """The barrier did not pass: the place stays where it was, or a difference would be passed over for a whole round."""
    await filled(site, 100)
    await site.remove(3)

    async def broken() -> None:
        raise SinkUnavailable("nobody answers")

    site.on_barrier = broken
    one = scrub(site)
    with pytest.raises(SinkUnavailable):
        await one.slice(site.target)
    assert await site.state.scrub_progress("things") is None
    site.on_barrier = None
    await one.slice(site.target)
    assert [finding.kind for finding in await site.state.findings()] == ["drift"]


async def test_it_keeps_to_its_rate(site: Site) -> None:
    """What it sleeps and what it works add up to the rows it may look at in a second."""
    await filled(site, 100)
    one = scrub(site, rate=10)
    slept = site.clock.slept
    began = site.clock.monotonic()
    await one.slice(site.target)
    assert site.clock.slept > slept
    assert site.clock.monotonic() - began == pytest.approx(5.0, abs=0.5)


async def test_no_id_is_passed_over_while_documents_go(site: Site) -> None:
    """A deletion moves everything behind it forward: what was to come next is already behind, and is gone back for."""
    await filled(site, 3000)
    seen: set[str] = set()
    place, doomed = Place(), [list(range(start, start + 700)) for start in (0, 700)]
    while not place.ended:
        seen.update(await next_ids(site.target, place, page=400))
        if place.offset >= 800 and doomed:
            await site.remove(*doomed.pop(0))
    left = {one for page in [ids async for ids in all_ids(site.target)] for one in page}
    assert len(left) == 1600
    assert left <= seen
