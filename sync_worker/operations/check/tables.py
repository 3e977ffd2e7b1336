"""The declarations against the source's catalogue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from sync_worker.document.declaration import IndexDeclaration
from sync_worker.operations.check.parts import SourceFacts, TableFacts
from sync_worker.operations.check.report import Check, Verdict, ok_unless

AREA = "source"


async def check_source(source: SourceFacts, indexes: Sequence[IndexDeclaration]) -> list[Check]:
    """Raises SourceUnavailable."""
    tables = sorted({index.table for index in indexes})
    checks = list(await source.replication(tables))
    for index in indexes:
        facts = await source.table(index.table)
        subject = f"{index.name} ({index.table})"
        if facts is None:
            checks.append(
                Check(
                    AREA,
                    subject,
                    Verdict.ERROR,
                    f"there is no table {index.table}",
                    f"correct `table` in [indexes.{index.name}], written as schema.table, or grant the role SELECT on it",
                )
            )
            continue
        checks += ok_unless(
            AREA,
            subject,
            declaration_problems(index, facts, subject),
            message=f"table found, primary key {', '.join(facts.primary_key)}",
        )
    return checks


def declaration_problems(index: IndexDeclaration, table: TableFacts, subject: str) -> Iterator[Check]:
    """What of the declaration does not fit the table."""
    section = f"[indexes.{index.name}]"
    known = {column.name: column for column in table.columns}
    if not table.primary_key:
        yield Check(
            AREA,
            subject,
            Verdict.ERROR,
            "the table has no primary key: its events have no key and each would be dead-lettered",
            f"ALTER TABLE {index.table} ADD PRIMARY KEY (…)",
        )
    elif set(index.primary_key) != set(table.primary_key):
        yield Check(
            AREA,
            subject,
            Verdict.ERROR,
            f"primary key declared as {', '.join(index.primary_key)}, but the table's is {', '.join(table.primary_key)}",
            f"name the columns {', '.join(table.primary_key)} in {section}",
        )
    declared = index.columns | set(index.primary_key)
    for name in sorted(declared - known.keys()):
        near = get_close_matches(name, known, n=1)
        yield Check(
            AREA,
            subject,
            Verdict.ERROR,
            f"column {name!r} is declared, but the table has no such column",
            f"did you mean {near[0]!r}?" if near else f"remove it from {section}, or add the column to the table",
        )
    for name in sorted(declared & known.keys()):
        column = known[name]
        if column.generated:
            yield Check(
                AREA,
                subject,
                Verdict.ERROR,
                f"column {name!r} is generated: PostgreSQL leaves it out of the stream, so every change would fail",
                f"remove it from {section}, and compute it in a hook from the columns it is made of",
            )
        if column.array:
            yield Check(
                AREA,
                subject,
                Verdict.WARNING,
                f"column {name!r} is an array: one of two dimensions arrives as nulls, without an error",
                "keep it to one dimension (CHECK (array_ndims(…) = 1)), or store jsonb",
            )
    forgotten = [column.name for column in table.columns if column.name not in declared and not column.generated]
    if forgotten:
        yield Check(
            AREA,
            subject,
            Verdict.WARNING,
            f"neither declared nor omitted, so not indexed: {', '.join(forgotten)}",
            f"add them to the fields of {section}, with a type or with omit = true",
        )
