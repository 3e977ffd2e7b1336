"""`contract`: what searches may lean on (attributes, facets, key, fields), as declared and as it is. Changes nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from sync_worker.document.declaration import RESERVED_FIELDS, IndexDeclaration
from sync_worker.operations.report import report
from sync_worker.operations.settings.compare import completed, settings_differences
from sync_worker.operations.settings.effect import PRIMARY_KEY
from sync_worker.ports import IndexIdentity

_PARTS = {
    "searchable": "searchableAttributes",
    "filterable": "filterableAttributes",
    "sortable": "sortableAttributes",
    "displayed": "displayedAttributes",
    "faceting": "faceting",
    "distinct": "distinctAttribute",
}
_NAMING = ("searchableAttributes", "filterableAttributes", "sortableAttributes", "displayedAttributes", "distinctAttribute")


class FieldStats(Protocol):
    """`documents` that the index holds; `fields` has field → how many of them bear it."""

    @property
    def documents(self) -> int: ...
    @property
    def fields(self) -> Mapping[str, int]: ...


class ContractReader(Protocol):
    """One Meilisearch. Raises SinkUnavailable, SinkDenied."""

    async def identity(self, index_uid: str) -> IndexIdentity | None: ...

    async def settings(self, index_uid: str) -> Mapping[str, Any]: ...

    async def index_stats(self, index_uid: str) -> FieldStats: ...


class ContractDrift(StrEnum):
    """What does not fit."""

    INDEX_MISSING = "index-missing"
    PRIMARY_KEY = "primary-key"
    ATTRIBUTES = "attributes"
    """A list of attributes, or faceting, is not what is declared."""
    FIELD_ABSENT = "field-absent"
    """Declared, and in no document of a filled index."""
    FIELD_UNDECLARED = "field-undeclared"
    """In documents, and not declared."""
    ATTRIBUTE_UNKNOWN = "attribute-unknown"
    """The declared settings name a field that no declaration makes, and no document bears."""


@dataclass(frozen=True, slots=True)
class ContractPart:
    """One part of the contract: `primary_key`, `searchable`, `filterable`, `sortable`, `displayed`, `faceting`, `distinct`."""

    part: str
    declared: Any
    live: Any
    in_step: bool


@dataclass(frozen=True, slots=True)
class ContractFinding:
    """One thing that does not fit. `documents` is how many it concerns, where that is known."""

    drift: ContractDrift
    subject: str
    evidence: str
    documents: int | None
    remedy: str


@dataclass(frozen=True, slots=True)
class IndexContract:
    """One index.

    Attributes:
        fields: field → documents that bear it, declared ones with 0 included.
        hook: a hook makes documents, so that fields beyond the declared ones may be meant.
    """

    index: str
    uid: str
    documents: int
    hook: bool
    parts: tuple[ContractPart, ...]
    fields: Mapping[str, int]
    findings: tuple[ContractFinding, ...]


@report("contract")
@dataclass(frozen=True, slots=True)
class ContractReport:
    """`in_step`: nothing of any index does not fit."""

    in_step: bool
    indexes: tuple[IndexContract, ...]


async def contract(readers: Mapping[str, ContractReader], indexes: Sequence[IndexDeclaration]) -> ContractReport:
    """Args: `readers` are by instance. Raises SinkUnavailable, SinkDenied."""
    found = tuple([await _contract(readers[index.meilisearch], index) for index in indexes])
    return ContractReport(not any(one.findings for one in found), found)


async def _contract(reader: ContractReader, index: IndexDeclaration) -> IndexContract:
    identity = await reader.identity(index.uid)
    hooked = index.hook is not None
    if identity is None:
        missing = ContractFinding(
            ContractDrift.INDEX_MISSING, index.name, f"there is no index {index.uid}", None, "sync-worker indexes create"
        )
        return IndexContract(index.name, index.uid, 0, hooked, (), dict.fromkeys(sorted(declared_fields(index)), 0), (missing,))
    live = await reader.settings(index.uid)
    stats = await reader.index_stats(index.uid)
    parts = (
        ContractPart("primary_key", index.id_field, identity.primary_key, identity.primary_key == index.id_field),
        *_parts(index, live),
    )
    fields = {name: stats.fields.get(name, 0) for name in sorted(declared_fields(index) | stats.fields.keys())}
    findings = tuple(_findings(index, parts, stats))
    return IndexContract(index.name, index.uid, stats.documents, hooked, parts, fields, findings)


def declared_fields(index: IndexDeclaration) -> frozenset[str]:
    """Top-level fields that the declaration gives a document; `_vectors` is none, the server keeps it elsewhere."""
    made = {name for name, field in index.fields.items() if not field.omit and field.embedder is None}
    return frozenset({index.id_field, *made})


def _parts(index: IndexDeclaration, live: Mapping[str, Any]) -> Iterator[ContractPart]:
    differing = settings_differences(index.settings, live)
    for part, setting in _PARTS.items():
        declared = completed(setting, index.settings.get(setting))
        yield ContractPart(part, declared, completed(setting, live.get(setting)), setting not in differing)


def _findings(index: IndexDeclaration, parts: Sequence[ContractPart], stats: FieldStats) -> Iterator[ContractFinding]:
    for part in parts:
        if part.in_step:
            continue
        evidence = f"{part.part}: declared is {part.declared!r}, live is {part.live!r}"
        if part.part == "primary_key":
            yield ContractFinding(
                ContractDrift.PRIMARY_KEY, PRIMARY_KEY, evidence, stats.documents, f"sync-worker reindex {index.name}"
            )
        else:
            remedy = f"sync-worker settings apply {index.name} --acknowledge-live"
            yield ContractFinding(ContractDrift.ATTRIBUTES, part.part, evidence, None, remedy)
    declared = declared_fields(index)
    if stats.documents:
        for name in sorted(declared - stats.fields.keys()):
            evidence = f"{name} is declared, and none of {stats.documents} documents bears it: they are of an older declaration"
            remedy = f"sync-worker backfill {index.name}"
            yield ContractFinding(ContractDrift.FIELD_ABSENT, name, evidence, stats.documents, remedy)
    if index.hook is None:
        for name in sorted(stats.fields.keys() - declared - RESERVED_FIELDS):
            count = stats.fields[name]
            evidence = (
                f"{count} of {stats.documents} documents bear {name}, which is not declared: of an older declaration, "
                "or somebody else writes to the index"
            )
            yield ContractFinding(
                ContractDrift.FIELD_UNDECLARED, name, evidence, count, f"sync-worker backfill {index.name}, or declare the field"
            )
        known = {*declared, *stats.fields, *RESERVED_FIELDS}
        for setting in _NAMING:
            for name in named(index.settings.get(setting)):
                if name.partition(".")[0] not in known:
                    evidence = f"{setting} names {name}, which no declared field makes and no document bears"
                    remedy = f"correct it in [indexes.{index.name}.settings], or declare the field"
                    yield ContractFinding(ContractDrift.ATTRIBUTE_UNKNOWN, name, evidence, None, remedy)


_PATTERN = re.compile(r"[*]")


def named(value: Any) -> list[str]:
    """Attributes that a setting names; patterns with `*` name none."""
    if isinstance(value, str):
        return [] if _PATTERN.search(value) else [value]
    if isinstance(value, Mapping):
        return named(value.get("attributePatterns"))
    if isinstance(value, list | tuple):
        return [name for item in value for name in named(item)]
    return []
