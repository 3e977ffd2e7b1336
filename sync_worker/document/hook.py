"""An index's hook: a function of the user's that sees each document after the declared fields were made."""

from __future__ import annotations

import importlib
import re
import traceback
from collections.abc import Callable
from typing import Any

from sync_worker.change.model import Row
from sync_worker.errors import ProjectionError

Document = dict[str, Any]
Hook = Callable[[Document, Row], Document | None]
"""`function(document, row)` returns the document to index, or None to have it removed. `row` holds the declared columns."""

NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*").fullmatch


def load_hook(name: str) -> Hook:
    """Import `module:function`.

    Raises:
        ValueError: it is not of that form, can't be imported, or is not callable; says which.
    """
    if NAME(name) is None:
        raise ValueError(f"`{name}` is not of the form module:function")
    module_name, _, function_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a hook's module may raise anything while it is imported
        raise ValueError(f"module `{module_name}` can't be imported: {type(error).__name__}: {error}") from error
    function = getattr(module, function_name, None)
    if function is None:
        raise ValueError(f"module `{module_name}` has no `{function_name}`")
    if not callable(function):
        raise ValueError(f"`{name}` is not callable")
    return function  # type: ignore[no-any-return]


def call_hook(name: str, hook: Hook, document: Document, row: Row) -> Document | None:
    """Run the hook on its own copies of document and row.

    Raises:
        ProjectionError: `hook_failed` where it raised, `hook_invalid` where it returned something else than a document or None.
    """
    try:
        result = hook(document, row)
    except Exception as error:
        # The exception's own text may quote the row, so only its type and place are told.
        last = traceback.extract_tb(error.__traceback__)[-1]
        raise ProjectionError(
            f"The hook {name} raised {type(error).__name__} at {last.name}, line {last.lineno}.",
            code="hook_failed",
            remedy="Correct the hook, restart the worker, and retry what failed.",
        ) from error
    if result is not None and type(result) is not dict:
        raise ProjectionError(
            f"The hook {name} returned a {type(result).__name__} instead of a dict or None.",
            code="hook_invalid",
            remedy="Return the document (a dict) to index it, or None to remove it from the index.",
        )
    return result
