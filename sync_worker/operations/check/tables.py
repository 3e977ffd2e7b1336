"""The declarations against the source's catalogue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sync_worker.document.declaration import IndexDeclaration
from sync_worker.document.problem import suggestion
from sync_worker.document.value import FieldType
from sync_worker.operations.check.parts import SourceFacts, TableFacts
from sync_worker.operations.check.report import Check, Verdict, ok_unless
from sync_worker.operations.check.where import where_problems

AREA = "source"


async def check_source(source: SourceFacts, indexes: Sequence[IndexDeclaration]) -> list[Check]:
    """Raises SourceUnavailable."""
    used: dict[str, frozenset[str]] = {}
    for index in indexes:
        used[index.table] = used.get(index.table, frozenset()) | index.columns | set(index.primary_key)
    checks = list(await source.problems(used))
    for index in indexes:
        facts = await source.table(index.table)
        # That the table is missing, or has no primary key, is among the source's own problems.
        if facts is not None:
            fits = f"fits {index.table}"
            checks += ok_unless(AREA, index.name, declaration_problems(index, facts), message=fits)
    return checks


def declaration_problems(index: IndexDeclaration, table: TableFacts) -> Iterator[Check]:
    """What of the declaration does not fit the table."""
    section = f"[indexes.{index.name}]"
    declared = index.columns | set(index.primary_key)
    if table.primary_key and set(index.primary_key) != set(table.primary_key):
        yield Check(
            AREA,
            index.name,
            Verdict.ERROR,
            f"declared with the key {', '.join(index.primary_key)}, but that of {index.table} is {', '.join(table.primary_key)}",
            f"name the columns {', '.join(table.primary_key)} in {section}",
        )
    if table.deferrable_key and not index.deferrable_key:
        yield Check(
            AREA,
            index.name,
            Verdict.ERROR,
            f"the primary key of {index.table} is deferrable: where a transaction inserts a row before it deletes the old one of "
            "that key, the delete comes last in the log and would win",
            f"deferrable_key = true in {section}, so that each delete asks the source; or make the key NOT DEFERRABLE",
        )
    for name in sorted(declared.difference(table.columns)):
        yield Check(
            AREA,
            index.name,
            Verdict.ERROR,
            f"column `{name}` is declared, but {index.table} has no such column: every change would fail",
            f"{suggestion(name, table.columns)}{_quotes_hint(index, name)}",
        )
    yield from type_problems(index, table)
    yield from where_problems(AREA, index, table)
    forgotten = [name for name in table.columns if name not in declared | table.generated]
    if forgotten:
        yield Check(
            AREA,
            index.name,
            Verdict.WARNING,
            f"neither declared nor omitted, so not indexed: {', '.join(forgotten)}",
            f"add them to the fields of {section}, with a type or with omit = true",
        )


def _quotes_hint(index: IndexDeclaration, name: str) -> str:
    quoted = index.where is not None and f'"{name}"' in index.where
    return f"; if it is a text in `where`, write '{name}': double quotes name a column" if quoted else ""


def type_problems(index: IndexDeclaration, table: TableFacts) -> Iterator[Check]:
    """Fields whose type the column's values never become, or only perhaps."""
    for name, declared in index.fields.items():
        if declared.omit or declared.type is None:
            continue
        # A coordinate is a number, of whatever columns the point is made.
        kind = FieldType.NUMBER if declared.type is FieldType.GEO else declared.type
        for column in declared.columns(name):
            facts = table.types.get(column)
            if facts is None or kind in facts.always:
                continue
            what = f"field `{name}` is declared as {declared.type}, but column `{column}` of {index.table} is {facts.written}"
            fitting = ", ".join(facts.always)
            if kind in facts.perhaps:
                verdict, effect = Verdict.WARNING, "each value of another form fails"
                remedy = f"keep it only if every value is of this form; what always fits {facts.written}: {fitting}"
            else:
                verdict, effect = Verdict.ERROR, "every row with a value there would fail"
                remedy = f"what fits {facts.written}: {fitting}"
            yield Check(AREA, index.name, verdict, f"{what}: {effect}", remedy)
