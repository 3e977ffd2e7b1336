"""What the watch asks of Kafka Connect: the port `ConnectorContinuity`."""

from __future__ import annotations

from sync_worker.adapters.debezium.connect import ConnectClient
from sync_worker.adapters.debezium.refusals import refusals
from sync_worker.watch.facts import ConnectorSeen


class ConnectContinuity:
    """Implements `ports.ConnectorContinuity`: three requests a look."""

    def __init__(self, client: ConnectClient, name: str) -> None:
        self._client = client
        self._name = name

    async def seen(self) -> ConnectorSeen | None:
        """None where there is no such connector. Raises ConnectUnavailable, and ConfigurationError where Connect refuses."""
        status = await self._client.status(self._name)
        config = await self._client.config(self._name)
        if status is None or config is None:
            return None
        offset = await self._client.offsets(self._name) or {}
        # Debezium confirms `lsn_commit` to the slot, and only after Connect stored it; `lsn_proc` may be within a transaction.
        positions = [int(offset[name]) for name in ("lsn_proc", "lsn_commit") if offset.get(name) is not None]
        return ConnectorSeen(
            state=status.summary if status.error is None else f"{status.summary}: {status.error}",
            running=status.running,
            refusals=tuple(refusals(config)),
            position=max(positions, default=None),
            snapshotting=offset.get("snapshot") is not None,
        )

    async def close(self) -> None:
        await self._client.close()
