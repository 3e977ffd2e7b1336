"""Whether a table can be streamed without losing anything. Pure: description in, problems out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from sync_worker.adapters.source.catalogue import TableDescription
from sync_worker.adapters.source.columns import Column
from sync_worker.adapters.source.values import decoder

_KEPT_WHEN_UNCHANGED = frozenset({"text", "varchar", "json", "jsonb", "bytea", "uuid", "int4", "int8"})
"""Element types of arrays that Debezium 3.7 can mark as unchanged. Any other array's mark is a value that it can't convert."""

_VECTORS = {"vector": 4, "halfvec": 2}
"""Bytes for each dimension. PostgreSQL moves the largest values of a row out of line once the row is above 2 kB."""
_LARGE_VECTOR_BYTES = 512


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class SourceProblem:
    """One thing to mend in the database. `subject` is a table, a column, a slot, a publication, a role or the server."""

    severity: Severity
    subject: str
    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.what}; {self.mend}"


def error(subject: str, what: str, mend: str) -> SourceProblem:
    return SourceProblem(Severity.ERROR, subject, what, mend)


def warning(subject: str, what: str, mend: str) -> SourceProblem:
    return SourceProblem(Severity.WARNING, subject, what, mend)


def table_problems(
    table: TableDescription, publication: str, server_version: int, columns: Collection[str] | None = None
) -> list[SourceProblem]:
    """Args: `columns` are those that the declarations use, all where None; `server_version` as in `server_version_num`."""
    problems = _kind_problems(table) + _key_problems(table, server_version, publication)
    if not table.readable:
        problems.append(error(table.table, "this role may not read it", f"GRANT SELECT ON {table.table} TO the connector's role"))
    problems += _publication_problems(table, publication)
    member = table.membership(publication)
    for column in table.columns:
        used = columns is None or column.name in columns
        sent = column.name in member.columns if member else not column.generated
        problems += column_problems(table.table, column, used=used, sent=sent, server_version=server_version)
        if table.replica_identity != "full" and (unchanged := _unchanged_problem(table.table, column)) is not None:
            problems.append(unchanged)
    return problems


def _kind_problems(table: TableDescription) -> list[SourceProblem]:
    if table.kind not in ("table", "partitioned table"):
        return [error(table.table, f"is a {table.kind}: PostgreSQL streams tables only", "index the tables behind it")]
    if table.persistence != "permanent":
        return [
            error(table.table, f"is {table.persistence}: its changes are never streamed", f"ALTER TABLE {table.table} SET LOGGED")
        ]
    if table.is_partition:
        return [error(table.table, "is a partition: its changes are streamed as its parent's", "declare the partitioned table")]
    return []


def _key_problems(table: TableDescription, server_version: int, publication: str) -> list[SourceProblem]:
    problems = []
    if not table.primary_key:
        found = f"; a unique index over ({', '.join(table.unique_keys[0])}) exists" if table.unique_keys else ""
        problems.append(
            error(
                table.table,
                f"has no primary key{found}, so events have no reliable key and a delete can't be matched to a document",
                f"ALTER TABLE {table.table} ADD PRIMARY KEY (…)",
            )
        )
    full = f"ALTER TABLE {table.table} REPLICA IDENTITY"
    if table.replica_identity == "nothing":
        problems.append(
            error(table.table, "has REPLICA IDENTITY NOTHING: once published, its UPDATE and DELETE fail", f"{full} DEFAULT")
        )
    if table.replica_identity == "index" and not set(table.primary_key) <= set(table.identity_index):
        problems.append(
            error(
                table.table, "has a replica identity without the primary key's columns: deletes lack the key", f"{full} DEFAULT"
            )
        )
    member = table.membership(publication)
    unpublished = [c.name for c in table.columns if c.generated and (member is None or c.name not in member.columns)]
    if table.replica_identity == "full" and unpublished and server_version >= 180000:
        problems.append(
            error(
                table.table,
                f"has REPLICA IDENTITY FULL and generated columns that are not published ({', '.join(unpublished)}): "
                "its UPDATE and DELETE fail",
                f"{full} DEFAULT",
            )
        )
    return problems


def _publication_problems(table: TableDescription, publication: str) -> list[SourceProblem]:
    member = table.membership(publication)
    mend = "run `sync-worker connector apply`, which prepares the publication"
    if member is None:
        return [error(table.table, f"is not in publication {publication}: its changes would never be streamed", mend)]
    problems = []
    if missing := {"insert", "update", "delete", "truncate"} - member.operations:
        problems.append(error(f"publication {publication}", f"does not publish {', '.join(sorted(missing))}", mend))
    if table.kind == "partitioned table" and not member.via_root:
        problems.append(
            error(
                f"publication {publication}",
                f"streams the partitions of {table.table} under their own names, which nobody reads",
                f"ALTER PUBLICATION {publication} SET (publish_via_partition_root = true)",
            )
        )
    if member.row_filter is not None:
        problems.append(
            error(
                f"publication {publication}",
                f"has a row filter on {table.table}, which a snapshot ignores: rows that leave the filter stay in the index",
                f"{mend}, and use the index's `where`",
            )
        )
    unsent = [c.name for c in table.columns if not c.generated and c.name not in member.columns]
    if unsent:
        problems.append(
            error(
                f"publication {publication}",
                f"has a column list on {table.table} without {', '.join(unsent)}: the snapshot has them, the stream does not",
                mend,
            )
        )
    return problems


def column_problems(table: str, column: Column, *, used: bool, sent: bool, server_version: int) -> list[SourceProblem]:
    """Problems of one column's type; those of a column that no declaration uses only where they stop the connector."""
    subject = f"{table}.{column.name}"
    kind = column.type
    exclude = "leave it out of the connector with column.exclude.list"
    if kind.array and kind.name in ("bit", "varbit"):
        return [error(subject, f"has type {column.written}, which stops the connector (it can't convert it)", exclude)]
    if not used:
        return []
    if column.generated and not sent:
        return [_generated(subject, column, server_version)]
    if kind.name == "name":
        return [
            error(subject, "has type name: the stream delivers NULL for it", f"ALTER TABLE {table} ALTER {column.name} TYPE text")
        ]
    if decoder(kind) is None:
        return [error(subject, f"has type {column.written}, which the stream does not deliver", "omit it, or convert it to text")]
    if not kind.array:
        return []
    problems = [
        warning(
            subject,
            "is an array: a value of two or more dimensions arrives damaged, without an error",
            "keep it one-dimensional (CHECK (array_ndims(…) = 1)), or store it as jsonb",
        )
    ]
    if kind.name == "numeric":
        problems.append(
            warning(subject, "is an array of numeric: NaN or Infinity in it stops the connector", "forbid them with a CHECK")
        )
    if kind.kind == "e":
        problems.append(warning(subject, "is an array of an enum: NULL in it stops the connector", "forbid it with a CHECK"))
    return problems


def _unchanged_problem(table: str, column: Column) -> SourceProblem | None:
    """An unchanged large value is replaced by a mark, which for these types stops the connector, declared or not."""
    kind = column.type
    subject = f"{table}.{column.name}"
    mend = f"ALTER TABLE {table} REPLICA IDENTITY FULL, or leave the column out with the connector's column.exclude.list"
    what = f"has type {column.written}: an UPDATE that leaves a large value of it unchanged stops the connector"
    if kind.array:
        return None if kind.name in _KEPT_WHEN_UNCHANGED or kind.kind == "d" else warning(subject, what, mend)
    if kind.name in _VECTORS:
        is_large = kind.modifier < 0 or kind.modifier * _VECTORS[kind.name] >= _LARGE_VECTOR_BYTES
        return error(subject, what, mend) if is_large else warning(subject, what, mend)
    if kind.name in ("sparsevec", "varbit"):
        return warning(subject, what, mend)
    return None


def _generated(subject: str, column: Column, server_version: int) -> SourceProblem:
    if column.generated == "s" and server_version >= 180000:
        return error(
            subject,
            "is generated and not published: a snapshot has it, the stream does not",
            "run `sync-worker connector apply`, which publishes stored generated columns",
        )
    mend = "omit it and compute it in a hook, or make it a plain column that a trigger fills"
    return error(subject, "is generated: a snapshot has it, the stream never does", mend)
