"""`python -m sync_worker.testing.meilisearch --port N --master-key K`: the double as a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys

from sync_worker.testing.meilisearch.double import DEFAULT_DOCUMENT_DELAY_S, DEFAULT_PAYLOAD_LIMIT, MeilisearchDouble


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sync_worker.testing.meilisearch", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=7700, help="0 takes a free one")
    parser.add_argument("--master-key", default=None)
    parser.add_argument("--payload-limit", type=int, default=DEFAULT_PAYLOAD_LIMIT, help="bytes")
    parser.add_argument(
        "--document-delay-s", type=float, default=DEFAULT_DOCUMENT_DELAY_S, help="seconds that a batch takes for each document"
    )
    parser.add_argument("--db-path", default=None, help="accepted as the server has it; nothing is persisted")
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(arguments))


async def _serve(arguments: argparse.Namespace) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    double = MeilisearchDouble(
        arguments.master_key,
        host=arguments.host,
        port=arguments.port,
        payload_limit=arguments.payload_limit,
        document_delay_s=arguments.document_delay_s,
    )
    async with double:
        note = "protocol double of Meilisearch 1.50, not a search engine; nothing is persisted"
        print(f"{note}: listening on {double.url}", file=sys.stderr, flush=True)
        await stopped.wait()


if __name__ == "__main__":
    main()
