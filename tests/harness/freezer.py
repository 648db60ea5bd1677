"""A TCP forwarder that can hold back what its clients say.

Frozen, it takes their bytes and passes none on, as a network does that fails in one direction: a consumer's
acknowledgements never arrive. When such a client dies, what it said last is lost with it.
"""

from __future__ import annotations

import selectors
import socket
import threading
from contextlib import suppress

CHUNK = 65_536


class Freezer:
    """Forwards 127.0.0.1:``port`` to 127.0.0.1:``target``, in a thread of its own."""

    name = "freezer"

    def __init__(self, port: int, target: int) -> None:
        self.port = port
        self._target = target
        self._frozen = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen."""
        listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self._selector.register(listener, selectors.EVENT_READ, ("accept", listener, listener))
        self._selector.register(self._woken, selectors.EVENT_READ, ("stop", self._woken, self._woken))
        self._thread = threading.Thread(target=self._run, name="freezer")
        self._thread.start()

    def stop(self) -> None:
        """End every connection and listen no more."""
        if self._thread is not None:
            self._wake.send(b".")
            self._thread.join()
            self._thread = None
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._selector.close()
        self._wake.close()
        self._woken.close()

    def freeze(self) -> None:
        """From now on drop what clients say; what the server says still arrives."""
        self._frozen.set()

    def thaw(self) -> None:
        """Pass on what clients say from now on. The connections that were frozen lack bytes and are of no more use."""
        self._frozen.clear()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                kind, near, far = key.data
                if kind == "stop":
                    return
                if kind == "accept":
                    self._accept(near)
                elif near.fileno() >= 0:  # not ended by its other half in this round
                    self._forward(kind, near, far)

    def _accept(self, listener: socket.socket) -> None:
        client, _ = listener.accept()
        try:
            server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        self._selector.register(client, selectors.EVENT_READ, ("said", client, server))
        self._selector.register(server, selectors.EVENT_READ, ("heard", server, client))

    def _forward(self, kind: str, source: socket.socket, target: socket.socket) -> None:
        data = b""
        with suppress(OSError):
            data = source.recv(CHUNK)
        if data and kind == "said" and self._frozen.is_set():
            return
        try:
            target.sendall(data)
        except OSError:
            data = b""
        if not data:
            for end in (source, target):
                self._selector.unregister(end)
                end.close()
