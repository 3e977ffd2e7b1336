"""Request bodies: decoding, the payload limit, content types, and JSON with the server's words for what is wrong."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from sync_worker.testing.meilisearch.documents import Incoming, read_csv, read_json, read_ndjson
from sync_worker.testing.meilisearch.errors import ApiError
from sync_worker.testing.meilisearch.json_text import JsonError, end_of_value, skip_space, wrong_type

_FORMATS: Mapping[str, str] = {"application/json": "json", "application/x-ndjson": "ndjson", "text/csv": "csv"}
_DECODERS: Mapping[str, int] = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body as it came. `limit` is the payload limit in bytes."""

    raw: bytes
    encoding: str
    content_type: str | None
    limit: int

    def decoded(self) -> bytes:
        """Raises ApiError `payload_too_large`, counted after decompression, or `bad_request` for broken compression."""
        text = self._inflated()
        if len(text) > self.limit:
            raise ApiError(
                "payload_too_large",
                f"The provided payload reached the size limit. The maximum accepted payload size is {_size(self.limit)}.",
            )
        return text

    def _inflated(self) -> bytes:
        if self.encoding in {"", "identity"}:
            return self.raw
        try:
            decoder = zlib.decompressobj(_DECODERS[self.encoding])
            text = decoder.decompress(self.raw, self.limit + 1)
        except KeyError as error:
            raise ApiError("bad_request", f"Unsupported Content-Encoding `{self.encoding}`") from error
        except zlib.error as error:
            raise _incomplete() from error
        if not decoder.eof and len(text) <= self.limit:
            raise _incomplete()
        return text

    def documents(self, delimiter: str) -> tuple[Incoming, ...]:
        """The documents of a write. Raises ApiError."""
        kind = self._kind(tuple(_FORMATS))
        text = self.decoded()
        if not text:
            raise ApiError("missing_payload", f"A {kind} payload is missing.")
        readers: Mapping[str, Callable[[bytes], list[Incoming]]] = {
            "json": read_json,
            "ndjson": read_ndjson,
            "csv": lambda body: read_csv(body, delimiter),
        }
        return tuple(readers[kind](text))

    def json(self) -> Any:
        """Raises ApiError `malformed_payload`, `missing_payload`, or `internal` for an oversized body (no 413 there)."""
        self._kind(("application/json",))
        text = self._json_text()
        if not text:
            raise ApiError("missing_payload", "A json payload is missing.")
        try:
            return parse_json(text)
        except JsonError as stop:
            raise ApiError("malformed_payload", f"The json payload provided is malformed. `{stop}`.") from stop

    def json_list(self) -> list[Any]:
        """A body that the server takes as a bare sequence. Raises ApiError `bad_request` for anything else."""
        value = self.json()
        if not isinstance(value, list):
            raise ApiError("bad_request", f"Json deserialize error: {wrong_type(value, 'a sequence', self._inflated().strip())}")
        return value

    def _json_text(self) -> bytes:
        text = self._inflated()
        if len(text) > self.limit:
            raise ApiError("internal", f"JSON payload ({len(text)} bytes) is larger than allowed (limit: {self.limit} bytes).")
        return text

    def _kind(self, accepted: tuple[str, ...]) -> str:
        listed = ", ".join(f"`{name}`" for name in accepted)
        if self.content_type is None:
            raise ApiError(
                "missing_content_type",
                f"A Content-Type header is missing. Accepted values for the Content-Type header are: {listed}",
            )
        essence = self.content_type.partition(";")[0].strip().lower()
        if essence not in accepted:
            raise ApiError(
                "invalid_content_type",
                f"The Content-Type `{self.content_type}` is invalid. Accepted values for the Content-Type header are: {listed}",
            )
        return _FORMATS[essence]


def parse_json(text: bytes) -> Any:
    """Raises JsonError with the place where the server's parser stops."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        end = end_of_value(text, 0)
        if skip_space(text, end) < len(text):
            raise JsonError("trailing characters", text, skip_space(text, end) + 1) from error
        raise JsonError("expected value", text, 1) from error


def _incomplete() -> ApiError:
    return ApiError("bad_request", "The provided payload is incomplete and cannot be parsed")


def _size(limit: int) -> str:
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if limit >= factor:
            return f"{round(limit / factor, 2):g} {unit}"
    return f"{limit} B"
