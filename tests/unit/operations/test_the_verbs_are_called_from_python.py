"""The operator's verbs from application code: asynchronous and blocking, with the same reports."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from sync_worker import api, api_sync
from sync_worker.operations.failed import FailedCounts

CONFIG = """
[kafka]
bootstrap_servers = "127.0.0.1:1"
[meilisearch]
url = "http://127.0.0.1:1"
api_key = "key"
[source]
url = "postgresql://nobody@127.0.0.1:1/nothing"
[state]
url = "sqlite:///{directory}/state.db"
[indexes.things]
table = "public.things"
primary_key = "id"
fields = {{ name = "text" }}
"""


@pytest.fixture
def config(tmp_path: Path) -> api.Config:
    file = tmp_path / "sync-worker.toml"
    file.write_text(CONFIG.format(directory=tmp_path), encoding="utf-8")
    return api.read_config(file)


def test_every_verb_has_a_blocking_form_under_the_same_name() -> None:
    """Nobody has to know which is which."""
    verbs = [name for name, value in vars(api).items() if inspect.iscoroutinefunction(value)]
    assert verbs
    for name in verbs:
        twin = getattr(api_sync, name)
        assert not inspect.iscoroutinefunction(twin)
        assert inspect.unwrap(twin) is getattr(api, name)


def test_the_blocking_form_gives_the_report(config: api.Config) -> None:
    """The same frozen report, and the same document as `--json`."""
    api_sync.pause(config, ["things"])
    assert api_sync.list_failed(config, api.FailedFilter(index="things")).items == ()
    counts = api_sync.failed_work_counts(config)
    assert isinstance(counts, FailedCounts)
    assert api.as_document(counts)["report"] == "failed-counts"


async def test_the_asynchronous_form_gives_the_report(config: api.Config) -> None:
    """In the caller's own loop."""
    assert (await api.pause(config, ["things"])).confirmed
    assert (await api.resume(config, ["things"])).indexes[0].was_paused
    assert [line.verb for line in (await api.audit_log(config)).lines] == ["resume", "pause"]
