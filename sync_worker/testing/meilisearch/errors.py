"""The server's errors: one table of codes with their HTTP status and kind, and the body that names them."""

from __future__ import annotations

from typing import TypedDict

_INVALID = "invalid_request"

_SPECIAL: dict[str, tuple[int, str]] = {
    "api_key_not_found": (404, _INVALID),
    "batch_not_found": (404, _INVALID),
    "database_size_limit_reached": (500, "internal"),
    "document_not_found": (404, _INVALID),
    "index_already_exists": (409, _INVALID),
    "index_not_found": (404, _INVALID),
    "internal": (500, "internal"),
    "invalid_api_key": (403, "auth"),
    "invalid_content_type": (415, _INVALID),
    "invalid_store_file": (500, "internal"),
    "io_error": (422, "system"),
    "missing_authorization_header": (401, "auth"),
    "missing_content_type": (415, _INVALID),
    "missing_master_key": (401, "auth"),
    "no_space_left_on_device": (422, "system"),
    "payload_too_large": (413, _INVALID),
    "task_not_found": (404, _INVALID),
    "too_many_open_files": (422, "system"),
    "too_many_search_requests": (503, "system"),
}
"""Codes that are not 400 `invalid_request`."""


class ErrorBody(TypedDict):
    """An error as the server writes it, in answers and in failed tasks."""

    message: str
    code: str
    type: str
    link: str


class ApiError(Exception):
    """What the server refuses, by its own code and words."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def status(self) -> int:
        return _SPECIAL.get(self.code, (400, _INVALID))[0]

    def body(self) -> ErrorBody:
        kind = _SPECIAL.get(self.code, (400, _INVALID))[1]
        return {
            "message": self.message,
            "code": self.code,
            "type": kind,
            "link": f"https://docs.meilisearch.com/errors#{self.code}",
        }

    def inside(self, index_uid: str) -> ApiError:
        """The same error as a task reports it when it arose inside the index."""
        return ApiError(self.code, f"Index `{index_uid}`: {self.message}")


def index_not_found(index_uid: str) -> ApiError:
    return ApiError("index_not_found", f"Index `{index_uid}` not found.")
