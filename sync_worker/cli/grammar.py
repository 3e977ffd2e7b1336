"""How commands are written down in usage lines, and how all of them name indexes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import typer
from typer.core import TyperArgument, TyperCommand

Function = TypeVar("Function", bound=Callable[..., Any])

_REQUIRED = re.compile(r"\{(?P<name>.+)\}(?P<more>\.\.\.)?").fullmatch


class _Command(TyperCommand):
    """`INDEX` for an argument that has to be given and `[INDEX]` for another one: braces, as typer writes them, say a choice.

    Whatever takes INDEX takes `--index INDEX` for it as well: scripts name an index in the same way everywhere.
    """

    def __init__(self, name: str | None, **settings: Any) -> None:
        super().__init__(name, **settings)
        arguments = [one for one in self.params if isinstance(one, TyperArgument) and one.metavar == "INDEX"]
        self._spelled = bool(arguments) and not any("--index" in one.opts for one in self.params)
        if self._spelled:
            arguments[0].help = f"{(arguments[0].help or '').rstrip('.')}. Also as --index INDEX."

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, list(_spelled_out(args)) if self._spelled else args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [_plain(piece) for piece in super().collect_usage_pieces(ctx)]


def _spelled_out(args: Sequence[str]) -> Iterator[str]:
    """`--index NAME` as the argument that it stands for."""
    left = iter(args)
    for one in left:
        if one == "--":
            yield from (one, *left)
        elif one.startswith("--index="):
            yield one.removeprefix("--index=")
        elif one != "--index":
            yield one
        else:
            yield next(left, one)


def _plain(piece: str) -> str:
    required = _REQUIRED(piece)
    return piece if required is None else f"{required['name']}{required['more'] or ''}"


class Verbs(typer.Typer):
    """A group of commands, or the root of all of them."""

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Function], Function]:
        return super().command(name, **{"cls": _Command, **settings})
