"""A declaration's `where` against the kinds of the table's columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from sync_worker.document.declaration import IndexDeclaration
from sync_worker.document.predicate import ColumnName, Literal
from sync_worker.document.value import FieldType
from sync_worker.operations.check.parts import TableFacts
from sync_worker.operations.check.report import Check, Verdict

_KINDS = {
    FieldType.INTEGER: "number",
    FieldType.NUMBER: "number",
    FieldType.BOOLEAN: "boolean",
    FieldType.TEXT: "text",
    FieldType.TIMESTAMP: "text",
}
"""What a column's values are in a comparison, by the field type that fits them best. Others are not judged."""


@dataclass(frozen=True, slots=True)
class _Side:
    """One side of a comparison: its words, its kind, and whether each of its values, or some, are numbers or texts of one."""

    words: str
    kind: str | None
    numeric: bool


def where_problems(area: str, index: IndexDeclaration, table: TableFacts) -> Iterator[Check]:
    """Comparisons of `where` whose two sides are of different kinds, so that rows can't be judged."""
    for comparison in index.predicate.comparisons if index.predicate is not None else ():
        sides = [_side(comparison.left, table), _side(comparison.right, table)]
        first, second = sides if isinstance(comparison.left, ColumnName) else sides[::-1]
        if None in (first.kind, second.kind) or first.kind == second.kind:
            continue
        perhaps = first.numeric and second.numeric
        effect = "a row whose value is no number fails" if perhaps else "every row with a value there would fail"
        yield Check(
            area,
            index.name,
            Verdict.WARNING if perhaps else Verdict.ERROR,
            f"`where` compares {first.words} with {second.words}: {effect}",
            "compare a column with a value of its own kind: numbers without quotes, texts, dates and timestamps in single quotes",
        )


def _side(side: ColumnName | Literal, table: TableFacts) -> _Side:
    if isinstance(side, ColumnName):
        facts = table.types.get(side.name)
        if facts is None:
            return _Side(f"column `{side.name}`", None, False)
        kind = _KINDS.get(facts.always[0])
        numeric = kind == "number" or FieldType.NUMBER in facts.perhaps
        return _Side(f"column `{side.name}` ({facts.written})", kind, numeric)
    if isinstance(side, str):
        return _Side(f"the text '{side}'", "text", _is_number(side))
    if isinstance(side, bool):
        return _Side(str(side).upper(), "boolean", False)
    return _Side(str(side), "number", True)


def _is_number(text: str) -> bool:
    try:
        return not Decimal(text).is_nan()
    except InvalidOperation:
        return False
