"""Arguments in, report out, exit status: with the verbs replaced by answers."""

from __future__ import annotations

import json
import resource
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sync_worker.cli.app import app
from sync_worker.failure.model import Finding
from sync_worker.operations.check import Check, CheckReport, Verdict
from sync_worker.operations.connector import ConnectorApplied, ConnectorDeleted, ConnectorState, ConnectorStatus, TaskState
from sync_worker.operations.findings import FindingCleared, FindingsReport
from sync_worker.operations.indexes import IndexesReport, IndexPrepared
from sync_worker.operations.init import InitReport
from sync_worker.operations.keys import KeysReport
from sync_worker.wiring import build, verbs

OK = Check("source", "cities", Verdict.OK, "fits public.cities")
WARNING = Check("kafka", "sync.public.cities", Verdict.WARNING, "3 partitions", "one is enough")
WRONG = Check("meilisearch", "cities", Verdict.ERROR, "index 'cities' does not exist", "sync-worker indexes create")
SILENT = Check("kafka", "brokers", Verdict.ERROR, "Kafka does not answer", "start it", answered=False)
LOST = Finding("sink-lost-memory", "cities", "created anew", "every document", "sync-worker check", True, 0.0, 1.0)
RUNNING = ConnectorState("RUNNING", "w:8083", "", (TaskState(0, "RUNNING", "w:8083", ""),))


class Answers:
    """Replaces a verb; keeps what it was called with."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.calls: list[dict[str, Any]] = []
        monkeypatch.setattr(build, "read_config", lambda path: path)

    def to(self, verb: str, answer: object) -> None:
        async def call(*_args: object, **named: object) -> object:
            self.calls.append(named)
            return answer

        self._monkeypatch.setattr(verbs, verb, call)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    for variable in ("MEILI_MASTER_KEY", "MEILI_MASTER_KEY_FILE", "DATABASE_URL", "SYNC_WORKER_CONFIG"):
        monkeypatch.delenv(variable, raising=False)
    return Answers(monkeypatch)


def run(*arguments: str, **options: Any) -> Any:
    return CliRunner().invoke(app, list(arguments), **options)


@pytest.mark.parametrize(
    ("checks", "status"),
    [((OK,), 0), ((OK, WARNING), 0), ((OK, WRONG), 3), ((SILENT,), 1), ((SILENT, WRONG), 3)],
)
def test_check_tells_by_its_status(answers: Answers, checks: tuple[Check, ...], status: int) -> None:
    """Fine, or fine with warnings, 0; a mistake 3; nobody answered 1."""
    answers.to("check", CheckReport.of(checks))
    assert run("check").exit_code == status
    assert run("check", "--json").exit_code == status


def test_check_names_every_line_with_its_remedy(answers: Answers) -> None:
    """For people as lines, for machines as JSON with the same content."""
    answers.to("check", CheckReport.of((OK, WARNING, WRONG)))
    text = run("check").stdout
    assert "index 'cities' does not exist" in text
    assert "do: sync-worker indexes create" in text
    assert "3 checks, 1 error, 1 warning" in text
    parsed = json.loads(run("check", "--json").stdout)
    assert parsed["ok"] is False
    assert parsed["checks"][2]["remedy"] == "sync-worker indexes create"


@pytest.mark.parametrize(
    ("state", "status", "words"),
    [
        (RUNNING, 0, "RUNNING"),
        (ConnectorState("RUNNING", "w", "", ()), 3, "no task"),
        (ConnectorState("RUNNING", "w", "", (TaskState(0, "FAILED", "w", "no slot left"),)), 3, "no slot left"),
        (None, 3, "connector apply"),
    ],
)
def test_connector_status_tells_whether_it_moves(answers: Answers, state: ConnectorState | None, status: int, words: str) -> None:
    """Exit status 3 unless the connector and all its tasks run; the cause is printed."""
    answers.to("connector_status", ConnectorStatus("sync", state is not None and state.running, state))
    result = run("connector", "status")
    assert (result.exit_code, words in result.stdout) == (status, True)


def test_connector_apply_says_what_it_did(answers: Answers) -> None:
    """What was made beside it, and whether anything changed."""
    answers.to("apply_connector", ConnectorApplied("sync", created=True, made=("publication sync",), changed=("a",)))
    assert run("connector", "apply").stdout.splitlines() == ["made publication sync", "connector sync: created"]


def test_connector_delete_offers_to_drop_what_is_left(answers: Answers) -> None:
    """The slot goes only when it is said so."""
    answers.to("delete_connector", ConnectorDeleted("sync", existed=True, dropped=(), kept=("the replication slot: …",)))
    assert "kept the replication slot" in run("connector", "delete").stdout
    run("connector", "delete", "--drop-slot")
    assert [call["drop_slot"] for call in answers.calls] == [False, True]


def test_findings_list_is_three_while_one_is_open(answers: Answers) -> None:
    """With evidence and remedy; nothing open is 0."""
    answers.to("list_findings", FindingsReport((LOST,)))
    result = run("findings", "list")
    assert result.exit_code == 3
    assert "do: sync-worker check" in result.stdout
    answers.to("list_findings", FindingsReport(()))
    assert run("findings", "list").exit_code == 0


def test_findings_clear_needs_a_reason(answers: Answers) -> None:
    """Without one it is a mistake of usage."""
    answers.to("clear_finding", FindingCleared("sink-lost-memory", "cities", "refilled", "ops"))
    assert run("findings", "clear", "sink-lost-memory", "cities").exit_code == 2
    assert run("findings", "clear", "sink-lost-memory", "cities", "--reason", "refilled").exit_code == 0
    assert answers.calls == [{"kind": "sink-lost-memory", "subject": "cities", "reason": "refilled", "unproven": False}]


def test_keys_prints_lines_for_the_environment(answers: Answers, tmp_path: Path) -> None:
    """Nothing but the lines goes to stdout, so that they can go straight into a file; JSON is an object of the same."""
    answers.to("make_keys", KeysReport("default", ("cities",), (("KEY", "w"), ("SCRATCH", "s"))))
    file = tmp_path / "admin"
    file.write_text("the-master-key\n")
    assert run("keys", "--admin-key-file", str(file)).stdout == "KEY=w\nSCRATCH=s\n"
    assert json.loads(run("keys", "--json", env={"MEILI_MASTER_KEY": "from-env"}).stdout) == {"KEY": "w", "SCRATCH": "s"}
    assert [call["admin_key"] for call in answers.calls] == ["the-master-key", "from-env"]


def test_an_administrators_key_is_never_an_argument(answers: Answers) -> None:
    """Without a file, a variable or a terminal the command says how to give one."""
    answers.to("make_keys", None)
    result = run("keys")
    assert type(result.exception).__name__ == "ConfigurationError"
    assert answers.calls == []


def test_indexes_create_tells_made_from_found(answers: Answers) -> None:
    """A live index whose settings differ is named and was not touched."""
    report = IndexesReport((IndexPrepared("a", "a", True, ()), IndexPrepared("b", "b", False, ("stopWords",))))
    answers.to("create_indexes", report)
    lines = run("indexes", "create", env={"MEILI_MASTER_KEY": "k"}).stdout.splitlines()
    assert lines[:2] == ["a: created", "b: there already"]
    assert "stopWords" in lines[2]


def test_init_prints_a_declaration_that_can_be_appended(answers: Answers) -> None:
    """stdout holds the declaration as it is: no wrapping, no markup, no chatter."""
    text = '[indexes.cities]\ntable = "public.cities"\n# a comment with [brackets] ' + "that is long " * 20 + "\n"
    answers.to("init_declaration", InitReport("cities", text, None))
    assert run("init", "--table", "public.cities").stdout == text


def test_every_command_explains_itself_and_its_variables() -> None:
    """Options name their environment variable."""
    for command in (["check"], ["connector", "status"], ["findings", "list"], ["keys"], ["config", "show"], ["run"]):
        result = run(*command, "--help", env={"COLUMNS": "200"})
        assert result.exit_code == 0
        assert "SYNC_WORKER_CONFIG" in result.stdout


def test_help_groups_commands_by_what_somebody_wants() -> None:
    """No command is left outside the groups: two dozen in one list are hard to read."""
    told = run("--help", env={"COLUMNS": "120"}).stdout
    places = [told.index(f" {panel} ──") for panel in ("Run", "Look", "Repair", "Rebuild", "Set up")]
    assert places == sorted(places)
    assert " Commands ──" not in told


@pytest.mark.parametrize(
    ("command", "usage"),
    [
        (["wait"], "wait [OPTIONS] [INDEX]..."),
        (["drift"], "drift [OPTIONS] [INDEX]..."),
        (["pause"], "pause [OPTIONS] INDEX..."),
        (["retry"], "retry [OPTIONS] [ID]..."),
        (["discard"], "discard [OPTIONS] ID..."),
        (["failed", "show"], "failed show [OPTIONS] ID"),
        (["findings", "clear"], "findings clear [OPTIONS] KIND SUBJECT"),
        (["backfill", "start"], "backfill start [OPTIONS] INDEX"),
        (["backfill", "status"], "backfill status [OPTIONS] [INDEX]"),
        (["backfill"], "backfill [OPTIONS] INDEX, or: COMMAND [ARGS]..."),
    ],
)
def test_usage_lines_say_what_has_to_be_given(command: list[str], usage: str) -> None:
    """Brackets around what may be left out, nothing around the rest, each once."""
    told = run(*command, "--help", env={"COLUMNS": "160"}).stdout
    (line,) = [line.strip() for line in told.splitlines() if line.strip().startswith("Usage:")]
    assert line.endswith(usage)
    assert not set(line) & set("{}")


def test_help_comes_without_the_worker() -> None:
    """Only what a command needs is imported: --help knows no Faust, no HTTP client, no database."""
    code = (
        "import sys; from sync_worker.cli.app import app\n"
        "heavy = {'faust', 'aiokafka', 'aiohttp', 'httpx', 'sqlalchemy', 'pydantic', 'confluent_kafka', 'psycopg', 'sqlglot'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_help_is_there_at_once() -> None:
    """Best of three under half a second of processor time, so that a busy machine does not decide."""
    times = []
    for _ in range(3):
        before = processor_seconds()
        subprocess.run([sys.executable, "-m", "sync_worker", "--help"], capture_output=True, check=True)
        times.append(processor_seconds() - before)
    assert min(times) < 0.5


def processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize(("command", "words"), [("init", "[source]"), ("keys", "[meilisearch.NAME]")])
def test_help_keeps_words_in_brackets(monkeypatch: pytest.MonkeyPatch, command: str, words: str) -> None:
    """Rich would take them for markup and leave them out."""
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 300)
    assert words in run(command, "--help").stdout


def test_check_gives_machines_a_document_for_a_configuration_that_cannot_be_read(tmp_path: Path) -> None:
    """Of the same form as every report of it; exit status 2, and the lines for people on stderr."""
    config = tmp_path / "sync-worker.toml"
    config.write_text("nonsense = 1", encoding="utf-8")
    command = [sys.executable, "-m", "sync_worker", "check", "--json", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    report = json.loads(done.stdout)
    assert (done.returncode, report["ok"]) == (2, False)
    assert {(one["area"], one["subject"], one["verdict"]) for one in report["checks"]} == {
        ("configuration", str(config), "error")
    }
    assert any("unknown section" in one["message"] for one in report["checks"])
    assert "unknown section" in done.stderr


def test_check_gives_machines_a_document_also_when_nothing_answers_in_time(tmp_path: Path) -> None:
    """Each part that did not answer within --timeout is named; exit status 1, could not find out.

    The silence is the condition: a busy machine only lengthens it, and nothing here must be in time.
    """
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        config = tmp_path / "sync-worker.toml"
        config.write_text(
            f"""
            kafka.bootstrap_servers = "127.0.0.1:{port}"
            meilisearch.url = "http://127.0.0.1:{port}"
            meilisearch.api_key = "key"
            source.url = "postgresql://u:p@127.0.0.1:{port}/d"
            connector.url = "http://127.0.0.1:{port}"
            state.url = "sqlite:///{tmp_path}/state.db"
            [indexes.cities]
            table = "public.cities"
            primary_key = "id"
            fields = {{ name = "text" }}
            """,
            encoding="utf-8",
        )
        command = [sys.executable, "-m", "sync_worker", "check", "--json", "--timeout", "1", "--config", str(config)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    report = json.loads(done.stdout)
    unanswered = {one["area"] for one in report["checks"] if not one["answered"]}
    assert (done.returncode, report["ok"]) == (1, False)
    assert unanswered >= {"source", "kafka", "connector", "meilisearch"}


def test_check_under_no_color_has_no_escape_at_all(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither colour nor bold, whatever the terminal can do."""
    answers.to("check", CheckReport.of((OK, WARNING, WRONG)))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in run("check", color=True).stdout
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in run("check", color=True).stdout
