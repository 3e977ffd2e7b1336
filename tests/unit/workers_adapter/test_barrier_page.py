"""What `GET /barrier` takes and answers."""

from __future__ import annotations

import pytest

from sync_worker.change.model import TopicPartition
from sync_worker.errors import ConfigurationError
from sync_worker.operations.barrier import BarrierReport, Stage, Verdict
from sync_worker.operations.report import as_document
from sync_worker.operations.waiting import wait_report
from sync_worker.progress.passed import Behind, Obstacle, Position, Target
from sync_worker.wiring.build import pages_address
from sync_worker.wiring.chain import asked


def test_a_query_without_anything_asks_for_the_strict_form_and_everything() -> None:
    """The safe one is what one gets without thinking."""
    query = asked({})
    assert (query.lsn, query.strict, query.timeout_s) == (None, True, 30.0)


def test_every_value_is_read() -> None:
    """As the command line's options are."""
    query = asked({"lsn": ["0/10"], "strict": ["False"], "timeout": ["2.5"], "index": ["a"]})
    assert (query.lsn, query.strict, query.timeout_s) == (16, False, 2.5)


@pytest.mark.parametrize(
    "query",
    [
        {"lsn": ["x"]},
        {"timeout": ["soon"]},
        {"timeout": ["0"]},
        {"timeout": ["-1"]},
        {"timeout": ["nan"]},
        {"timeout": ["100000"]},
        {"strict": ["maybe"]},
        {"indx": ["cities"]},
    ],
)
def test_what_is_misspelt_is_refused(query: dict[str, list[str]]) -> None:
    """A barrier that waits for something else than was meant proves nothing."""
    with pytest.raises(ConfigurationError):
        asked(query)


def test_a_report_says_where_it_ended_and_for_whom_it_waits() -> None:
    """In JSON, for the page and for `wait --json`."""
    late = Behind(TopicPartition("t", 1), Target("id", 0, 9), Position(7, "id", 3, "w1"))
    hold = Obstacle("cities", "SinkFull", "disk full", "give it room", False, "w1")
    report = BarrierReport(Verdict.BLOCKED, ("cities",), True, Stage.APPLIED, "0/10", (late,), (hold,), "disk full", 1.5)
    said = as_document(wait_report(report))
    assert (said["report"], said["schema_version"]) == ("wait", 1)
    assert said["behind"] == [{"topic": "t", "partition": 1, "end": 9, "applied": 7, "worker": "w1"}]
    assert said["obstacles"][0]["needs_operator"] is False
    assert (said["verdict"], said["stage"], said["lsn"]) == ("blocked", "applied", "0/10")


def test_an_address_can_be_reached_from_outside() -> None:
    """0.0.0.0 is where one listens, not where one is."""
    assert pages_address("127.0.0.1", 9464) == "http://127.0.0.1:9464"
    assert pages_address("::1", 9464) == "http://[::1]:9464"
    assert "0.0.0.0" not in pages_address("0.0.0.0", 9464)
