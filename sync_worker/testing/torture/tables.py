"""The tables that are written to, the indexes that show them, and what a document must hold: without any code of the worker.

Every row carries `v`, a number that only grows from write to write, `owner`, the writer whose row it is, and `poison`: what is
wrong with it, if anything. The worker is told of neither `owner` nor, but for its hook, `poison`.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Key = tuple[Any, ...]
Row = Mapping[str, Any]

BEACON = 1_000_000
"""Number of the row of each table that shows that the chain goes on. No writer touches it, but a TRUNCATE takes it too."""

HOOKS = '''
def embed(document, row):
    """A vector of the wrong length is refused by the server alone: it fails with everything that it is merged with."""
    return {**document, "_vectors": {"taste": [1, 2] if row["poison"] == "vector" else [1, 2, 3]}}
'''
EMBEDDERS = {"embedders": {"taste": {"source": "userProvided", "dimensions": 3}}}


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """One table and its index, which bear the same name.

    Attributes:
        key: its primary key: column → type in SQL.
        key_of: number of a row → its key.
        partitions: of the table in PostgreSQL, as the end of CREATE TABLE and further statements.
        truncated: whether the workload may TRUNCATE it.
        embeds: whether its documents carry a vector, so that one row can be refused by the server alone.
    """

    name: str
    key: Mapping[str, str]
    key_of: Callable[[int], Key]
    partitions: tuple[str, ...] = ()
    truncated: bool = False
    embeds: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.key, "owner", "v", "n", "name", "amount", "at", "big", "extra", "poison")

    def ddl(self) -> list[str]:
        columns = ", ".join(f"{name} {kind} NOT NULL" for name, kind in self.key.items())
        by, *rest = self.partitions or ("",)
        return [
            f"CREATE TABLE {self.name} ({columns}, owner smallint NOT NULL, v bigint NOT NULL, n integer, name text NOT NULL, "
            f"amount numeric, at timestamptz, big text, extra json, poison text, PRIMARY KEY ({', '.join(self.key)})) {by}",
            f"ALTER TABLE {self.name} ALTER COLUMN big SET STORAGE EXTERNAL",
            *rest,
        ]

    def toml(self, prefix: str) -> str:
        plain = list(self.key.values()) == ["bigint"]
        keys = "" if plain else "".join(f'{name} = "{_FIELD[kind]}", ' for name, kind in self.key.items())
        hook = 'hook = "hooks:embed"\n' if self.embeds else ""
        identity = "" if plain else 'id_field = "document"\n'
        seen = "poison = { omit = true }, " if self.embeds else ""
        return (
            f'[indexes.{self.name}]\nuid = "{prefix}-{self.name}"\ntable = "public.{self.name}"\n'
            f"primary_key = {json.dumps(list(self.key))}\n{identity}{hook}"
            f'fields = {{ {keys}{seen}v = "integer", n = "integer", name = "text", amount = "number", at = "timestamp", '
            f'big = "text", extra = "json" }}\n\n'
        )

    def document(self, row: Row) -> dict[str, Any]:
        """The fields that its document must hold, but for the id that the worker makes of the key."""
        at = row["at"]
        return {
            **dict(zip(self.key, self.key_in(row), strict=True)),
            **{name: row[name] for name in ("v", "n", "name", "big", "extra")},
            "amount": None if row["amount"] is None else float(row["amount"]),
            "at": None if at is None else at.timestamp(),
        }

    def key_in(self, held: Row) -> Key:
        """Of a row, a document, or a record's key: numbers and texts."""
        return tuple(str(held[name]) if kind == "uuid" else held[name] for name, kind in self.key.items())


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """An index of a table that shows only some of its rows."""

    name: str
    table: Table
    where: str

    def toml(self, prefix: str) -> str:
        return (
            f'[indexes.{self.name}]\nuid = "{prefix}-{self.name}"\ntable = "public.{self.table.name}"\n'
            f'primary_key = {json.dumps(list(self.table.key))}\nwhere = "{self.where}"\n'
            f'fields = {{ v = "integer", n = "integer" }}\n\n'
        )


_FIELD = {"bigint": "integer", "integer": "integer", "text": "text", "uuid": "text"}
_SPACE = uuid.UUID("5cbe1f5e-1e0c-4d37-8b7c-06a5a7c1f2ac")

NUMBERS = Table("numbers", {"id": "bigint"}, lambda n: (n,), embeds=True)
PAIRS = Table("pairs", {"part": "integer", "line": "text"}, lambda n: (n % 40, f"line_{n // 40}/__"), truncated=True)
WORDS = Table("words", {"word": "text"}, lambda n: (f"wörd {n}_5F'\" 語",))
UUIDS = Table("uuids", {"id": "uuid"}, lambda n: (str(uuid.uuid5(_SPACE, str(n))),), embeds=True)
REGIONS = Table(
    "regions",
    {"region": "text", "id": "bigint"},
    lambda n: (("north", "south", "elsewhere")[n % 3], n),
    partitions=(
        "PARTITION BY LIST (region)",
        "CREATE TABLE regions_north PARTITION OF regions FOR VALUES IN ('north')",
        "CREATE TABLE regions_south PARTITION OF regions FOR VALUES IN ('south')",
        "CREATE TABLE regions_others PARTITION OF regions DEFAULT",
    ),
    truncated=True,
)
TABLES = (NUMBERS, PAIRS, WORDS, UUIDS, REGIONS)
MANY = Index("many", NUMBERS, "n >= 500")
"""A second index of a table: rows come into it and leave it by updates."""

DDL = [statement for table in TABLES for statement in table.ddl()]


def toml(prefix: str) -> str:
    return "".join(made.toml(prefix) for made in (*TABLES, MANY))
