"""Create declared indexes that are missing. A live index is looked at and never changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sync_worker.document.declaration import IndexDeclaration
from sync_worker.errors import ConfigurationError
from sync_worker.operations.report import report
from sync_worker.operations.settings import settings_differences
from sync_worker.ports import AdminSink, Sink


@dataclass(frozen=True, slots=True)
class IndexPrepared:
    """One index that is there now.

    Attributes:
        differing: names of the live settings that differ from the declared ones. They were left as they are.
    """

    name: str
    uid: str
    created: bool
    differing: tuple[str, ...]


@report("indexes-create")
@dataclass(frozen=True, slots=True)
class IndexesReport:
    indexes: tuple[IndexPrepared, ...]


async def prepare_indexes(sink: Sink, admin: AdminSink | None, wanted: Sequence[IndexDeclaration]) -> IndexesReport:
    """Every wanted index exists afterwards, with its primary key.

    Args:
        admin: the same Meilisearch with a key that may create indexes; None where there is none.

    Raises ConfigurationError for every index at once that is missing and can't be created, or whose primary key is another
    one: both before anything was created. Raises the errors of the ports.
    """
    problems: list[str] = []
    missing: list[IndexDeclaration] = []
    prepared: dict[str, IndexPrepared] = {}
    for index in wanted:
        identity = await sink.identity(index.uid)
        if identity is None:
            missing.append(index)
            if admin is None:
                problems.append(
                    f"indexes.{index.name}: index {index.uid!r} does not exist and the worker's key may not create it"
                )
        elif identity.primary_key != index.id_field:
            problems.append(
                f"indexes.{index.name}: index {index.uid!r} has the primary key {identity.primary_key!r}, "
                f"declared is {index.id_field!r}"
            )
        else:
            differing = settings_differences(index.settings, await sink.settings(index.uid))
            prepared[index.name] = IndexPrepared(index.name, index.uid, created=False, differing=differing)
    if problems:
        raise ConfigurationError(
            problems, remedy="sync-worker indexes create makes missing ones; an index with another primary key needs another uid"
        )
    if admin is not None:
        for index in missing:
            await admin.create_index(index.uid, index.id_field, index.settings)
            prepared[index.name] = IndexPrepared(index.name, index.uid, created=True, differing=())
    return IndexesReport(tuple(prepared[index.name] for index in wanted))
