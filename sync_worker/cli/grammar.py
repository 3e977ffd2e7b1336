"""How commands are written down in usage lines."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand

Function = TypeVar("Function", bound=Callable[..., Any])

_REQUIRED = re.compile(r"\{(?P<name>.+)\}(?P<more>\.\.\.)?").fullmatch


class _Command(TyperCommand):
    """`INDEX` for an argument that has to be given and `[INDEX]` for another one: braces, as typer writes them, say a choice."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [_plain(piece) for piece in super().collect_usage_pieces(ctx)]


def _plain(piece: str) -> str:
    required = _REQUIRED(piece)
    return piece if required is None else f"{required['name']}{required['more'] or ''}"


class Verbs(typer.Typer):
    """A group of commands, or the root of all of them."""

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Function], Function]:
        return super().command(name, **{"cls": _Command, **settings})
