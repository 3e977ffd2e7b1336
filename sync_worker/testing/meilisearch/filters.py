"""Filter expressions: comparisons, IN, EXISTS, IS NULL, IS EMPTY, TO, with AND, OR, NOT and brackets. No geo filters."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sync_worker.testing.meilisearch.documents import Document
from sync_worker.testing.meilisearch.errors import ApiError
from sync_worker.testing.meilisearch.json_text import compact

Predicate = Callable[[Document], bool]

_TOKEN = re.compile(
    r"""\s*(?:(?P<quoted>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(?P<op>!=|>=|<=|=|>|<|\(|\)|\[|\]|,)|(?P<word>[^\s=!<>()\[\],'"]+))"""
)
_ORDERS: dict[str, Callable[[float, float], bool]] = {
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
}


_TEXT_ORDERS: dict[str, Callable[[str, str], bool]] = {
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
}
_OPERATIONS = (
    "Was expecting an operation `=`, `!=`, `>=`, `>`, `<=`, `<`, `IN`, `NOT IN`, `TO`, `EXISTS`, `NOT EXISTS`, `IS NULL`, "
    "`IS NOT NULL`, `IS EMPTY`, `IS NOT EMPTY`, `CONTAINS`, `NOT CONTAINS`, `STARTS WITH`, `NOT STARTS WITH`, `_geoRadius`, "
    "`_geoBoundingBox` or `_geoPolygon`"
)


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    start: int
    end: int
    quoted: bool


def compile_filter(value: Any, filterable: Sequence[str], code: str) -> Predicate:
    """A filter as text, or as arrays (all of, within them any of). Raises ApiError with `code` and the server's words."""
    if isinstance(value, str):
        return _Parser(value, filterable, code).parse() if value.strip() else lambda _document: True
    if isinstance(value, list):
        parts = [
            _any_of([compile_filter(item, filterable, code) for item in part])
            if isinstance(part, list)
            else compile_filter(part, filterable, code)
            for part in reversed(value)  # The server complains of the last part first.
        ]
        return lambda document: all(part(document) for part in parts)
    raise ApiError(code, f"Invalid syntax for the filter parameter: `expected String, Array, found: {compact(value)}`.")


def _any_of(parts: Sequence[Predicate]) -> Predicate:
    return lambda document: any(part(document) for part in parts)


class _Parser:
    def __init__(self, text: str, filterable: Sequence[str], code: str) -> None:
        self._text = text
        self._filterable = filterable
        self._code = code
        self._tokens = list(self._tokenize())
        self._at = 0

    def _tokenize(self) -> Iterator[_Token]:
        at = 0
        end = len(self._text.rstrip())
        while at < end:
            match = _TOKEN.match(self._text, at)
            if not match or match.lastgroup is None:
                raise self._error(
                    f"Found unexpected characters at the end of the filter: `{self._text[at:]}`.", at + 1, len(self._text)
                )
            text = match.group(match.lastgroup)
            quoted = match.lastgroup == "quoted"
            yield _Token(
                re.sub(r"\\(.)", r"\1", text[1:-1]) if quoted else text, match.start(match.lastgroup), match.end(), quoted
            )
            at = match.end()

    def _error(self, problem: str, first: int, last: int) -> ApiError:
        return ApiError(self._code, f"{problem}\n{first}:{last} {self._text}")

    def parse(self) -> Predicate:
        predicate = self._either()
        if self._at < len(self._tokens):
            start = self._tokens[self._at].start
            rest = self._text[start:]
            raise self._error(
                f"Found unexpected characters at the end of the filter: `{rest}`. You probably forgot an `OR` or an `AND` rule.",
                start + 1,
                len(self._text) + 1,
            )
        return predicate

    def _peek(self, *words: str) -> bool:
        if self._at >= len(self._tokens):
            return False
        token = self._tokens[self._at]
        return not token.quoted and token.text in words

    def _either(self) -> Predicate:
        parts = [self._both()]
        while self._peek("OR"):
            self._at += 1
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else _any_of(parts)

    def _both(self) -> Predicate:
        parts = [self._not()]
        while self._peek("AND"):
            self._at += 1
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else lambda document: all(part(document) for part in parts)

    def _not(self) -> Predicate:
        if self._peek("NOT"):
            self._at += 1
            inner = self._not()
            return lambda document: not inner(document)
        if self._peek("("):
            self._at += 1
            inner = self._either()
            self._expect(")")
            return inner
        return self._condition()

    def _expect(self, text: str) -> None:
        if not self._peek(text):
            raise self._error(
                f"Expression `{self._text}` is missing the following closing delimiter: `{text}`.", 1, len(self._text) + 1
            )
        self._at += 1

    def _value(self) -> _Token:
        if self._at >= len(self._tokens):
            end = len(self._text) + 1
            raise self._error("Was expecting a value but instead got nothing.", end, end)
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _condition(self) -> Predicate:
        if self._at and self._at >= len(self._tokens):
            end = len(self._text) + 1
            raise self._error(f"{_OPERATIONS} but instead got nothing.", end, end)
        if self._peek("=", "!=", *_ORDERS):
            raise self._no_operation()
        attribute = self._value()
        if not any(_pattern_matches(pattern, attribute.text) for pattern in self._filterable):
            raise self._not_filterable(attribute)
        name = attribute.text
        if self._at >= len(self._tokens):
            raise self._no_operation()
        operator = self._value().text
        if operator == "NOT":
            inner = self._operation(name, self._value().text)
            return lambda document: not inner(document)
        return self._operation(name, operator)

    def _operation(self, name: str, operator: str) -> Predicate:
        if operator == "EXISTS":
            return lambda document: name in document
        if operator == "IS":
            word = self._value().text
            negated = word == "NOT"
            wanted = self._value().text if negated else word
            empty: list[Any] = [None] if wanted == "NULL" else ["", [], {}]
            return lambda document: (name in document and document[name] in empty) is not negated
        if operator == "IN":
            self._expect("[")
            values = set()
            while not self._peek("]"):
                values.add(_norm(self._value().text))
                if self._peek(","):
                    self._at += 1
            self._expect("]")
            return lambda document: any(_norm(value) in values for value in _flat(document, name))
        operand = self._value().text
        if operator == "=":
            return lambda document: any(_norm(value) == _norm(operand) for value in _flat(document, name))
        if operator == "!=":
            return lambda document: all(_norm(value) != _norm(operand) for value in _flat(document, name))
        if operator in _ORDERS:
            return self._ordered(name, operator, operand)
        if operand == "TO":
            low, high = float(operator), float(self._value().text)
            return lambda document: any(low <= value <= high for value in _numbers(document, name))
        raise self._no_operation()

    @staticmethod
    def _ordered(name: str, operator: str, operand: str) -> Predicate:
        """Numbers by value, text by its letters."""
        texts, numbers = _TEXT_ORDERS[operator], _ORDERS[operator]
        bound = float(operand) if _is_number(operand) else None
        return lambda document: (
            (bound is not None and any(numbers(value, bound) for value in _numbers(document, name)))
            or any(texts(str(value).lower(), operand.lower()) for value in _flat(document, name) if isinstance(value, str | bool))
        )

    def _no_operation(self) -> ApiError:
        return self._error(
            f"{_OPERATIONS} at `{self._text}`.",
            1,
            len(self._text) + 1,
        )

    def _not_filterable(self, attribute: _Token) -> ApiError:
        if self._filterable:
            listed = ", ".join(f"`{pattern}`" for pattern in sorted(self._filterable))
            known = f"Available filterable attribute patterns are: {listed}."
        else:
            known = "This index does not have configured filterable attributes."
        return self._error(f"Attribute `{attribute.text}` is not filterable. {known}", attribute.start + 1, attribute.end + 1)


def check_syntax(value: Any, code: str) -> None:
    """What the server finds wrong with a filter at once; which attributes are filterable, only the task learns."""
    compile_filter(value, ["*"], code)


def _pattern_matches(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern or name.startswith(pattern + ".")


def _norm(value: Any) -> str:
    """Equality is by text without case; numbers by value."""
    if isinstance(value, bool):
        return str(value).lower()
    try:
        return repr(float(value))
    except (TypeError, ValueError):
        return str(value).lower()


def field_values(document: Document, name: str) -> list[Any]:
    """The values of a field, dotted paths and arrays resolved."""
    if name in document:
        return _listed(document[name])
    head, dot, rest = name.partition(".")
    if not dot or head not in document:
        return []
    return [value for part in _listed(document[head]) if isinstance(part, dict) for value in field_values(part, rest)]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _flat(document: Document, name: str) -> list[Any]:
    return [value for value in field_values(document, name) if isinstance(value, str | int | float)]


def _numbers(document: Document, name: str) -> list[float]:
    return [value for value in field_values(document, name) if isinstance(value, int | float) and not isinstance(value, bool)]
