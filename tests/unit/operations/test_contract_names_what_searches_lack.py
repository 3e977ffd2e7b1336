"""`contract` compares what searches lean on, and the fields that documents bear."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import fastjsonschema

from sync_worker.document.declaration import IndexDeclaration
from sync_worker.operations.contract import ContractReport, contract
from sync_worker.operations.report import as_document, schema_of
from sync_worker.ports import IndexIdentity


def declared(**more: Any) -> IndexDeclaration:
    base = {"name": "things", "table": "public.things", "primary_key": "id", "fields": {"name": "text", "size": "integer"}}
    settings = {"filterableAttributes": ["size"], "searchableAttributes": ["name"]}
    return IndexDeclaration.model_validate({**base, "settings": settings, **more})


@dataclass
class Index:
    primary_key: str = "id"
    documents: int = 10
    fields: Mapping[str, int] = field(default_factory=lambda: {"id": 10, "name": 10, "size": 4})
    live: dict[str, Any] = field(default_factory=lambda: {"filterableAttributes": ["size"], "searchableAttributes": ["name"]})
    exists: bool = True

    async def identity(self, index_uid: str) -> IndexIdentity | None:
        return IndexIdentity(index_uid, "now", self.primary_key) if self.exists else None

    async def settings(self, index_uid: str) -> Mapping[str, Any]:
        return self.live

    async def index_stats(self, index_uid: str) -> Index:
        return self

    def look(self, declaration: IndexDeclaration | None = None) -> ContractReport:
        report = asyncio.run(contract({"default": self}, [declaration or declared()]))
        fastjsonschema.compile(schema_of(ContractReport))(as_document(report))
        return report


def drifts(report: ContractReport) -> set[tuple[str, str]]:
    return {(finding.drift.value, finding.subject) for index in report.indexes for finding in index.findings}


def test_what_is_as_declared_has_no_finding() -> None:
    report = Index().look()
    assert report.in_step
    assert report.indexes[0].fields == {"id": 10, "name": 10, "size": 4}


def test_lists_of_attributes_and_the_key_are_compared() -> None:
    """Each with both sides, and the command that mends it."""
    index = Index(
        primary_key="other", live={"filterableAttributes": [], "searchableAttributes": ["name"], "sortableAttributes": ["size"]}
    )
    report = index.look()
    assert drifts(report) == {("primary-key", "primaryKey"), ("attributes", "filterable"), ("attributes", "sortable")}
    remedies = {finding.remedy for finding in report.indexes[0].findings}
    assert remedies == {"sync-worker reindex things", "sync-worker settings apply things --acknowledge-live"}


def test_a_declared_field_that_no_document_bears_is_named() -> None:
    """Documents of an older declaration. An empty index says nothing about fields."""
    assert drifts(Index(fields={"id": 10, "name": 10}).look()) == {("field-absent", "size")}
    assert Index(fields={}, documents=0).look().in_step


def test_a_field_that_nobody_declared_is_named_unless_a_hook_may_make_it() -> None:
    """Meilisearch's own fields are no surprise."""
    index = Index(fields={"id": 10, "name": 10, "size": 4, "stray": 3, "_geo": 1})
    assert drifts(index.look()) == {("field-undeclared", "stray")}
    assert index.look(declared(hook="hooks:make")).in_step


def test_an_attribute_that_nothing_makes_is_named() -> None:
    """A misspelt name in the settings is accepted by the server and finds nothing."""
    settings = {"filterableAttributes": ["sise", {"attributePatterns": ["si*"]}], "searchableAttributes": ["name"]}
    index = Index(live=settings)
    assert drifts(index.look(declared(settings=settings))) == {("attribute-unknown", "sise")}


def test_a_missing_index_is_a_finding() -> None:
    assert drifts(Index(exists=False).look()) == {("index-missing", "things")}
