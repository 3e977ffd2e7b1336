"""The tables `workers` and `operations`: who is at work, and the audit log, which only grows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import delete, insert, select

from sync_worker.adapters.state.connections import Connections
from sync_worker.adapters.state.schema import operations, workers
from sync_worker.change.model import TopicPartition
from sync_worker.ports import AuditEntry, WorkerRow


class ActivityTables(Connections):
    """Heartbeats and the audit log."""

    async def worker_alive(
        self, worker: str, partitions: Collection[TopicPartition], holds: Mapping[str, str], address: str = ""
    ) -> None:
        """Heartbeat of one worker with what it owns, what it holds for (subject → cause), and the URL of its pages."""
        moment = self._now()
        values = {
            "worker": worker,
            "first_seen": moment,
            "last_seen": moment,
            "partitions": sorted(partitions),
            "holds": dict(holds),
            "address": address,
        }
        async with self._writing() as connection:
            await connection.execute(self._upsert(workers, ("worker",), first_seen=workers.c.first_seen), [values])

    async def worker_gone(self, worker: str) -> None:
        """It ended in order, so that nobody waits for its next heartbeat."""
        async with self._writing() as connection:
            await connection.execute(delete(workers).where(workers.c.worker == worker))

    async def workers(self) -> Sequence[WorkerRow]:
        """Every worker that was ever seen, by name."""
        async with self._reading() as connection:
            rows = (await connection.execute(select(workers).order_by(workers.c.worker))).all()
        return [
            WorkerRow(
                row.worker,
                row.first_seen,
                row.last_seen,
                [TopicPartition(*p) for p in row.partitions],
                row.holds,
                row.address or "",
            )
            for row in rows
        ]

    async def audit(self, actor: str, verb: str, subject: str, details: Mapping[str, Any]) -> None:
        """Append to the audit log. Told twice, it stands there twice."""
        entry = {"at": self._now(), "actor": actor, "verb": verb, "subject": subject, "details": dict(details)}
        async with self._writing() as connection:
            await connection.execute(insert(operations), [entry])

    async def audit_log(
        self,
        *,
        verb: str | None = None,
        actor: str | None = None,
        subject: str | None = None,
        since: float | None = None,
        before_id: int | None = None,
        limit: int = 100,
    ) -> Sequence[AuditEntry]:
        """Newest first; the next page is `before_id` = the last entry's id.

        Args:
            verb: how it starts. actor, subject: what they hold. since: seconds since 1970.
        """
        query = select(operations).order_by(operations.c.id.desc()).limit(limit)
        if verb is not None:
            query = query.where(operations.c.verb.startswith(verb, autoescape=True))
        if actor is not None:
            query = query.where(operations.c.actor.contains(actor, autoescape=True))
        if subject is not None:
            query = query.where(operations.c.subject.contains(subject, autoescape=True))
        if since is not None:
            query = query.where(operations.c.at >= since)
        if before_id is not None:
            query = query.where(operations.c.id < before_id)
        async with self._reading() as connection:
            rows = (await connection.execute(query)).all()
        return [AuditEntry(row.id, row.at, row.actor, row.verb, row.subject, row.details) for row in rows]
