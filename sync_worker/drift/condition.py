"""An operator's condition on rows, as SQL that is safe to send."""

from __future__ import annotations

import sqlglot

from sync_worker.document.predicate import compile_predicate


def sql_condition(where: str) -> str:
    """One boolean expression, written anew from its parse so that nothing but it is sent: no comment, no second statement.

    Raises ValueError for what is not, or says more than a declaration's `where` may; the message says what may be said.
    """
    compile_predicate(where)
    return sqlglot.parse_one(where, dialect="postgres").sql(dialect="postgres", comments=False)
