"""A declaration's `where`: a small part of SQL, compiled to a function of a row, with SQL's three-valued logic."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from sync_worker.change.model import Row
from sync_worker.errors import ProjectionError

SUPPORTED = (
    "columns, text, numbers, TRUE, FALSE, NULL, = <> < <= > >=, AND, OR, NOT, IS [NOT] NULL, IS [NOT] TRUE, IS [NOT] FALSE, "
    "[NOT] IN (…), [NOT] BETWEEN … AND …, [NOT] LIKE, [NOT] ILIKE"
)

_WORDS = {"EQ": "=", "NEQ": "<>", "LT": "<", "LTE": "<=", "GT": ">", "GTE": ">="}
_SQL_TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]").match
_UNDERSTOOD = frozenset(("this", "expression", "expressions", "low", "high", "negate"))

Truth = bool | None
_Test = Callable[[Row], Truth]
_Operand = Callable[[Row], Any]


@dataclass(frozen=True, slots=True)
class ColumnName:
    """A column of the row, as one side of a comparison."""

    name: str


Literal = str | Decimal | bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two values that have to be of one kind, or the row can't be judged. A column that stands for a condition is beside True."""

    left: ColumnName | Literal
    right: ColumnName | Literal


@dataclass(frozen=True, slots=True)
class Predicate:
    """A compiled condition.

    Calling it gives True, False, or None (unknown). A row belongs to the index only where it is True. Texts compare by code
    point, as under PostgreSQL's collation "C"; a numeric text beside a number compares as a number.

    Raises, when called:
        KeyError: a column is not in the row.
        ProjectionError: `where_misfit`: two values that can't be compared.
    """

    sql: str
    columns: frozenset[str]
    comparisons: tuple[Comparison, ...]
    test: _Test

    def __call__(self, row: Row) -> Truth:
        return self.test(row)


def compile_predicate(sql: str) -> Predicate:
    """Compile a boolean SQL expression (PostgreSQL's syntax).

    Raises:
        ValueError: it can't be parsed, or uses more than what is supported; the message says which part and what is.
    """
    try:
        parsed = [tree for tree in sqlglot.parse(sql, dialect="postgres") if tree is not None]
    except SqlglotError as error:
        reason = str(error).splitlines()[0].split(" Line ")[0].rstrip(". ")
        if node := re.search(r"missing for <class '[\w.]*\.(\w+)'>", reason):
            reason = f"something is missing beside {_WORDS.get(node[1], node[1].upper())}"
        raise ValueError(f"not a SQL expression ({reason}); supported are: {SUPPORTED}") from error
    if len(parsed) != 1:
        raise ValueError(f"must be one SQL expression; supported are: {SUPPORTED}")
    tree = parsed[0]
    columns = frozenset(_column_name(column) for column in tree.find_all(exp.Column))
    if not columns:
        raise ValueError("names no column, so it would keep every row or none")
    test = _test(tree)
    return Predicate(sql, columns, tuple(_comparisons(tree)), test)


def _comparisons(tree: exp.Expr) -> Iterator[Comparison]:
    for node in tree.walk():
        pairs: list[tuple[exp.Expr, exp.Expr]] = []
        match node:
            case exp.EQ() | exp.NEQ() | exp.LT() | exp.LTE() | exp.GT() | exp.GTE():
                pairs = [(node.left, node.right)]
            case exp.In():
                pairs = [(node.this, item) for item in node.expressions]
            case exp.Between():
                pairs = [(node.this, node.args["low"]), (node.this, node.args["high"])]
            case exp.Like() | exp.ILike():
                pairs = [(node.this, node.expression)]
            case exp.Column() if _is_condition(node):
                pairs = [(node, exp.true())]
        for left, right in pairs:
            sides = [_side(left), _side(right)]
            if sides[0] is not None and sides[1] is not None:
                yield Comparison(sides[0], sides[1])


def _side(node: exp.Expr) -> ColumnName | Literal | None:
    """None for NULL, which goes with every kind."""
    node = node.unnest()
    return ColumnName(_column_name(node)) if isinstance(node, exp.Column) else _literal(node)


def _is_condition(column: exp.Column) -> bool:
    child: exp.Expr = column
    while isinstance(child.parent, exp.Paren):
        child = child.parent
    parent = child.parent
    truth = isinstance(parent, exp.Is) and isinstance(parent.expression, exp.Boolean)
    return parent is None or truth or isinstance(parent, exp.And | exp.Or | exp.Not)


def _test(node: exp.Expr) -> _Test:
    # The parser marks details by extra arguments of a node (ESCAPE, SYMMETRIC, …): one that is not known here changes the
    # meaning, so it is refused and never passed over. It writes NOT LIKE and IS NOT NULL as `negate` or as a node of its own.
    if any(value and name not in _UNDERSTOOD for name, value in node.args.items()):
        raise _unsupported(node)
    test = _positive(node)
    return _not(test) if node.args.get("negate") else test


def _positive(node: exp.Expr) -> _Test:
    match node:
        case exp.Paren():
            return _test(node.this)
        case exp.And():
            return _and(_test(node.left), _test(node.right))
        case exp.Or():
            return _or(_test(node.left), _test(node.right))
        case exp.Not():
            return _not(_test(node.this))
        case exp.Is():
            return _is(node)
        case exp.In():
            return _in(node)
        case exp.Between():
            value, low, high = _operand(node.this), _operand(node.args["low"]), _operand(node.args["high"])
            return _and(lambda row: _compare(exp.GTE, value(row), low(row)), lambda row: _compare(exp.LTE, value(row), high(row)))
        case exp.Like() | exp.ILike():
            return _like(node)
        case exp.EQ() | exp.NEQ() | exp.LT() | exp.LTE() | exp.GT() | exp.GTE():
            left, right, kind = _operand(node.left), _operand(node.right), type(node)
            return lambda row: _compare(kind, left(row), right(row))
        case exp.Column() | exp.Boolean() | exp.Null():
            return _boolean(node)
    raise _unsupported(node)


def _operand(node: exp.Expr) -> _Operand:
    match node:
        case exp.Paren():
            return _operand(node.this)
        case exp.Column():
            name = _column_name(node)
            return lambda row: row[name]
        case exp.Literal() | exp.Boolean() | exp.Null() | exp.Neg():
            value = _literal(node)
            return lambda row: value
    raise _unsupported(node)


def _literal(node: exp.Expr) -> Any:
    match node:
        case exp.Literal(is_string=True):
            text = str(node.this)
            if _SQL_TIMESTAMP(text):
                raise ValueError(f"'{text}' would compare wrongly: timestamps arrive as ISO text, such as 2024-05-01T12:00:00Z")
            return text
        case exp.Literal():
            return Decimal(node.this)
        case exp.Neg() if isinstance(node.this, exp.Literal) and not node.this.is_string:
            return -Decimal(node.this.this)
        case exp.Boolean():
            return bool(node.this)
        case exp.Null():
            return None
    raise _unsupported(node)


def _column_name(column: exp.Column) -> str:
    if column.table:
        raise ValueError(f"`{column.sql(dialect='postgres')}`: name columns without their table")
    identifier = column.this
    if not isinstance(identifier, exp.Identifier):
        raise _unsupported(column)
    return str(identifier.this if identifier.quoted else identifier.this.lower())


def _not(test: _Test) -> _Test:
    return lambda row: None if (truth := test(row)) is None else not truth


def _and(left: _Test, right: _Test) -> _Test:
    def test(row: Row) -> Truth:
        first = left(row)
        if first is False:
            return False
        second = right(row)
        return False if second is False else None if first is None or second is None else True

    return test


def _or(left: _Test, right: _Test) -> _Test:
    def test(row: Row) -> Truth:
        first = left(row)
        if first:
            return True
        second = right(row)
        return True if second else None if first is None or second is None else False

    return test


def _is(node: exp.Is) -> _Test:
    wanted = node.expression
    if isinstance(wanted, exp.Null):
        operand = _operand(node.this)
        return lambda row: operand(row) is None
    if isinstance(wanted, exp.Boolean):
        truth, expected = _test(node.this), bool(wanted.this)
        return lambda row: truth(row) is expected
    raise _unsupported(node)


def _in(node: exp.In) -> _Test:
    if not node.expressions:
        raise _unsupported(node)
    value, items = _operand(node.this), [_operand(item) for item in node.expressions]

    def test(row: Row) -> Truth:
        wanted = value(row)
        found: Truth = False
        for item in items:
            equal = _compare(exp.EQ, wanted, item(row))
            if equal:
                return True
            if equal is None:
                found = None
        return found

    return test


def _like(node: exp.Like | exp.ILike) -> _Test:
    value = _operand(node.this)
    if not isinstance(node.expression, exp.Literal) or not node.expression.is_string:
        raise _unsupported(node)
    flags = re.DOTALL | (re.IGNORECASE if isinstance(node, exp.ILike) else 0)
    matches = re.compile(_pattern(str(node.expression.this)), flags).fullmatch

    def test(row: Row) -> Truth:
        text = value(row)
        if text is None:
            return None
        if not isinstance(text, str):
            raise _misfit()
        return matches(text) is not None

    return test


def _pattern(like: str) -> str:
    parts, escaped = [], False
    for character in like:
        if escaped or character not in "\\%_":
            parts.append(re.escape(character))
            escaped = False
        elif character == "\\":
            escaped = True
        else:
            parts.append(".*" if character == "%" else ".")
    if escaped:
        raise ValueError("a LIKE pattern must not end in a backslash")
    return "".join(parts)


def _boolean(node: exp.Expr) -> _Test:
    operand = _operand(node)

    def test(row: Row) -> Truth:
        value = operand(row)
        if value is None or isinstance(value, bool):
            return value
        raise _misfit()

    return test


def _compare(kind: type[exp.Expr], left: Any, right: Any) -> Truth:
    if left is None or right is None:
        return None
    if isinstance(left, bool) or isinstance(right, bool):
        if not (isinstance(left, bool) and isinstance(right, bool)):
            raise _misfit()
    elif not (isinstance(left, str) and isinstance(right, str)):
        left, right = _number(left), _number(right)
        if isinstance(left, float) or isinstance(right, float):
            # As PostgreSQL does: beside a double, a decimal literal is a double too, or 0.1 would not equal 0.1.
            left, right = float(left), float(right)
    if kind is exp.EQ:
        return bool(left == right)
    if kind is exp.NEQ:
        return bool(left != right)
    if kind is exp.LT:
        return bool(left < right)
    if kind is exp.LTE:
        return bool(left <= right)
    return bool(left > right) if kind is exp.GT else bool(left >= right)


def _number(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value = Decimal(value)
        except InvalidOperation:
            raise _misfit() from None
        if value.is_nan():
            raise _misfit()
    if not isinstance(value, int | float | Decimal):
        raise _misfit()
    return value


def _misfit() -> ProjectionError:
    return ProjectionError(
        "The declaration's `where` compares two values of the row that can't be compared.",
        code="where_misfit",
        remedy="Compare a column with a value of its own type; timestamps and dates arrive as ISO text.",
    )


def _unsupported(node: exp.Expr) -> ValueError:
    return ValueError(f"`{node.sql(dialect='postgres')}` is not supported; supported are: {SUPPORTED}")
