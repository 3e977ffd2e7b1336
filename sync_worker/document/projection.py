"""A change of a row → what it asks of one index. Compiled once per index; the hottest code beside decoding."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import orjson

from sync_worker.change.model import Change, Operation, Row
from sync_worker.document import refuse
from sync_worker.document.action import Action, Clear, Remove, Write
from sync_worker.document.declaration import IndexDeclaration
from sync_worker.document.field import FieldDeclaration
from sync_worker.document.hook import Document, Hook, call_hook
from sync_worker.document.ids import encode
from sync_worker.document.value import (
    AS_THEY_ARE,
    CONVERTERS,
    Converter,
    FieldType,
    MisfitError,
    TooDeepError,
    latitude,
    longitude,
)
from sync_worker.errors import ProjectionError, RefusedDocument

DEFAULT_MAX_DOCUMENT_BYTES = 90 * 1024 * 1024

_MISSING = object()
_TEXTS = frozenset((str,))


class Projector:
    """Projects the changes of one table into one index.

    Args:
        declaration: of the index.
        hook: the loaded function that `declaration.hook` names; needed exactly where it names one.
        max_document_bytes: largest JSON of one document; above it the server answers 413.

    Attributes:
        index: name in the configuration.
        table: `schema.table`.
        columns: every column that has to be in a row, without the key's own.
    """

    def __init__(
        self,
        declaration: IndexDeclaration,
        *,
        hook: Hook | None = None,
        max_document_bytes: int = DEFAULT_MAX_DOCUMENT_BYTES,
    ) -> None:
        if (declaration.hook is None) != (hook is None):
            raise ValueError("a hook is passed exactly where the declaration names one")
        self.declaration = declaration
        self.index = declaration.name or declaration.uid
        self.table = declaration.table
        self.columns = declaration.columns
        self._hook = hook
        self._max_bytes = max_document_bytes
        self._key = declaration.primary_key
        self._single = self._key[0] if len(self._key) == 1 else None
        self._id_field = declaration.id_field
        self._predicate = declaration.predicate
        self._soft_delete = declaration.soft_delete
        self._vector_rules = declaration.vector_rules
        fields = {name: field for name, field in declaration.fields.items() if not field.omit and name != self._id_field}
        self._plain = tuple(_plain(name, field) for name, field in fields.items() if _is_plain(field))
        self._json = tuple(name for name, field in fields.items() if field.type is FieldType.JSON)
        self._constants = {name: field.constant for name, field in fields.items() if field.is_constant}
        self._vectors = tuple(
            (name, field.columns(name)[0], field.embedder) for name, field in fields.items() if field.type is FieldType.VECTOR
        )
        self._geo = next((field.columns(name) for name, field in fields.items() if field.type is FieldType.GEO), None)
        self._simple = not (self._json or self._constants or self._vectors or self._geo or hook)
        self._filtered = self._predicate is not None or self._soft_delete is not None

    def project(self, change: Change) -> Action:
        """What the change asks of the index.

        Raises:
            ProjectionError: `field_missing`, `key_mismatch` (both mean that source and declaration have parted), `value_misfit`,
                `id_not_encodable`, `where_misfit`, `hook_failed`, `hook_invalid`. No message holds a value.
            RefusedDocument: the server is known to refuse or to choke on the document.
            ValueError: the change is a MESSAGE, which concerns no index.
        """
        row = change.row
        if row is None:
            if change.operation is Operation.TRUNCATE:
                return Clear()
            if change.operation is Operation.MESSAGE:
                raise ValueError("a logical message concerns no index")
            return Remove(self.document_id(change.key))
        document_id = self.document_id(change.key)
        document = self._document(row, change.key, document_id)
        if document is None:
            return Remove(document_id)
        try:
            # Copied to its own size: orjson hands over the start of a buffer of 4 KiB, whose rest nobody else gets while the line
            # lives. 120,000 documents in flight took 480 MiB, and take 32.
            line = bytes(memoryview(orjson.dumps(document)))
        except orjson.JSONEncodeError as error:
            raise RefusedDocument(
                "The document can't be written as JSON: it holds text that is not Unicode, or an integer beyond 64 bits.",
                code="malformed_payload",
                remedy="Correct the value in the source; its next change brings the document in.",
            ) from error
        if len(line) > self._max_bytes:
            refuse.check_size(line, self._max_bytes)
        return Write(document_id, line)

    def document(self, row: Row, key: Mapping[str, Any]) -> Document | None:
        """The document that the index should hold for this row; None where it should hold none. Raises as `project` does."""
        return self._document(row, key, self.document_id(key))

    def document_id(self, key: Mapping[str, Any]) -> str:
        """The document's id, from the row's key columns. Raises ProjectionError: `key_mismatch`, `id_not_encodable`."""
        try:
            if len(key) != len(self._key):
                raise KeyError
            return encode([key[column] for column in self._key])
        except KeyError:
            raise ProjectionError(
                f"The event's key has the columns {', '.join(sorted(key))}; index {self.index} declares {', '.join(self._key)}.",
                code="key_mismatch",
                remedy="Set primary_key to the table's primary key, as `sync-worker check` reports it, and reindex.",
            ) from None

    def _document(self, row: Row, key: Mapping[str, Any], document_id: str) -> Document | None:
        if self._filtered and not self._belongs(row):
            return None
        single = key[self._single] if self._single is not None else None
        document: Document = {self._id_field: single if type(single) is int else document_id}
        name = ""
        value: Any
        try:
            for name, column, as_they_are, convert in self._plain:
                value = row[column]
                document[name] = value if type(value) in as_they_are else convert(value)
        except KeyError:
            raise self._missing(row) from None
        except MisfitError as misfit:
            raise self._misfit(name, misfit) from None
        return document if self._simple else self._finish(document, row, key)

    def _belongs(self, row: Row) -> bool:
        try:
            if self._soft_delete is not None:
                mark = row[self._soft_delete]
                if mark is not None and mark is not False:
                    return False
            return self._predicate is None or self._predicate(row) is True
        except KeyError:
            raise self._missing(row) from None

    def _finish(self, document: Document, row: Row, key: Mapping[str, Any]) -> Document | None:
        if self._geo is not None:
            document["_geo"] = self._coordinates(row, *self._geo)
        if self._vectors:
            document["_vectors"] = {embedder: self._vector(row, name, column) for name, column, embedder in self._vectors}
            refuse.check_vectors(document["_vectors"], self._vector_rules)
        for name, constant in self._constants.items():
            document[name] = deepcopy(constant)
        if self._hook is None:
            for name in self._json:
                value = document[name]
                # orjson, which writes the document, refuses what is no valid text, so a plain list of texts needs no walk.
                if type(value) is not list or not _TEXTS.issuperset(map(type, value)):
                    refuse.check_value(name, value)
            return document
        return self._hooked(document, row, key, self._hook)

    def _hooked(self, document: Document, row: Row, key: Mapping[str, Any], hook: Hook) -> Document | None:
        name = self.declaration.hook or ""
        document_id = document[self._id_field]
        try:
            # Copies, because other indexes project the same row.
            seen = {**key, **{column: deepcopy(row[column]) for column in self.columns}}
        except KeyError:
            raise self._missing(row) from None
        result = call_hook(name, hook, deepcopy(document), seen)
        if result is None:
            return None
        if result.get(self._id_field, _MISSING) != document_id:
            raise ProjectionError(
                f"The hook {name} changed or removed the id (`{self._id_field}`).",
                code="hook_invalid",
                remedy="Leave the id alone: one row is one document.",
            )
        refuse.check(result, self._id_field, self._vector_rules)
        return result

    def _coordinates(self, row: Row, lat: str, lng: str) -> dict[str, int | float] | None:
        try:
            north, east = row[lat], row[lng]
        except KeyError:
            raise self._missing(row) from None
        if north is None or east is None:
            return None
        try:
            return {"lat": latitude(north), "lng": longitude(east)}
        except MisfitError as misfit:
            raise self._misfit("_geo", misfit) from None

    def _vector(self, row: Row, name: str, column: str) -> list[float] | None:
        try:
            value = row[column]
            # Null is written: without it a new document fails its whole server batch, and an old one keeps its vector.
            return None if value is None else CONVERTERS[FieldType.VECTOR](value)
        except KeyError:
            raise self._missing(row) from None
        except MisfitError as misfit:
            raise self._misfit(name, misfit) from None

    def _missing(self, row: Row) -> ProjectionError:
        absent = sorted(self.columns - row.keys())
        return ProjectionError(
            f"The event of {self.table} lacks {', '.join(f'`{column}`' for column in absent)}, which index {self.index} reads.",
            code="field_missing",
            remedy="A column was renamed, dropped or left out of the publication, or has a type that yields no field: "
            "run sync-worker check.",
        )

    def _misfit(self, name: str, misfit: MisfitError) -> ProjectionError | RefusedDocument:
        if isinstance(misfit, TooDeepError):
            return refuse.too_deep(name)
        field = self.declaration.fields[name]
        columns = ", ".join(f"`{column}`" for column in field.columns(name))
        return ProjectionError(
            f"Field `{name}` of index {self.index} (column {columns}, declared as {field.type}) {misfit}.",
            code="value_misfit",
            remedy="Correct the row, or declare the field with the type that the column has, and retry.",
        )


def _is_plain(field: FieldDeclaration) -> bool:
    return field.type not in (None, FieldType.GEO, FieldType.VECTOR) and not field.is_constant


def _plain(name: str, field: FieldDeclaration) -> tuple[str, str, frozenset[type], Converter]:
    assert field.type is not None
    return name, field.columns(name)[0], AS_THEY_ARE[field.type], CONVERTERS[field.type]
