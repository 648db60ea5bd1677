"""Large bodies as fast as a socket takes them, from threads: ``sendall`` and ``recv`` hold no interpreter lock."""

from __future__ import annotations

import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

PIECE = os.urandom(1024 * 1024)


@dataclass(frozen=True)
class Body:
    """A request whose body is ``pieces`` times ``PIECE`` between ``before`` and ``after``."""

    port: int
    head: str
    before: bytes
    pieces: int
    after: bytes

    @property
    def length(self) -> int:
        return len(self.before) + self.pieces * len(PIECE) + len(self.after)

    def send(self) -> int:
        """Send it and return the status of the answer."""
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            head = f"{self.head}Host: 127.0.0.1\r\nContent-Length: {self.length}\r\nConnection: close\r\n\r\n"
            connection.sendall(head.encode() + self.before)
            for _ in range(self.pieces):
                connection.sendall(PIECE)
            connection.sendall(self.after)
            return int(connection.makefile("rb").readline().split()[1])


def raw(port: int, path: str, mebibytes: int) -> Body:
    """A body of nothing but the bytes."""
    return Body(port, f"POST {path} HTTP/1.1\r\nContent-Type: application/octet-stream\r\n", b"", mebibytes, b"")


def form(port: int, token: str, mebibytes: int) -> Body:
    """The form of a browser that uploads a zip."""
    boundary = "----edurise-benchmark"
    before = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="bench.zip"\r\n'
        "Content-Type: application/zip\r\n\r\n"
    ).encode() + b"PK\x03\x04" + bytes(26)  # fmt: skip
    after = (
        f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="category"\r\n\r\nexports\r\n--{boundary}--\r\n'
    ).encode()
    head = (
        f"POST /api/v1/file-uploads/ HTTP/1.1\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: multipart/form-data; boundary={boundary}\r\n"
    )
    return Body(port, head, before, mebibytes, after)


def send_all(bodies: list[Body]) -> tuple[float, list[int]]:
    """Send them at once; returns the seconds until the last answer, and the statuses."""
    with ThreadPoolExecutor(len(bodies)) as threads:
        began = time.monotonic()
        statuses = list(threads.map(Body.send, bodies))
        return time.monotonic() - began, statuses
