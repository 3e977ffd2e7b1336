"""The connector as Kafka Connect tells of it. RUNNING is not alive: what it reads from says more."""

from __future__ import annotations

from sync_worker.failure.findings import FindingKind
from sync_worker.watch.facts import ConnectorSeen, Recorded, SlotSeen, Watched
from sync_worker.watch.look import Look, Noticed

_TOLD = frozenset({FindingKind.CONNECTOR_DOWN, FindingKind.CONNECTOR_LOSES})
_UNREAD_S = 50.0
"""How long a running connector may leave its slot unread: a restart, or one lost connection, takes seconds."""


def look_at_connector(
    recorded: Recorded, connector: ConnectorSeen | None, slot: SlotSeen | None, watched: Watched, *, now: float
) -> Look:
    """Missing, without running tasks, RUNNING while nobody reads the slot, or with options that lose events.

    Args:
        slot: None where there is none, or where PostgreSQL could not be asked.
        now: seconds since 1970.
    """
    name = watched.connector
    key = (f"connector {name}", "unread since")
    if connector is None:
        missing = Noticed(FindingKind.CONNECTOR_DOWN, name, f"Kafka Connect has no connector {name}: nothing comes")
        return Look(_TOLD, (missing,), {key: None} if key in recorded else {})
    noticed = []
    facts: dict[tuple[str, str], object] = {}
    # A snapshot reads tables, and leaves the slot alone until it is done.
    unread = slot is not None and not slot.active and connector.position is not None and not connector.snapshotting
    if not connector.running:
        noticed.append(Noticed(FindingKind.CONNECTOR_DOWN, name, f"the connector does not run: {connector.state}"))
    elif unread:
        since = float(recorded.get(key, now))
        facts[key] = since
        if now - since >= _UNREAD_S:
            evidence = f"Connect says {connector.state}, but nobody reads the slot {watched.slot}: its task tries again and again"
            noticed.append(Noticed(FindingKind.CONNECTOR_DOWN, name, evidence))
    if key in recorded and key not in facts:
        facts[key] = None
    if connector.refusals:
        noticed.append(Noticed(FindingKind.CONNECTOR_LOSES, name, "; ".join(connector.refusals)))
    return Look(_TOLD, tuple(noticed), facts)
