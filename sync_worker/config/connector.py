"""Options of the connector that are not overridden, because the configuration has a key for them or works them out.

Options whose other values lose or change events are refused where the connector's configuration is put together.
"""

from __future__ import annotations

import re

_OWN_KEYS: tuple[tuple[str, str], ...] = (
    (r"name", "connector.name"),
    (r"topic\.prefix", "connector.topic_prefix"),
    (r"slot\.name", "connector.slot"),
    (r"publication\.name", "connector.publication"),
    (r"heartbeat\.interval\.ms", "connector.heartbeat_ms"),
    (r"topic\.creation\.default\.partitions", "connector.partitions"),
    (r"topic\.creation\.default\.replication\.factor", "connector.replication_factor"),
    (r"topic\.creation\.default\.retention\.ms", "connector.retention_days"),
    (r"producer\.override\.max\.request\.size", "connector.max_message_bytes"),
    (r"database\.(hostname|port|user|password|dbname|sslmode)", "connector.database_url"),
    (r"signal\.kafka\.bootstrap\.servers", "connector.bootstrap_servers"),
    (r"table\.include\.list", "the tables under [indexes]"),
    (r"signal\.kafka\.(topic|groupId)|notification\.sink\.topic\.name", "connector.topic_prefix and connector.name"),
)


def check_overrides(overrides: dict[str, str]) -> dict[str, str]:
    """Raises ValueError naming every option that has a key of its own, and the key."""
    refused = [
        f"`{option}` follows from {key}; set that instead"
        for option in overrides
        for pattern, key in _OWN_KEYS
        if re.fullmatch(pattern, option)
    ]
    if refused:
        raise ValueError("; ".join(refused))
    return overrides
