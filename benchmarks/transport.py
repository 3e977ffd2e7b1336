"""Which HTTP client carries the write path: each one against a bare socket, in one run.

    python benchmarks/transport.py

A process of its own swallows requests and answers like an accepted write at once, so only the client is measured. Prints, for a
payload of 20 MB and for one of 200 bytes, wall and CPU time per request and their ratio to a bare keep-alive socket.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from multiprocessing.connection import Connection

import aiohttp
import httpx
import meilisearch

from sync_worker.adapters.meilisearch.client import MeilisearchSink

ANSWER = (
    b'{"taskUid":1,"indexUid":"i","status":"enqueued","type":"documentAdditionOrUpdate","enqueuedAt":"2026-01-01T00:00:00.5Z"}'
)
REPLY = b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(ANSWER) + ANSWER
HEADERS = {"Authorization": "Bearer key", "Content-Type": "application/x-ndjson"}
PATH = "/indexes/i/documents"
LINE = b'{"id":1,"name":"' + b"x" * 180 + b'"}\n'
PAYLOADS = {"20 MB": (LINE * (20_000_000 // len(LINE)), 30), "200 B": (LINE, 1500)}


def serve(announce: Connection) -> None:
    """Answer every request with an accepted task, one connection after the other."""
    listener = socket.create_server(("127.0.0.1", 0))
    announce.send(listener.getsockname()[1])
    buffer = bytearray(1 << 20)
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pending = b""
        while True:
            while b"\r\n\r\n" not in pending:
                if not (chunk := connection.recv(1 << 16)):
                    break
                pending += chunk
            else:
                head, _, rest = pending.partition(b"\r\n\r\n")
                length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                missing = length - len(rest)
                while missing > 0 and (got := connection.recv_into(buffer, min(missing, len(buffer)))):
                    missing -= got
                pending = b""
                connection.sendall(REPLY)
                continue
            break


Post = Callable[[bytes], Awaitable[object]]


@asynccontextmanager
async def bare_socket(port: int) -> AsyncIterator[Post]:
    loop = asyncio.get_running_loop()
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setblocking(False)

    async def post(body: bytes) -> None:
        head = b"POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % (PATH.encode(), len(body))
        await loop.sock_sendall(connection, head)
        await loop.sock_sendall(connection, body)
        missing = len(REPLY)
        while missing:
            missing -= len(await loop.sock_recv(connection, missing))

    yield post
    connection.close()


@asynccontextmanager
async def pooled_httpx(port: int) -> AsyncIterator[Post]:
    client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=HEADERS, trust_env=False)

    async def post(body: bytes) -> object:
        return (await client.post(PATH, content=body)).json()

    yield post
    await client.aclose()


@asynccontextmanager
async def pooled_aiohttp(port: int) -> AsyncIterator[Post]:
    session = aiohttp.ClientSession(headers=HEADERS, trust_env=False)
    url = f"http://127.0.0.1:{port}{PATH}"

    async def post(body: bytes) -> object:
        async with session.post(url, data=body) as answer:
            return await answer.json()

    yield post
    await session.close()


@asynccontextmanager
async def official_client(port: int) -> AsyncIterator[Post]:
    index = meilisearch.Client(f"http://127.0.0.1:{port}", "key").index("i")

    async def post(body: bytes) -> object:
        return await asyncio.to_thread(index.add_documents_ndjson, body)

    yield post


@asynccontextmanager
async def our_sink(port: int) -> AsyncIterator[Post]:
    sink = MeilisearchSink(f"http://127.0.0.1:{port}", "key")

    async def post(body: bytes) -> object:
        return await sink.write("i", body, metadata="m")

    yield post
    await sink.close()


async def measure(post: Post, body: bytes, rounds: int) -> tuple[float, float]:
    """Median wall time and mean CPU time of this process, seconds per request."""
    await post(body)
    walls = []
    cpu = time.process_time()
    for _ in range(rounds):
        begin = time.perf_counter()
        await post(body)
        walls.append(time.perf_counter() - begin)
    return statistics.median(walls), (time.process_time() - cpu) / rounds


Client = Callable[[int], AbstractAsyncContextManager[Post]]


async def run(make: Client, port: int, body: bytes, rounds: int) -> tuple[float, float]:
    async with make(port) as post:
        return await measure(post, body, rounds)


def main() -> None:
    """Measure every client against its own server process, so that connections of one don't wait for another's."""
    clients: dict[str, Client] = {
        "bare socket": bare_socket,
        "httpx": pooled_httpx,
        "aiohttp": pooled_aiohttp,
        "official client": official_client,
        "MeilisearchSink": our_sink,
    }
    print(f"{'payload':8} {'client':16} {'wall ms':>9} {'ratio':>6} {'cpu ms':>9} {'ratio':>6}")
    for size, (body, rounds) in PAYLOADS.items():
        floor: tuple[float, float] | None = None
        for name, make in clients.items():
            receiver, sender = multiprocessing.Pipe(duplex=False)
            server = multiprocessing.Process(target=serve, args=(sender,), daemon=True)
            server.start()
            port = receiver.recv()

            wall, cpu = asyncio.run(run(make, port, body, rounds))
            server.terminate()
            floor = floor or (wall, cpu)
            print(
                f"{size:8} {name:16} {wall * 1e3:9.3f} {wall / floor[0]:6.2f} {cpu * 1e3:9.3f} {cpu / floor[1]:6.2f}", flush=True
            )


if __name__ == "__main__":
    main()
