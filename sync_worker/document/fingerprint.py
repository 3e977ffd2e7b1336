"""A hash of everything in a declaration, and in its hook, that shapes a document."""

from __future__ import annotations

import inspect
import json
import sys
from hashlib import blake2b

from sync_worker.document.declaration import IndexDeclaration
from sync_worker.document.hook import Hook

_SHAPES_NO_DOCUMENT = {"settings", "uid", "meilisearch", "truncate"}


def declaration_fingerprint(declaration: IndexDeclaration, hook: Hook | None = None) -> str:
    """The same for two declarations that make the same documents of the same rows.

    Table, key, fields, types, `where` and soft delete count; the order of fields does not. A hook counts by its module's
    `__version__` where it has one, else by its module's source: what the hook calls in other modules is not seen.
    """
    content = declaration.model_dump(mode="json", exclude=_SHAPES_NO_DOCUMENT)
    content["hook_version"] = "" if hook is None else _hook_version(hook)
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _hook_version(hook: Hook) -> str:
    module = sys.modules.get(getattr(hook, "__module__", ""))
    version = getattr(module, "__version__", None)
    if version is not None:
        return str(version)
    try:
        return blake2b(inspect.getsource(module if module is not None else hook).encode(), digest_size=16).hexdigest()
    except (OSError, TypeError):
        return ""  # without source it can't be told from another version of itself
