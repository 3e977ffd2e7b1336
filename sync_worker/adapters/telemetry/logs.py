"""Structured logs on stderr: JSON for machines, readable on a terminal, and never a row's value."""

from __future__ import annotations

import logging
import os
import sys
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

LogFormat = Literal["auto", "json", "console"]

PAYLOAD_KEYS = frozenset(
    {"row", "before", "after", "document", "documents", "line", "ndjson", "value", "payload", "record", "records", "key", "body"}
)
"""Keys under which a row's values could reach a log line. They are dropped whatever they hold."""


def drop_payloads(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Leave no row value in a log line; name what was dropped, so that the author of the line sees it."""
    dropped = sorted(PAYLOAD_KEYS.intersection(event))
    for key in dropped:
        del event[key]
    if dropped:
        event["dropped"] = dropped
    return event


def configure_logging(level: str, format: LogFormat = "auto", *, stream: TextIO | None = None) -> None:
    """Route structlog and the libraries' standard logging through one place.

    Args:
        level: name of a standard level, in any case.
        format: `auto` is `console` on a terminal and `json` elsewhere. Colours only on a terminal without NO_COLOR.
        stream: stderr unless given.
    """
    target = stream or sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        drop_payloads,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    terminal = target.isatty()
    as_json = format == "json" or (format == "auto" and not terminal)
    # A traceback with local variables would print rows: plain ones only.
    ends: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if as_json
        else [
            structlog.dev.ConsoleRenderer(
                colors=terminal and not os.environ.get("NO_COLOR"), exception_formatter=structlog.dev.plain_traceback
            )
        ]
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ends]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for chatty in ("httpx", "httpcore", "asyncio", "aiokafka", "urllib3", "alembic"):
        # Their INFO lines repeat every request; what they have to say about trouble comes at WARNING.
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level) if root.level > logging.DEBUG else logging.DEBUG)
