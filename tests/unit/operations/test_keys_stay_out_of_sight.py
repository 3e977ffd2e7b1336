"""`keys`: two keys, ready for the worker's environment, and in no log."""

from __future__ import annotations

from collections.abc import Sequence

from sync_worker.operations.keys import WorkerKeys, make_keys


class Maker:
    async def make_worker_keys(self, index_uids: Sequence[str]) -> WorkerKeys:
        assert index_uids == ["cities*"]
        return WorkerKeys("w-SECRET", "s-SECRET")


async def test_both_keys_come_under_the_names_that_the_configuration_reads() -> None:
    """The printed lines can go into the worker's environment as they are; a logged report shows no key."""
    report = await make_keys(Maker(), instance="default", index_uids=["cities*"], key_variable="KEY", scratch_variable="SCRATCH")
    assert report.environment == (("KEY", "w-SECRET"), ("SCRATCH", "s-SECRET"))
    assert "SECRET" not in repr(report)
