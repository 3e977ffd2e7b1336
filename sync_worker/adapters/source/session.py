"""One read-only connection whose text output is what `values` reads."""

from __future__ import annotations

import psycopg

_OPTIONS = " ".join(
    f"-c {name}={value}"
    for name, value in {
        "timezone": "UTC",
        "datestyle": "ISO",
        "intervalstyle": "postgres",
        "bytea_output": "hex",
        "extra_float_digits": "1",
        "default_transaction_read_only": "on",
    }.items()
)


async def connect(dsn: str, *, statement_timeout_s: float = 60.0) -> psycopg.AsyncConnection[tuple[object, ...]]:
    """Raises psycopg's errors; callers translate."""
    return await psycopg.AsyncConnection.connect(
        dsn,
        autocommit=True,
        connect_timeout=10,
        client_encoding="UTF8",
        application_name="sync-worker",
        options=f"{_OPTIONS} -c statement_timeout={int(statement_timeout_s * 1000)}",
    )
