"""Bytes on the socket: the one file that touches Tornado's stream and its WebSocket protocol object.

Tornado's own way of writing encodes the message anew for each socket and wraps every write in a task; at thousands of
sockets that is most of the cost of a broadcast. Here a frame is built once (RFC 6455, section 5.2) and handed to the
operating system directly while the stream has nothing waiting. Only a socket that does not keep up gets a queue and a
task; both go when it has caught up. ``tests/ws/test_wire.py`` pins what this relies on in Tornado 6.6.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable

from tornado.iostream import IOStream, StreamClosedError
from tornado.websocket import WebSocketHandler, WebSocketProtocol13

BACKLOG_BYTES = 4 * 1024 * 1024
"""A queue of more bytes than this is over its bound, however few the frames."""

PING = b"\x89\x00"
_TEXT = 0x81  # final frame, opcode 1


def text_frame(payload: bytes) -> bytes:
    """One unmasked, final text frame around UTF-8 bytes."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", _TEXT, size) + payload
    if size <= 0xFFFF:
        return struct.pack("!BBH", _TEXT, 126, size) + payload
    return struct.pack("!BBQ", _TEXT, 127, size) + payload


class Wire:
    """The sending side of one open socket. ``slow`` is called once, when more than ``limit`` frames wait."""

    __slots__ = ("_connection", "_limit", "_queue", "_queued_bytes", "_slow", "_stream", "_task", "closed")

    def __init__(self, handler: WebSocketHandler, limit: int, slow: Callable[[], None]) -> None:
        connection = handler.ws_connection
        if not isinstance(connection, WebSocketProtocol13):
            raise TypeError("a wire needs an open WebSocket of version 13")
        self._connection = connection
        self._stream: IOStream = connection.stream
        self._limit = limit
        self._slow = slow
        self._queue: deque[bytes] | None = None
        self._queued_bytes = 0
        self._task: asyncio.Task[None] | None = None
        self.closed = False

    @property
    def backlog(self) -> int:
        """How many frames wait in this socket's own queue."""
        return len(self._queue) if self._queue is not None else 0

    def send(self, frame: bytes) -> None:
        """Send a built frame, in order; never waits, never raises. A socket that is closed or too slow gets nothing."""
        if self.closed or self._connection.is_closing():
            return
        if self._queue is None and not self._stream.writing():
            self._write(frame)
            return
        if self._queue is None:
            self._queue = deque()
            self._task = asyncio.create_task(self._catch_up())
        self._queue.append(frame)
        self._queued_bytes += len(frame)
        if len(self._queue) > self._limit or self._queued_bytes > BACKLOG_BYTES:
            self._forget_queue()
            self._slow()

    def ping(self) -> None:
        """Send a ping, unless something waits already: then its delivery shows whether the peer lives."""
        if self._queue is None and not self._stream.writing():
            self.send(PING)

    def close(self, code: int, reason: str) -> None:
        """Close cleanly: a close frame that a client can read, then the connection once the client has answered it."""
        if not self.closed:
            self._end()
            self._connection.close(code, reason)

    def drop(self) -> None:
        """Drop the connection without a close frame: a client takes it for a failure of the network and comes back."""
        self._end()
        self._stream.close()

    def gone(self) -> None:
        """The connection has ended; nothing is sent any more."""
        self._end()

    def _write(self, frame: bytes) -> None:
        """Give the frame to the operating system; what it does not take waits in the stream, which keeps the order."""
        try:
            taken = self._stream.write_to_fd(memoryview(frame))
        except BlockingIOError:
            taken = 0
        except OSError:  # reset by the peer: closing the stream ends the reading side, which tells the handler
            self.drop()
            return
        if taken < len(frame):
            self._stream.write(frame[taken:] if taken else frame)

    async def _catch_up(self) -> None:
        """Send what waits as fast as the peer reads it."""
        stream, queue = self._stream, self._queue
        try:
            await stream.write(b"")  # resolves when everything that was written before has left
            while queue:
                frame = queue.popleft()
                self._queued_bytes -= len(frame)
                written = stream.write(frame)
                if stream.writing():
                    await written
        except StreamClosedError:
            self.closed = True
        finally:
            if self._queue is queue:
                self._queue, self._queued_bytes, self._task = None, 0, None

    def _end(self) -> None:
        self.closed = True
        self._forget_queue()

    def _forget_queue(self) -> None:
        """Let go of what waits. The task ends by itself: Tornado does not bear the cancelling of a write."""
        if self._queue is not None:
            self._queue.clear()
            self._queued_bytes = 0
