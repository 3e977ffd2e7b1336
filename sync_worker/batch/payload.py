"""Splitting what one flush sends into payloads that the server takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def split_lines(lines: Iterable[tuple[str, bytes]], max_bytes: int) -> Iterator[list[tuple[str, bytes]]]:
    """Groups of (document id, line) whose NDJSON is at most `max_bytes` bytes; a line above it stands alone."""
    group: list[tuple[str, bytes]] = []
    size = 0
    for document_id, line in lines:
        cost = len(line) + 1
        if group and size + cost > max_bytes:
            yield group
            group, size = [], 0
        group.append((document_id, line))
        size += cost
    if group:
        yield group


def split_ids(document_ids: list[str], max_bytes: int) -> Iterator[list[str]]:
    """The same for a JSON array of ids. (An oversized delete-batch is answered 500, not 413.)"""
    for group in split_lines(((document_id, document_id.encode() + b'",') for document_id in document_ids), max_bytes):
        yield [document_id for document_id, _ in group]
