"""`where` means what PostgreSQL means by it, unknown included."""

from __future__ import annotations

from typing import Any

import pytest

from sync_worker.document.predicate import compile_predicate
from sync_worker.errors import ProjectionError

ROW: dict[str, Any] = {
    "n": 5,
    "price": "12.50",
    "ratio": 0.1,
    "name": "Riga_1",
    "on": True,
    "off": False,
    "nil": None,
    "Mixed": "x",
    "at": "2024-05-01T12:00:00Z",
}


@pytest.mark.parametrize(
    ("sql", "truth"),
    [
        ("n = 5", True),
        ("n <> 5", False),
        ("n != 4", True),
        ("n > 5", False),
        ("n >= 5", True),
        ("5 <= n", True),
        ("n < -1", False),
        ("n = 5.0", True),
        ("N = 5", True),
        ("\"Mixed\" = 'x'", True),
        ("n = '5'", True),
        ("price = 12.5", True),
        ("price > 9", True),
        ("price = '12.5'", False),
        ("ratio = 0.1", True),
        ("ratio < 0.1", False),
        ("name = 'Riga_1'", True),
        ("at >= '2024-05-01'", True),
        ('"on"', True),
        ("off", False),
        ("NOT off", True),
        ("off = false", True),
        ("nil", None),
        ("NOT nil", None),
        ("nil = 1", None),
        ("nil = nil", None),
        ("n = NULL", None),
        ("nil IS NULL", True),
        ("n IS NOT NULL", True),
        ("nil IS TRUE", False),
        ("nil IS NOT TRUE", True),
        ("off IS FALSE", True),
        ("nil = 1 AND off", False),
        ('nil = 1 AND "on"', None),
        ('nil = 1 OR "on"', True),
        ("nil = 1 OR off", None),
        ("off AND nil = 1", False),
        ("n IN (1, 5)", True),
        ("n IN (1, NULL)", None),
        ("n NOT IN (1, 2)", True),
        ("n NOT IN (1, NULL)", None),
        ("n NOT IN (5, NULL)", False),
        ("name IN ('a', 'Riga_1')", True),
        ("n BETWEEN 1 AND 5", True),
        ("n NOT BETWEEN 1 AND 4", True),
        ("n BETWEEN NULL AND 4", False),
        ("n BETWEEN NULL AND 9", None),
        ("name LIKE 'Riga%'", True),
        ("name LIKE 'riga%'", False),
        ("name ILIKE 'rIGA__'", True),
        ("name LIKE 'Riga\\_1'", True),
        ("name LIKE 'Riga\\%1'", False),
        ("name NOT LIKE 'R.*'", True),
        ("nil LIKE '%'", None),
        ("(n = 5 OR n = 6) AND name = 'Riga_1'", True),
        ("n = 5 OR n = 6 AND off", True),
    ],
)
def test_truth(sql: str, truth: bool | None) -> None:
    assert compile_predicate(sql)(ROW) is truth


@pytest.mark.parametrize(
    "sql",
    [
        "lower(name) = 'a'",
        "n::text = '5'",
        "n + 1 = 2",
        "n = ANY(tags)",
        "name ~ 'a'",
        "name SIMILAR TO 'a'",
        "name LIKE 'a' ESCAPE '!'",
        "name LIKE n",
        "name LIKE 'a\\'",
        "n IN (SELECT 1)",
        "cities.n = 1",
        "at > now()",
        "n IS DISTINCT FROM 1",
        "n = 1; n = 2",
        "SELECT n",
        "n = ",
        "1 = 1",
        "at > '2024-05-01 12:00:00'",
        "",
        "'text'",
    ],
)
def test_more_than_that_is_a_configuration_error_that_says_what_there_is(sql: str) -> None:
    with pytest.raises(ValueError, match=r"supported|without their table|no column|backslash|ISO text"):
        compile_predicate(sql)


@pytest.mark.parametrize("sql", ["n = true", "name > 5", '"on" > 1', "n", "n LIKE 'a'", "n IN ('x')"])
def test_values_that_can_t_be_compared_are_a_failure_of_the_row(sql: str) -> None:
    """PostgreSQL would not even start the query; here the row is dead-lettered, never quietly kept or dropped."""
    with pytest.raises(ProjectionError) as caught:
        compile_predicate(sql)(ROW)
    assert caught.value.code == "where_misfit"


def test_the_columns_it_reads_are_known() -> None:
    assert compile_predicate('a = 1 AND ("B" IS NULL OR c IN (1, d))').columns == {"a", "B", "c", "d"}
