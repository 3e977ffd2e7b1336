"""The lists name what may be run, and the cache holds nothing else."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from sync_worker.testing.stack import jars, versions
from sync_worker.testing.stack.jars import Jar, fetch, read_list
from sync_worker.testing.stack.part import checkout
from sync_worker.testing.stack.process import StackError

LISTS = checkout() / "deploy" / "local" / "jars"


class _Registry:
    """Stands for the library's downloader; counts, and serves these bytes for every jar, after so many failures."""

    def __init__(self, body: bytes, failures: int = 0) -> None:
        self.body, self.failures, self.asked = body, failures, 0

    def __call__(self) -> _Registry:
        return self

    def download(self, artifact: object, filename: str) -> None:
        self.asked += 1
        if self.asked <= self.failures:
            Path(filename).write_bytes(self.body[:3])
            raise ConnectionError("cut off")
        Path(filename).write_bytes(self.body)


def _jar(body: bytes) -> Jar:
    return Jar("org.example:thing:1.0", hashlib.sha256(body).hexdigest())


def _fetch(jar: Jar, cache: Path, registry: _Registry, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(jars, "_downloader", registry)
    return fetch([jar], cache, say=lambda _: None)[0]


def test_a_jar_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second start needs no network."""
    registry = _Registry(b"bytes")
    path = _fetch(_jar(b"bytes"), tmp_path, registry, monkeypatch)
    assert _fetch(_jar(b"bytes"), tmp_path, registry, monkeypatch) == path
    assert registry.asked == 1


def test_a_jar_that_is_not_what_the_list_says_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named with both checksums and leaves nothing in the cache."""
    with pytest.raises(StackError, match=r"org\.example:thing:1\.0.*SHA-256"):
        _fetch(_jar(b"bytes"), tmp_path, _Registry(b"others"), monkeypatch)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_damaged_jar_is_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk or a killed copy must not poison the cache for ever."""
    registry = _Registry(b"bytes")
    path = _fetch(_jar(b"bytes"), tmp_path, registry, monkeypatch)
    path.write_bytes(b"byt")
    assert _fetch(_jar(b"bytes"), tmp_path, registry, monkeypatch).read_bytes() == b"bytes"


def test_a_connection_that_is_cut_off_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One lost connection among a hundred must not fail the start."""
    assert _fetch(_jar(b"bytes"), tmp_path, _Registry(b"bytes", failures=2), monkeypatch).read_bytes() == b"bytes"


@pytest.mark.parametrize(("name", "count"), [("kafka", 91), ("debezium-postgres", 22)])
def test_the_lists_are_whole_and_name_no_registry(name: str, count: int) -> None:
    """Coordinates and SHA-256 only; the runtime closures of the pom, one version of each artifact."""
    text = (LISTS / f"{name}.txt").read_text()
    assert all(re.fullmatch(r"[\w.\-]+:[\w.\-]+:[\w.\-]+ [0-9a-f]{64}", line) for line in text.splitlines())
    listed = read_list(LISTS / f"{name}.txt")
    assert len(listed) == count
    assert len({jar.coordinate.rpartition(":")[0] for jar in listed}) == count


def test_the_lists_and_the_pom_have_the_pinned_versions() -> None:
    """One place for versions: a pom or a list of another version would start something else than the docs say."""
    listed = {jar.coordinate for name in ("kafka", "debezium-postgres") for jar in read_list(LISTS / f"{name}.txt")}
    assert f"org.apache.kafka:kafka_2.13:{versions.KAFKA}" in listed
    assert f"org.apache.kafka:connect-runtime:{versions.KAFKA}" in listed
    assert f"io.debezium:debezium-connector-postgres:{versions.DEBEZIUM}" in listed
    pom = (LISTS.parent / "pom.xml").read_text()
    assert f"<kafka.version>{versions.KAFKA}<" in pom
    assert f"<debezium.version>{versions.DEBEZIUM}<" in pom
