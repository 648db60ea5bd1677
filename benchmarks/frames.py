"""What a load generator has to know of RFC 6455: the upgrade, and where frames begin and end."""

from __future__ import annotations

import os
from dataclasses import dataclass

EMPTY_PONG = b"\x8a\x80\x00\x00\x00\x00"
"""An empty pong under a mask of zeros."""
_TEXT, _CLOSE, _PING, _PONG = 0x81, 0x88, 0x89, 0x8A


@dataclass(frozen=True, slots=True)
class Scanned:
    """What lay in a piece of the stream: whole text frames, pings, whether a close came, and how many bytes that was.

    ``code`` is that of the close frame, 0 where it had none.
    """

    texts: int
    pings: int
    closed: bool
    code: int
    used: int


def scan(data: bytes) -> Scanned:
    """Count the frames of a server, without a look at what they say.

    Raises ValueError for what no server of ours sends: a mask, a part of a message, a binary frame.
    """
    at, end = 0, len(data)
    texts = pings = code = 0
    closed = False
    while (sizes := _sizes(data, at, end)) is not None:
        first, (head, size) = data[at], sizes
        if first == _TEXT:
            texts += 1
        elif first == _PING:
            pings += 1
        elif first == _CLOSE:
            closed = True
            code = int.from_bytes(data[at + head : at + head + min(size, 2)], "big")
        elif first != _PONG:
            raise ValueError(f"a frame that begins with {first:#04x} is not expected here")
        at += head + size
    return Scanned(texts, pings, closed, code, at)


def texts_of(data: bytes) -> list[bytes]:
    """What the whole text frames in ``data`` say."""
    found: list[bytes] = []
    at, end = 0, len(data)
    while (sizes := _sizes(data, at, end)) is not None:
        head, size = sizes
        if data[at] == _TEXT:
            found.append(data[at + head : at + head + size])
        at += head + size
    return found


def _sizes(data: bytes, at: int, end: int) -> tuple[int, int] | None:
    """Bytes of the head and of the payload of the frame at ``at``; None while it is not whole."""
    if end - at < 2:
        return None
    size, head = data[at + 1], 2
    if size > 125:
        if size > 127:
            raise ValueError("a server's frame bears a mask")
        head = 4 if size == 126 else 10
        if end - at < head:
            return None
        size = int.from_bytes(data[at + 2 : at + head], "big")
    return (head, size) if end - at >= head + size else None


def masked_text(text: str) -> bytes:
    """A client's text frame. The mask is zero, which the protocol allows and which costs the server the same."""
    payload = text.encode()
    size = len(payload)
    if size < 126:
        head = bytes((_TEXT, 0x80 | size))
    elif size <= 0xFFFF:
        head = bytes((_TEXT, 0x80 | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((_TEXT, 0x80 | 127)) + size.to_bytes(8, "big")
    return head + bytes(4) + payload


def upgrade(port: int, path: str) -> str:
    """The bytes of a handshake, as text in latin-1."""
    key = os.urandom(16).hex()[:22] + "=="
    lines = (
        f"GET {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
    )
    return "\r\n".join(lines) + "\r\n\r\n"
