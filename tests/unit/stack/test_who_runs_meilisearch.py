"""The order of choice: given, container, on PATH, the project's release, the double."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from sync_worker.testing.stack import meilisearch
from sync_worker.testing.stack.meilisearch import Choice, choose
from sync_worker.testing.stack.part import Kind
from sync_worker.testing.stack.process import StackError


def _here(_: str) -> str:
    return "/usr/bin/meilisearch"


def _nowhere(_: str) -> None:
    return None


def test_the_first_that_can_be_had_is_taken() -> None:
    """Each stands behind the one before it, and the double is last."""
    everything = {"MEILI_URL": "http://127.0.0.1:7700", "MEILI_DOWNLOAD": "1"}
    download = {"MEILI_DOWNLOAD": "1"}
    assert choose(everything, containers=True, which=_here) == Choice(Kind.OUTSIDE)
    assert choose(download, containers=True, which=_here) == Choice(Kind.CONTAINER)
    assert choose(download, containers=False, which=_here) == Choice(Kind.SERVER, Path("/usr/bin/meilisearch"))
    assert choose(download, containers=False, which=_nowhere) == Choice(Kind.SERVER, download=True)
    assert choose({}, containers=False, which=_nowhere) == Choice(Kind.DOUBLE)


def test_nothing_is_downloaded_unasked() -> None:
    """Only MEILI_DOWNLOAD=1 means yes."""
    assert choose({"MEILI_DOWNLOAD": "0"}, containers=False, which=_nowhere).kind is Kind.DOUBLE


def test_a_release_is_fetched_once(tmp_path: Path) -> None:
    """What lies in the cache is used without asking anybody."""
    program = tmp_path / "meilisearch" / "1.50.0" / "meilisearch"
    program.parent.mkdir(parents=True)
    program.touch()
    assert meilisearch.download(tmp_path, say=pytest.fail) == program


def test_what_names_another_version_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The project publishes no checksums; a page of HTML or another version must not become the cached server."""
    monkeypatch.setattr(httpx, "stream", _stream_of(b"#!/bin/sh\necho meilisearch 1.49.0\n"))
    with pytest.raises(StackError, match=r"1\.49\.0"):
        meilisearch.download(tmp_path, say=lambda _: None)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_release_that_names_the_pinned_version_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is executable, and the next start finds it."""
    monkeypatch.setattr(httpx, "stream", _stream_of(b"#!/bin/sh\necho meilisearch 1.50.0\n"))
    program = meilisearch.download(tmp_path, say=lambda _: None)
    assert meilisearch.program_version(program) == "1.50.0"


def _stream_of(body: bytes) -> object:
    @contextlib.contextmanager
    def stream(method: str, url: str, **_: object) -> Iterator[httpx.Response]:
        assert (method, url.rpartition("/")[0].rpartition("/")[2]) == ("GET", "v1.50.0")
        yield httpx.Response(200, content=body, request=httpx.Request(method, url))

    return stream
