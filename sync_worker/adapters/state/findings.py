"""The table `findings`: what an operator must know until its proof clears it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import ColumnElement, case, func, or_, select, update

from sync_worker.adapters.state.connections import Connections
from sync_worker.adapters.state.schema import findings
from sync_worker.failure.findings import KEPT_WORDS, keeps_words
from sync_worker.failure.model import Finding

_row = findings.c


class FindingsTable(Connections):
    """At most one open finding of one kind about one subject."""

    async def add_finding(self, finding: Finding) -> None:
        """Insert, or renew the open one with the same kind and subject: its words and `last_seen`; of a loss, words are added.

        A finding that blocks goes on blocking until it is cleared, whatever is noticed after it.
        """
        statement = self._insert(findings)
        told = statement.excluded
        words = _added if keeps_words(finding.kind) else _newest
        statement = statement.on_conflict_do_update(
            index_elements=["kind", "subject"],
            index_where=_row.cleared_at.is_(None),
            set_={
                "evidence": words(_row.evidence, told.evidence),
                "doubt": words(_row.doubt, told.doubt),
                "remedy": told.remedy,
                "blocking": or_(_row.blocking, told.blocking),
                "last_seen": told.last_seen,
            },
        )
        values = asdict(finding)
        values["cleared_by"] = None
        async with self._writing() as connection:
            await connection.execute(statement, [values])

    async def findings(self, *, open_only: bool = True) -> Sequence[Finding]:
        """Oldest first."""
        query = select(findings).order_by(_row.id)
        if open_only:
            query = query.where(_row.cleared_at.is_(None))
        async with self._reading() as connection:
            rows = (await connection.execute(query)).all()
        return [
            Finding(
                row.kind,
                row.subject,
                row.evidence,
                row.doubt,
                row.remedy,
                row.blocking,
                row.first_seen,
                row.last_seen,
                row.cleared_by,
            )
            for row in rows
        ]

    async def clear_finding(self, kind: str, subject: str, *, by: str) -> bool:
        """Whether there was an open one. `by` is the proof or the person."""
        statement = (
            update(findings)
            .where(_row.kind == kind, _row.subject == subject, _row.cleared_at.is_(None))
            .values(cleared_by=by, cleared_at=self._now())
        )
        async with self._writing() as connection:
            return (await connection.execute(statement)).rowcount > 0


def _newest(_known: ColumnElement[str], told: ColumnElement[str]) -> ColumnElement[str]:
    return told


def _added(known: ColumnElement[str], told: ColumnElement[str]) -> ColumnElement[str]:
    there = func.replace(known, told, "") != known
    return case((there, known), else_=func.substr(known, 1, KEPT_WORDS).concat(". ").concat(told))
