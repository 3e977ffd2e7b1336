"""Documents as an index holds them: by id, or the ids of all of them, page by page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import orjson

from sync_worker.adapters.meilisearch.transport import DEFAULT_TIMEOUTS, Timeouts, Transport
from sync_worker.drift.expected import Unreadable
from sync_worker.drift.model import Document
from sync_worker.errors import SinkUnavailable


class MeilisearchDocuments:
    """One Meilisearch with a key that may `documents.get` and `stats.get`.

    `documents/fetch` ignores `displayedAttributes`, so that hidden fields are seen as well; pages are transactions of their own,
    in the order of the server's internal ids. Every method raises SinkUnavailable, SinkFull, SinkDenied.
    """

    def __init__(self, url: str, api_key: str, *, timeouts: Timeouts = DEFAULT_TIMEOUTS) -> None:
        self._transport = Transport(url, api_key, key_name="worker key", compress="none", timeouts=timeouts)

    async def fetch(
        self, index_uid: str, id_field: str, document_ids: Sequence[str], *, vectors: bool
    ) -> Mapping[str, Document | Unreadable]:
        """Those of these documents that are there."""
        if not document_ids:
            return {}
        body = {"ids": list(document_ids), "limit": len(document_ids)} | ({"retrieveVectors": True} if vectors else {})
        try:
            results = await self._results(index_uid, body)
        except SinkUnavailable as fault:
            if fault.code != "internal":
                raise
            return await self._around_the_unreadable(index_uid, id_field, document_ids, vectors, fault)
        return {str(document[id_field]): document for document in results if id_field in document}

    async def present(self, index_uid: str, id_field: str, document_ids: Sequence[str]) -> frozenset[str]:
        """Those of these ids that a document bears, one that can't be read included."""
        if not document_ids:
            return frozenset()
        results = await self._results(index_uid, {"ids": list(document_ids), "fields": [id_field], "limit": len(document_ids)})
        return frozenset(str(document[id_field]) for document in results if id_field in document)

    async def ids(self, index_uid: str, id_field: str, *, offset: int, limit: int) -> list[str]:
        """Ids of the documents at these places; fewer than `limit` at the end."""
        results = await self._results(index_uid, {"fields": [id_field], "offset": offset, "limit": limit})
        return [str(document[id_field]) for document in results if id_field in document]

    async def count(self, index_uid: str) -> int:
        answer = await self._transport.read(f"/indexes/{quote(index_uid, safe='')}/stats", action="stats.get")
        if not isinstance(answer, dict) or type(answer.get("numberOfDocuments")) is not int:
            raise self._strange(answer)
        return int(answer["numberOfDocuments"])

    async def close(self) -> None:
        await self._transport.close()

    async def _around_the_unreadable(
        self, index_uid: str, id_field: str, document_ids: Sequence[str], vectors: bool, fault: SinkUnavailable
    ) -> Mapping[str, Document | Unreadable]:
        """One document that the server can't read fails the whole answer: the halves tell which."""
        if len(document_ids) == 1:
            # A server that is ill says the same of every document: of nothing, it answers.
            await self._results(index_uid, {"ids": [], "limit": 0})
            return {document_ids[0]: Unreadable()}
        half = len(document_ids) // 2
        first = await self.fetch(index_uid, id_field, document_ids[:half], vectors=vectors)
        second = await self.fetch(index_uid, id_field, document_ids[half:], vectors=vectors)
        found = {**first, **second}
        if len(document_ids) > 2 and all(isinstance(document, Unreadable) for document in found.values()):
            raise fault
        return found

    async def _results(self, index_uid: str, body: Mapping[str, Any]) -> list[Document]:
        path = f"/indexes/{quote(index_uid, safe='')}/documents/fetch"
        answer = await self._transport.ask(path, orjson.dumps(body), action="documents.get")
        results = answer.get("results") if isinstance(answer, dict) else None
        if not isinstance(results, list):
            raise self._strange(answer)
        return results

    def _strange(self, answer: object) -> SinkUnavailable:
        return SinkUnavailable(f"{self._transport.url} answered something that is not Meilisearch's: {repr(answer)[:200]}")
