"""The edits that a user makes to what `sync-worker init` wrote. Pure: text in, text out."""

from __future__ import annotations

from sync_worker.testing.demo.waiting import expect

HOOK_FILE = "country_vectors.py"
HOOK = '''\
"""The hook of [indexes.countries]: the row's profile goes to the embedder of that name."""

import json


def add_profile(document, row):
    return document | {"_vectors": {"profile": json.loads(row["profile"])}}
'''

_SUGGESTED_PROFILE = 'profile = "json"'
_PROFILE = "profile = { omit = true } # for the hook alone"
_TABLE = "[indexes.countries]\n"


def use_hook(text: str) -> str:
    """The configuration with vectors of countries made by the hook. Raises NotObservedError where `init` wrote something else."""
    for wanted in (_SUGGESTED_PROFILE, _TABLE):
        expect(text.count(wanted) == 1, f"`sync-worker init` wrote {text.count(wanted)} times {wanted.strip()!r}, not once")
    hook = f'{_TABLE}hook = "{HOOK_FILE.removesuffix(".py")}:add_profile"\n'
    # No longer a field of the document, so no setting may name it.
    return text.replace(_TABLE, hook).replace(_SUGGESTED_PROFILE, _PROFILE).replace(', "profile"', "")
