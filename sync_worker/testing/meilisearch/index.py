"""One index: its documents by id, its settings, and how one batch of document operations changes it, whole or not at all."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sync_worker.testing.meilisearch import poison
from sync_worker.testing.meilisearch.documents import Document, Incoming, document_id
from sync_worker.testing.meilisearch.errors import ApiError
from sync_worker.testing.meilisearch.filters import compile_filter
from sync_worker.testing.meilisearch.json_text import Unreadable
from sync_worker.testing.meilisearch.moments import timestamp
from sync_worker.testing.meilisearch.settings import Settings, defaults, filterable_patterns, geo_enabled, merged
from sync_worker.testing.meilisearch.tasks import Addition, Deletion, Task


@dataclass(slots=True)
class Stored:
    """A document with the internal id that gives results their order. Never changed in place."""

    position: int
    fields: Document


@dataclass
class Index:
    uid: str
    primary_key: str | None = None
    created_at: str = field(default_factory=timestamp)
    updated_at: str = ""
    settings: Settings = field(default_factory=defaults)
    documents: dict[str, Stored] = field(default_factory=dict)
    free_positions: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.updated_at = self.updated_at or self.created_at

    def view(self) -> dict[str, Any]:
        return {"uid": self.uid, "createdAt": self.created_at, "updatedAt": self.updated_at, "primaryKey": self.primary_key}

    def copied(self) -> Index:
        """A copy that later changes to this index do not touch."""
        return Index(
            self.uid,
            self.primary_key,
            self.created_at,
            self.updated_at,
            self.settings,
            dict(self.documents),
            list(self.free_positions),
        )

    def ordered(self) -> list[tuple[str, Stored]]:
        return sorted(self.documents.items(), key=lambda item: item[1].position)

    def stats(self, is_indexing: bool) -> dict[str, Any]:
        fields = Counter(name for stored in self.documents.values() for name in stored.fields if name != "_vectors")
        embedders = self.settings["embedders"]
        embedded = [
            sum(len(poison.embeddings(value)) for name, value in _vectors(stored.fields).items() if name in embedders)
            for stored in (self.documents.values() if embedders else ())
        ]
        count = len(self.documents)
        size = 4096 * -(-sum(24 + 12 * len(stored.fields) for stored in self.documents.values()) // 4096)
        return {
            "numberOfDocuments": count,
            "rawDocumentDbSize": size,
            "avgDocumentSize": max(size // count - 8, 0) if count else 0,
            "isIndexing": is_indexing,
            "numberOfEmbeddings": sum(embedded),
            "numberOfEmbeddedDocuments": sum(number > 0 for number in embedded),
            "fieldDistribution": dict(sorted(fields.items())),
        }

    def set_primary_key(self, primary_key: str) -> None:
        """Raises ApiError `index_primary_key_already_exists` once documents exist."""
        if self.documents and primary_key != self.primary_key:
            raise _primary_key_exists(self.primary_key or "")
        self.primary_key = primary_key

    def change_settings(self, change: Settings) -> None:
        """Raises ApiError when a stored document does not bear the new settings; nothing has changed then."""
        for _, stored in self.ordered():
            for value in stored.fields.values():
                if isinstance(value, Unreadable):
                    raise poison.unreadable(value)
        after = merged(self.settings, change)
        if geo_enabled(after) and not geo_enabled(self.settings):
            for uid, stored in self.ordered():
                poison.check_geo(uid, stored.fields)
        for name in after["embedders"].keys() - self.settings["embedders"].keys():
            for uid, stored in self.ordered():
                poison.check_embedded(uid, stored.fields, {name: after["embedders"][name]})
        self.settings = after

    def clear(self) -> int:
        count = len(self.documents)
        self.documents.clear()
        self.free_positions.clear()
        return count

    def apply(self, tasks: Sequence[Task]) -> None:
        """Additions and deletions of one batch.

        A task with a bad id gets its own error and adds nothing. Raises ApiError, with nothing changed, for what
        fails all tasks of the batch.
        """
        change = _Change(self, any(isinstance(task.content, Addition) for task in tasks))
        for task in tasks:
            try:
                change.add(task)
            except ApiError as error:
                task.error = error.body()
            except _EmptyIdError as stop:
                problem = "MDB_BAD_VALSIZE: Unsupported size of key/DB name/data, or wrong DUPFIXED size"
                if change.with_additions:
                    raise ApiError("internal", f"internal: {problem}.").inside(self.uid) from stop
                raise ApiError("internal", problem) from stop
        try:
            change.check()
        except ApiError as error:
            raise error.inside(self.uid) from error
        change.commit()

    def matching(self, filter_value: Any) -> list[str]:
        """Raises ApiError `invalid_document_filter`."""
        test = compile_filter(filter_value, filterable_patterns(self.settings), "invalid_document_filter")
        return [uid for uid, stored in self.documents.items() if test(stored.fields)]


def _vectors(document: Document | None) -> dict[str, Any]:
    vectors = (document or {}).get("_vectors")
    return vectors if isinstance(vectors, dict) else {}


def _primary_key_exists(primary_key: str) -> ApiError:
    return ApiError("index_primary_key_already_exists", f"Index already has a primary key: `{primary_key}`.")


class _Change:
    """The documents after a batch, kept apart until every one of them is known to be good."""

    def __init__(self, index: Index, with_additions: bool) -> None:
        self._index = index
        self.with_additions = with_additions
        self._primary_key = index.primary_key
        self._after: dict[str, Document | None] = {}

    def add(self, task: Task) -> None:
        content = task.content
        if isinstance(content, Addition):
            self._add_documents(task, content)
        elif isinstance(content, Deletion):
            self._delete(task, content)

    def _current(self, uid: str) -> Document | None:
        if uid in self._after:
            return self._after[uid]
        stored = self._index.documents.get(uid)
        return stored.fields if stored else None

    def _add_documents(self, task: Task, content: Addition) -> None:
        primary_key = self._primary_key_for(content)
        ids = [document_id(document, primary_key) for document in content.documents] if content.documents else []
        self._primary_key = primary_key or self._primary_key
        for uid, document in zip(ids, content.documents, strict=True):
            before = self._current(uid)
            if before is None and not content.creates_documents:
                continue
            if content.merges and before is not None:
                self._after[uid] = {**before, **document.fields}
            else:
                self._after[uid] = self._with_kept_vectors(before, document.fields)
        task.details["indexedDocuments"] = len(set(ids))

    def _with_kept_vectors(self, before: Document | None, fields: Document) -> Document:
        """A replaced document keeps the vectors of embedders that its new version does not name."""
        kept = {name: value for name, value in _vectors(before).items() if name in self._index.settings["embedders"]}
        given = fields.get("_vectors", {})
        return {**fields, "_vectors": {**kept, **given}} if kept and isinstance(given, dict) else fields

    def _primary_key_for(self, content: Addition) -> str:
        if self._primary_key is not None:
            if content.primary_key not in {None, self._primary_key}:
                raise _primary_key_exists(self._primary_key)
            return self._primary_key
        if content.primary_key is not None or not content.documents:
            return content.primary_key or ""
        return infer_primary_key(content.documents[0])

    def _delete(self, task: Task, content: Deletion) -> None:
        """Beside additions the server counts the ids it was given, alone those that existed (seen on a 1.50 server)."""
        ids: Iterable[str] = content.ids
        if content.filter is not None:
            try:
                ids = self._index.matching(content.filter)
            except ApiError as error:
                raise error.inside(self._index.uid) from error
        if "" in ids:
            raise _EmptyIdError
        existing = {uid for uid in ids if self._current(uid) is not None}
        self._after.update(dict.fromkeys(existing))
        task.details["deletedDocuments"] = len(set(ids) if self.with_additions else existing)

    def check(self) -> None:
        """Raises ApiError for the first document that would fail the server's indexing."""
        settings = self._index.settings
        embedders, geo = settings["embedders"], geo_enabled(settings)
        changed = self._after.items()
        for uid, after in changed:
            self._check_readable(uid, after)
        for uid, after in changed:
            if after is not None:
                if "_vectors" in after:
                    poison.check_vectors(uid, after["_vectors"], embedders)
                if geo:
                    poison.check_geo(uid, after)
        if embedders:
            for uid, after in changed:
                if after is not None and uid not in self._index.documents:
                    poison.check_embedded(uid, after, embedders)

    def _check_readable(self, uid: str, after: Document | None) -> None:
        """Changed fields must be readable; too deep a field is noticed only where the whole document is read.

        That is when it is new, deleted, or changed in a searchable field (seen on a 1.50 server).
        """
        stored = self._index.documents.get(uid)
        before = stored.fields if stored else {}
        now = after or {}
        whole = stored is None or after is None or self._searchable_changed(before, now)
        for name, value in now.items():
            if isinstance(value, Unreadable) and (whole or (not value.is_too_deep and before.get(name) != value)):
                raise poison.unreadable(value)
        for value in before.values():
            if isinstance(value, Unreadable) and whole:
                raise poison.unreadable(value)

    def _searchable_changed(self, before: Document, after: Document) -> bool:
        searched = self._index.settings["searchableAttributes"]
        names = before.keys() | after.keys() if "*" in searched else searched
        return any(before.get(name) != after.get(name) for name in names)

    def commit(self) -> None:
        index = self._index
        index.primary_key = self._primary_key or index.primary_key
        freed = []
        for uid, after in self._after.items():
            stored = index.documents.get(uid)
            if after is None:
                if stored is not None:
                    freed.append(index.documents.pop(uid).position)
            elif stored is not None:
                index.documents[uid] = Stored(stored.position, after)
            elif index.free_positions:
                index.documents[uid] = Stored(heapq.heappop(index.free_positions), after)
            else:
                index.documents[uid] = Stored(len(index.documents) + len(freed), after)
        for position in freed:
            heapq.heappush(index.free_positions, position)


class _EmptyIdError(Exception):
    """An empty id to delete: not that task's error but the whole batch's."""


def infer_primary_key(document: Incoming) -> str:
    """Raises ApiError `index_primary_key_no_candidate_found` or `index_primary_key_multiple_candidates_found`."""
    candidates = sorted(name for name in document.fields if name.lower().endswith("id"))
    manual = "Please specify the primary key manually using the `primaryKey` query parameter."
    if not candidates:
        raise ApiError(
            "index_primary_key_no_candidate_found",
            f"The primary key inference failed as the engine did not find any field ending with `id` in its name. {manual}",
        )
    if len(candidates) > 1:
        raise ApiError(
            "index_primary_key_multiple_candidates_found",
            f"The primary key inference failed as the engine found {len(candidates)} fields ending with `id` in their names: "
            f"'{candidates[0]}' and '{candidates[1]}'. {manual}",
        )
    return candidates[0]
