"""Bytes on their way between two tasks of one loop, a bounded number at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

HELD_BYTES = 1024 * 1024


class Pipe:
    """One task feeds, another reads; who feeds waits while more than ``most`` bytes are unread.

    A reader that stops early says so by ``discard``: from then on what is fed is dropped. Belongs to one event loop.
    """

    def __init__(self, most: int = HELD_BYTES) -> None:
        self._most = most
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._ended = False
        self._error: BaseException | None = None
        self._discards = False
        self._fed = asyncio.Event()
        self._read = asyncio.Event()
        self._read.set()

    @property
    def is_waiting(self) -> bool:
        """Whether the reader has read all there is and waits for more."""
        return not (self._chunks or self._ended or self._discards or self._error)

    async def feed(self, chunk: bytes) -> None:
        """Hand bytes over; returns when there is room for more."""
        if self._discards or not chunk:
            return
        self._chunks.append(chunk)
        self._held += len(chunk)
        self._fed.set()
        if self._held > self._most:
            self._read.clear()
            await self._read.wait()

    def end(self) -> None:
        """There is nothing more to come."""
        self._ended = True
        self._fed.set()

    def fail(self, error: BaseException) -> None:
        """The bytes broke off: the reader gets ``error`` in their place, without what it had not read yet."""
        if not self._ended:
            self._error = error
            self._chunks.clear()
            self._fed.set()
        self._read.set()

    def discard(self) -> None:
        """Nobody reads any more."""
        self._discards = True
        self._chunks.clear()
        self._held = 0
        self._read.set()

    async def read(self) -> bytes:
        """The next bytes, b"" at the end. Raises what ``fail`` was given."""
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._ended:
                return b""
            self._fed.clear()
            await self._fed.wait()
        chunk = self._chunks.popleft()
        self._held -= len(chunk)
        if self._held <= self._most // 2:
            self._read.set()
        return chunk

    async def after(self, first: bytes) -> AsyncIterator[bytes]:
        """Bytes that were read already, and then the rest."""
        yield first
        async for chunk in self:
            yield chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while chunk := await self.read():
            yield chunk
