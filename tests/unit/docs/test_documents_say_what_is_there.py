"""What the documents show can be typed in: links lead somewhere, commands exist, examples are read."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from click import Command, Group
from typer.main import get_command

from sync_worker.cli.app import app

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = sorted(
    path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("connectors/*.md")] if path.name != "CHANGELOG.md"
)

_LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)[^)]*\)")
_COMMAND = re.compile(r"\bsync-worker ((?:[a-z]+(?: |\b))+)")
_FENCE = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)


def named(document: Path) -> str:
    return str(document.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_link_leads_somewhere(document: Path) -> None:
    """A dead link is a promise that nobody kept."""
    dead = [target for target in _LINK.findall(document.read_text()) if not (document.parent / target).exists()]
    assert dead == []


def commands_in(document: Path) -> Iterator[list[str]]:
    for _, block in _FENCE.findall(document.read_text()):
        for words in _COMMAND.findall(block):
            yield words.split()


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_command_in_an_example_exists(document: Path) -> None:
    """What stands in a code block can be typed in."""
    unknown = []
    for words in commands_in(document):
        command: Command = get_command(app)
        for word in words:
            if not isinstance(command, Group):
                break
            if word not in command.commands:
                unknown.append(" ".join(words))
                break
            command = command.commands[word]
    assert unknown == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_toml_example_is_toml(document: Path) -> None:
    """An example that does not parse helps nobody."""
    for language, block in _FENCE.findall(document.read_text()):
        if language == "toml":
            tomllib.loads(block)


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_make_target_that_is_named_exists(document: Path) -> None:
    """`make …` in a code block is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    blocks = "\n".join(block for _, block in _FENCE.findall(document.read_text()))
    assert set(re.findall(r"^make (?:[A-Z]+=\S+ )*([a-z-]+)", blocks, re.MULTILINE)) <= targets
