"""Failed work, dead letters, pauses and the audit log on the command line: a real state database, and letters in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest
from typer.testing import CliRunner

from sync_worker.adapters.state import StateDatabase
from sync_worker.cli.app import app
from sync_worker.errors import SyncWorkerError
from sync_worker.failure.model import FailureStatus
from sync_worker.operations.retry import Outcome, RetryItem, RetryReport
from sync_worker.wiring import failed_work

from ..operations.parts import PLACE, Letters, failure, record

SCHEMAS = Path(__file__).parents[3] / "docs" / "schemas"


class Desk:
    """A configuration file, its state database, and what the command prints."""

    def __init__(self, directory: Path) -> None:
        self.config = directory / "sync-worker.toml"
        self.url = f"sqlite:///{directory}/state.db"
        self.letters = Letters()
        self.config.write_text(
            f'''
[kafka]
bootstrap_servers = "127.0.0.1:1"
[meilisearch]
url = "http://127.0.0.1:1"
api_key = "key"
[source]
url = "postgresql://nobody@127.0.0.1:1/nothing"
[state]
url = "{self.url}"
[indexes.things]
table = "public.things"
primary_key = "id"
fields = {{ name = "text", n = "integer" }}
''',
            encoding="utf-8",
        )

    def state(self, work: Callable[[StateDatabase], Coroutine[Any, Any, Any]]) -> Any:
        async def opened() -> Any:
            state = await StateDatabase.open(self.url)
            try:
                return await work(state)
            finally:
                await state.close()

        return asyncio.run(opened())

    def worked(self) -> Desk:
        """A worker has run here once, and made the state database."""

        async def nothing(_: StateDatabase) -> None:
            pass

        self.state(nothing)
        return self

    def fail(self, *offsets: int) -> None:
        async def work(state: StateDatabase) -> None:
            for offset in offsets:
                told = failure(offset, str(offset))
                (reference,) = await self.letters.publish([(told, record(offset, offset, name="a secret"))])
                await state.record_failures([told], [reference])

        self.state(work)

    def run(self, *arguments: str, **options: Any) -> Any:
        result = CliRunner().invoke(app, [*arguments, "--config", str(self.config)], **options)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def json(self, *arguments: str, status: int = 0, **options: Any) -> dict[str, Any]:
        """What `--json` prints, held to the published schema."""
        result = self.run(*arguments, "--json", **options)
        assert result.exit_code == status, result.output
        document: dict[str, Any] = json.loads(result.stdout)
        fastjsonschema.compile(json.loads((SCHEMAS / f"{document['report']}.schema.json").read_text()))(document)
        return document


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    made = Desk(tmp_path).worked()

    @asynccontextmanager
    async def letters(config: object) -> AsyncIterator[Letters]:
        yield made.letters

    monkeypatch.setattr(failed_work, "_letters", letters)
    return made


def test_failed_list_tells_by_its_status(desk: Desk) -> None:
    """Nothing open is 0, something open 3; the same content as a table and as JSON."""
    assert desk.json("failed", "list")["items"] == []
    assert "no failed work" in desk.run("failed", "list").stdout
    desk.fail(1, 2)
    document = desk.json("failed", "list", status=3)
    assert [item["document_id"] for item in document["items"]] == ["2", "1"]
    assert document["more"] is False
    text = desk.run("failed", "list").stdout
    assert all(word in text for word in ("things", "rejected", "internal", "something is wrong"))
    assert "secret" not in text
    assert desk.json("failed", "list", "--limit", "1", status=3)["more"] is True
    assert desk.json("failed", "list", "--status", "resolved")["items"] == []
    assert desk.json("failed", "list", "--older-than", "1d")["items"] == []
    assert (
        len(desk.json("failed", "list", "--class", "rejected", "--newer-than", "2h", "--index", "things", status=3)["items"]) == 2
    )


@pytest.mark.parametrize("wrong", [("--older-than", "soon"), ("--status", "broken"), ("--class", "odd"), ("--limit", "0")])
def test_a_filter_that_means_nothing_is_a_usage_error(desk: Desk, wrong: tuple[str, str]) -> None:
    """Exit status 2, nothing on stdout."""
    result = desk.run("failed", "list", *wrong)
    assert (result.exit_code, result.stdout) == (2, "")


def test_failed_show_keeps_the_payload_back(desk: Desk) -> None:
    """Only --payload prints it."""
    desk.fail(1)
    assert "secret" not in desk.run("failed", "show", "1").stdout
    assert desk.json("failed", "show", "1")["payload"] is None
    assert "a secret" in desk.run("failed", "show", "1", "--payload").stdout
    assert "a secret" in desk.json("failed", "show", "1", "--payload")["payload"]["value"]


def test_failed_counts_are_dense_for_machines(desk: Desk) -> None:
    """And short for people."""
    assert desk.json("failed", "counts")["counts"]["things"]["decode"]["open"] == 0
    desk.fail(1)
    document = desk.json("failed", "counts", status=3)
    assert (document["unsettled"], document["counts"]["things"]["rejected"]["open"]) == (1, 1)
    assert "rejected" in desk.run("failed", "counts").stdout


def test_discard_and_audit(desk: Desk) -> None:
    """What was discarded, why, by whom."""
    desk.fail(1)
    assert desk.json("discard", "1", "--reason", "known")["items"][0]["discarded"] is True
    assert desk.run("discard", "1", "--reason", "known").exit_code == 3
    document = desk.json("audit", "--verb", "discard", "--newer-than", "1h")
    assert [line["outcome"] for line in document["lines"]] == ["done", "done"]
    assert "known" in desk.run("audit").stdout
    assert desk.json("audit", "--by", "nobody-of-that-name")["lines"] == []


def test_an_unknown_id_is_an_error_with_a_way_on(desk: Desk) -> None:
    """Not an empty answer."""
    with pytest.raises(SyncWorkerError, match="no failed work 7"):
        desk.run("failed", "show", "7")


def test_pause_and_resume(desk: Desk) -> None:
    """Without a worker it is recorded, and said so; both are repeatable."""
    assert desk.json("pause", "things", "--reason", "upgrade")["confirmed"] is True
    text = desk.run("pause", "things").stdout
    assert "no worker is running" in text
    assert "sync-worker resume things" in text
    assert desk.json("resume", "things")["indexes"] == [{"index": "things", "was_paused": True}]
    assert "was not paused" in desk.run("resume", "things").stdout


def test_a_pause_that_is_not_confirmed_is_one(desk: Desk) -> None:
    """It could not find out whether something is in flight."""
    desk.state(lambda state: state.worker_alive("w1", [PLACE], {}))
    assert desk.json("pause", "things", "--timeout", "0.3", status=1)["indexes"][0]["waiting_for"] == ["w1"]


def test_retry_wants_to_know_what(desk: Desk) -> None:
    """An ID or a filter, not both, and never everything by mistake."""
    assert desk.run("retry").exit_code == 2
    assert desk.run("retry", "1", "--index", "things").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "execute"),
    [
        (("1",), True),
        (("1", "2"), False),
        (("1", "2", "--yes"), True),
        (("--index", "things"), False),
        (("--code", "x", "-y"), True),
    ],
)
def test_more_than_one_is_a_dry_run_unless_told(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], execute: bool
) -> None:
    """One ID is tried at once."""
    called: list[bool] = []

    async def verb(*_: object, execute: bool, **__: object) -> RetryReport:
        called.append(execute)
        return RetryReport(not execute, False, dict.fromkeys(Outcome, 0), ())

    monkeypatch.setattr(failed_work, "retry", verb)
    assert desk.run("retry", *arguments).exit_code == 0
    assert called == [execute]


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome.RESOLVED, 0),
        (Outcome.SUPERSEDED, 0),
        (Outcome.READY, 0),
        (Outcome.FAILED, 3),
        (Outcome.REFUSED, 3),
        (Outcome.WAITING, 1),
    ],
)
def test_retry_tells_by_its_status(desk: Desk, monkeypatch: pytest.MonkeyPatch, outcome: Outcome, status: int) -> None:
    """Done is 0, failed again or refused 3, not done in time 1."""

    async def verb(*_: object, **__: object) -> RetryReport:
        item = RetryItem(1, "things", "1", "internal", 1, False, outcome, "because")
        return RetryReport(False, False, dict.fromkeys(Outcome, 0) | {outcome: 1}, (item,))

    monkeypatch.setattr(failed_work, "retry", verb)
    assert desk.json("retry", "1", status=status)["counts"][outcome.value] == 1
    assert "because" in desk.run("retry", "1").stdout


def test_the_dead_letters_as_a_tail(desk: Desk) -> None:
    """Without payloads unless asked for."""
    assert "no dead letter" in desk.run("dlq", "tail").stdout
    desk.fail(1, 2)
    assert [letter["offset"] for letter in desk.json("dlq", "tail", "-n", "1")["letters"]] == [2]
    assert "secret" not in desk.run("dlq", "tail").stdout
    assert "a secret" in desk.run("dlq", "tail", "--payload").stdout


def test_letters_go_out_and_come_in(desk: Desk, tmp_path: Path) -> None:
    """Lines on stdout and nothing else; --json reports, and then the letters go into a file."""
    desk.fail(1, 2)
    result = desk.run("dlq", "export")
    assert len([json.loads(line) for line in result.stdout.splitlines()]) == 2
    assert desk.run("dlq", "export", "--json").exit_code == 2
    file = tmp_path / "letters.ndjson"
    assert desk.json("dlq", "export", "--output", str(file))["letters"] == 2
    desk.letters.__init__()  # type: ignore[misc]
    assert desk.json("dlq", "import", str(file))["letters"] == 2
    assert desk.json("dlq", "import", "-", input=file.read_bytes())["present"] == 2


def test_the_table_is_rebuilt(desk: Desk, tmp_path: Path) -> None:
    """After the state database was lost."""
    desk.fail(1, 2)
    (tmp_path / "state.db").unlink()
    assert desk.json("dlq", "rebuild-table")["restored"] == 2
    assert [item["status"] for item in desk.json("failed", "list", status=3)["items"]] == [FailureStatus.OPEN] * 2
    assert "made from its dead letter" in desk.run("failed", "show", "1").stdout


def test_erase_says_what_remains(desk: Desk) -> None:
    """Bytes of the document may be elsewhere: it names the places."""
    desk.fail(1, 2)
    document = desk.json("dlq", "erase", "--index", "things", "--document", "1")
    assert (document["letters"], document["kept"], document["rows"]) == (1, 1, 1)
    assert len(document["remains"]) >= 4
    assert "erased" in desk.run("failed", "show", "1").stdout
    assert "what remains" in desk.run("dlq", "erase", "--index", "things", "--document", "1").stdout
