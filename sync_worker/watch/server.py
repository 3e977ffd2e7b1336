"""Which PostgreSQL answers: after a failover the slot may know less, or the stream more, than the new primary."""

from __future__ import annotations

from sync_worker.watch.facts import Recorded, ServerSeen, Watched
from sync_worker.watch.look import Look, lost


def look_at_server(recorded: Recorded, server: ServerSeen, watched: Watched) -> Look:
    """Another cluster, or the same one on another timeline."""
    subject = f"connector {watched.connector}"
    system, timeline = recorded.get((subject, "system")), recorded.get((subject, "timeline"))
    evidence = ""
    if system is not None and system != server.system:
        evidence = f"another PostgreSQL cluster answers: its system identifier was {system} and is {server.system}"
    elif timeline is not None and server.timeline is not None and timeline != server.timeline:
        evidence = (
            f"PostgreSQL's timeline was {timeline} and is {server.timeline}: a standby was promoted, or a backup restored. A "
            "slot that was not synchronized lost changes; one that was may have sent commits that the new primary never had"
        )
    facts: dict[tuple[str, str], object] = {(subject, "system"): server.system}
    if server.timeline is not None:
        facts[subject, "timeline"] = server.timeline
    return Look(noticed=tuple(lost(watched.indexes, evidence)) if evidence else (), facts=facts)
