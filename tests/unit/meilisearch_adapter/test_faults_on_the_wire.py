"""What a broken connection means for a write: it was sent once, and what is in doubt is said to be in doubt."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from sync_worker.adapters.meilisearch.client import MeilisearchSink
from sync_worker.adapters.meilisearch.transport import Timeouts
from sync_worker.errors import AnswerLost, ConfigurationError, PayloadTooLarge, SinkUnavailable

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
QUICK = Timeouts(connect_s=0.2, read_s=0.2, write_s=0.2)
ACCEPTED = b'HTTP/1.1 202 Accepted\r\nContent-Length: 13\r\n\r\n{"taskUid":1}'
BIG = b'{"id":1,"x":"' + b"y" * 1000 + b'"}\n'


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    async def until_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await handler(reader, writer)
        writer.close()

    server = await asyncio.start_server(until_closed, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def reset(writer: asyncio.StreamWriter) -> None:
    """Close so that the other side meets a reset connection."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = [int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    if length:
        await reader.readexactly(length[0])
    return head


async def test_nobody_listens() -> None:
    """Nothing was sent, so nothing is in doubt."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    sink = MeilisearchSink(f"http://127.0.0.1:{port}", "key", timeouts=QUICK)
    with pytest.raises(SinkUnavailable) as caught:
        await sink.write("cities", b'{"id":1}', metadata="m")
    await sink.close()
    assert type(caught.value) is SinkUnavailable


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    reset(writer)


async def say_half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(ACCEPTED[:-5])
    await writer.drain()
    reset(writer)


async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    await reader.read()


async def speak_no_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"220 mail.example ESMTP\r\n")
    writer.close()


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An answer that never ends, a byte at a time, so that no pause between two reads is long."""
    await read_request(reader)
    writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 999999\r\n\r\n")
    while not writer.is_closing():
        writer.write(b" ")
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("fault", [hang_up, say_half, say_nothing, speak_no_http, drip])
async def test_an_answer_is_lost_after_the_write_went_out(fault: Handler) -> None:
    """The server may have taken it: AnswerLost for each kind of write, plain SinkUnavailable for a read."""
    async with serving(fault) as url:
        sink = MeilisearchSink(url, "key", timeouts=QUICK)
        with pytest.raises(AnswerLost):
            await sink.write("cities", b'{"id":1}', metadata="m")
        with pytest.raises(AnswerLost):
            await sink.delete("cities", ["1"], metadata="m")
        with pytest.raises(AnswerLost):
            await sink.clear("cities", metadata="m")
        with pytest.raises(SinkUnavailable) as caught:
            await sink.document_count("cities")
        await sink.close()
    assert type(caught.value) is SinkUnavailable


async def test_a_clear_is_sent_once_over_a_kept_connection_that_breaks() -> None:
    """A second clear that nobody knows of would look like a sink that lost its memory."""
    clears = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal clears
        while True:
            if b"DELETE" in await read_request(reader):
                clears += 1
                reset(writer)
                return
            writer.write(ACCEPTED)

    async with serving(handler) as url:
        sink = MeilisearchSink(url, "key")
        await sink.write("cities", b'{"id":1}', metadata="m")
        with pytest.raises(AnswerLost):
            await sink.clear("cities", metadata="m")
        await sink.close()
    assert clears == 1


async def test_a_refusal_is_heard_while_the_payload_is_still_being_sent() -> None:
    """A server that answers 413 and hangs up in the middle of the upload means: split, not: try the same for ever."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(500_000)
        body = json.dumps({"code": "payload_too_large", "message": "limit"}).encode()
        writer.write(b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()  # with unread data: a reset

    async with serving(handler) as url:
        sink = MeilisearchSink(url, "key")
        for _ in range(5):
            with pytest.raises(PayloadTooLarge):
                await sink.write("cities", BIG * 20_000, metadata="m")
        await sink.close()


async def test_an_upload_that_breaks_off_is_not_in_doubt() -> None:
    """The server never had the whole body, so it took nothing; it is tried once more, then it is the environment's fault."""
    attempts = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        await reader.readexactly(1000)
        reset(writer)

    async with serving(handler) as url:
        sink = MeilisearchSink(url, "key")
        with pytest.raises(SinkUnavailable) as caught:
            await sink.write("cities", BIG * 20_000, metadata="m")
        await sink.close()
    assert type(caught.value) is SinkUnavailable
    assert attempts == 2


def test_a_write_ends_before_a_consumer_is_thrown_out() -> None:
    """However large the payload, its time-out stays below the limit, which stays below 30 s."""
    assert Timeouts().for_write(0) == 10
    assert Timeouts().for_write(100_000_000) == Timeouts().write_s < 30


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("search:7700", "key"),
        ("ftp://search", "key"),
        ("http://", "key"),
        ("http://search:port", "key"),
        ("http://user:word@search", "key"),
        ("http://search", "key\n"),
        ("http://search", "schlüssel"),
    ],
)
def test_a_url_or_key_that_cannot_be_one(url: str, key: str) -> None:
    """Found when it is configured, not with the first write; the key is not shown."""
    with pytest.raises(ConfigurationError) as caught:
        MeilisearchSink(url, key)
    assert key not in caught.value.message or key == "key"
