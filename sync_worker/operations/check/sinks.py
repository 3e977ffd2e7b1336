"""One Meilisearch and the indexes on it."""

from __future__ import annotations

from collections.abc import Sequence

from sync_worker.document.declaration import IndexDeclaration
from sync_worker.errors import SyncWorkerError
from sync_worker.operations.check.parts import SinkFacts
from sync_worker.operations.check.report import Check, Verdict, ok_unless, unanswered
from sync_worker.operations.settings import settings_differences

AREA = "meilisearch"

OLDEST_SERVER = (1, 26, 0)
"""The first version that keeps `customMetadata`, by which late writes are found."""

DEFAULT_PAYLOAD_LIMIT_BYTES = 100 * 1000 * 1000
"""Meilisearch's own `--http-payload-size-limit`. No answer of the server tells it."""


async def check_sink(sink: SinkFacts, instance: str, indexes: Sequence[IndexDeclaration]) -> list[Check]:
    """Raises SinkUnavailable, SinkDenied where nothing at all can be asked."""
    checks: list[Check] = []
    version = await sink.version()
    named = ".".join(map(str, version)) if version else ""
    if version is not None and version < OLDEST_SERVER:
        checks.append(
            Check(
                AREA,
                instance,
                Verdict.ERROR,
                f"version {named} does not keep customMetadata, so a late write would stay unseen",
                f"upgrade to {'.'.join(map(str, OLDEST_SERVER))} or later",
            )
        )
    missing = await sink.missing_actions([index.uid for index in indexes])
    if missing:
        checks.append(
            Check(
                AREA,
                instance,
                Verdict.ERROR,
                f"the worker's key lacks {'; '.join(missing)}",
                "sync-worker keys makes a key that has them",
            )
        )
    scratch = await sink.scratch_problem()
    if scratch is not None:
        checks.append(
            Check(
                AREA,
                instance,
                Verdict.WARNING,
                f"{scratch}: a poison document is looked for on the live index, which is slow and holds up its neighbours",
                "sync-worker keys makes the key for scratch indexes",
            )
        )
    if sink.max_payload_bytes > DEFAULT_PAYLOAD_LIMIT_BYTES:
        checks.append(
            Check(
                AREA,
                instance,
                Verdict.WARNING,
                f"payloads of up to {sink.max_payload_bytes} bytes pass the server's default of {DEFAULT_PAYLOAD_LIMIT_BYTES}",
                f"start it with --http-payload-size-limit={sink.max_payload_bytes}, or lower the limit of the worker",
            )
        )
    checks = ok_unless(AREA, instance, checks, message=f"version {named}" if named else "answers")
    for index in indexes:
        try:
            checks += await _check_index(sink, index)
        except SyncWorkerError as error:
            checks.append(unanswered(AREA, index.name, error))
    return checks


async def _check_index(sink: SinkFacts, index: IndexDeclaration) -> list[Check]:
    identity = await sink.identity(index.uid)
    if identity is None:
        return [
            Check(
                AREA,
                index.name,
                Verdict.ERROR,
                f"index {index.uid!r} does not exist",
                "sync-worker indexes create, with an administrator's key",
            )
        ]
    checks = []
    if identity.primary_key != index.id_field:
        checks.append(
            Check(
                AREA,
                index.name,
                Verdict.ERROR,
                f"index {index.uid!r} has the primary key {identity.primary_key!r}, declared is {index.id_field!r}",
                "declare another uid and fill it, or delete the index when nobody needs what is in it",
            )
        )
    differing = settings_differences(index.settings, await sink.settings(index.uid))
    if differing:
        checks.append(
            Check(
                AREA,
                index.name,
                Verdict.WARNING,
                f"live settings of {index.uid!r} differ from the declared ones: {', '.join(differing)}",
                "the worker never changes a live index's settings: change them there, or the declaration",
            )
        )
    return ok_unless(AREA, index.name, checks, message=f"index {index.uid!r} is as declared")
