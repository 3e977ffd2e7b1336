"""A network in which one request may travel for as long as a test wants: between a worker and Meilisearch."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from urllib.parse import urlsplit


class Network:
    """A relay in front of `url`. Once armed, the next request that it wants is kept back, whole, until `release`.

    Whoever sent it may give up meanwhile: the request arrives nevertheless, as a packet does.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._upstream = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._wanted: Callable[[bytes], bool] | None = None
        self._lock = threading.Lock()
        self._released = threading.Event()
        self.held = threading.Event()
        self.arrived = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Network:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._released.set()
        self._listener.close()

    def arm(self, wanted: Callable[[bytes], bool]) -> None:
        """Keep back the next request whose first bytes (its head and some of its body) are `wanted`."""
        with self._lock:
            self._wanted = wanted

    def release(self) -> None:
        self._released.set()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection(self._upstream) as server:
            back = threading.Thread(target=_pump, args=(server, client, self.arrived), daemon=True)
            back.start()
            while chunk := client.recv(1 << 20):
                if self._keep(chunk):
                    self._hold(client, server, chunk)
                    return
                server.sendall(chunk)

    def _keep(self, chunk: bytes) -> bool:
        with self._lock:
            if self._wanted is None or not self._wanted(chunk):
                return False
            self._wanted = None
            return True

    def _hold(self, client: socket.socket, server: socket.socket, first: bytes) -> None:
        kept = [first]
        self.held.set()
        client.settimeout(0.2)
        while not self._released.is_set():
            try:
                chunk = client.recv(1 << 20)
            except TimeoutError:
                continue
            except OSError:
                chunk = b""
            if not chunk:
                self._released.wait()
            kept.append(chunk)
        self.arrived.clear()
        server.sendall(b"".join(kept))
        self.arrived.wait(10)


def _pump(server: socket.socket, client: socket.socket, arrived: threading.Event) -> None:
    with suppress(OSError):
        while chunk := server.recv(1 << 20):
            arrived.set()
            with suppress(OSError):
                client.sendall(chunk)
    with suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)
