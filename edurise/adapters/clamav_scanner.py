"""ClamAV's daemon behind the port ``Scanner``, by its command INSTREAM (clamd(8)).

The bytes go over the socket in pieces, each behind its length in four bytes, the last of length 0. clamd answers once,
and earlier where the stream is longer than its StreamMaxLength.
"""

from __future__ import annotations

import asyncio
import re
import struct
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from typing import TypeVar
from urllib.parse import urlsplit

from edurise.files.ports import ScannerUnavailable, Verdict

T = TypeVar("T")

_PIECE_BYTES = 256 * 1024
_LONGEST_ANSWER = 4096
_FOUND = re.compile(rb"stream: (.+) FOUND")
_CLEAN = b"stream: OK"
_TOO_LARGE = b"INSTREAM size limit exceeded"


class ClamAvScanner:
    """One connection for each file. ``url``: ``tcp://host:port`` or ``unix:///path``; ``timeout_s`` is for each step:
    connecting, sending a piece, and the verdict."""

    def __init__(self, url: str, max_bytes: int, timeout_s: float = 30.0) -> None:
        self._url = urlsplit(url)
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s

    async def scan(self, source: AsyncIterator[bytes], size: int) -> Verdict:
        """A file above ``max_bytes`` is not scanned at all. Raises ScannerUnavailable."""
        if size > self._max_bytes:
            return Verdict("not_scanned", "too_large")
        try:
            reader, writer = await self._step(self._connected())
        except (OSError, TimeoutError) as failed:
            raise ScannerUnavailable(f"clamd cannot be reached: {failed}") from failed
        answering = asyncio.ensure_future(reader.readuntil(b"\0"))
        try:
            writer.write(b"zINSTREAM\0")
            async for chunk in source:
                if not await self._sent(writer, chunk, answering):
                    break
            else:
                writer.write(struct.pack(">I", 0))
            return _verdict(await self._step(answering))
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as failed:
            raise ScannerUnavailable(f"clamd broke off: {failed!r}") from failed
        finally:
            answering.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await answering
            writer.transport.abort()  # what it did not take is wanted no more
            with suppress(OSError):
                await writer.wait_closed()

    async def _sent(self, writer: asyncio.StreamWriter, chunk: bytes, answering: asyncio.Future[bytes]) -> bool:
        """Send a chunk; False as soon as clamd has answered, for then it reads no more."""
        for at in range(0, len(chunk), _PIECE_BYTES):
            piece = chunk[at : at + _PIECE_BYTES]
            if answering.done():
                return False
            writer.write(struct.pack(">I", len(piece)))
            writer.write(piece)
            try:
                await self._step(writer.drain())
            except OSError:
                # clamd closes its side after an early answer; the answer may still be there to be read.
                return False
        return True

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._url.scheme == "unix":
            return await asyncio.open_unix_connection(self._url.path, limit=_LONGEST_ANSWER)
        return await asyncio.open_connection(self._url.hostname, self._url.port, limit=_LONGEST_ANSWER)

    async def _step(self, work: Awaitable[T]) -> T:
        async with asyncio.timeout(self._timeout_s):
            return await work


def _verdict(answer: bytes) -> Verdict:
    said = answer.rstrip(b"\0").strip()
    if said == _CLEAN:
        return Verdict("clean")
    if (found := _FOUND.fullmatch(said)) is not None:
        return Verdict("infected", found[1].decode(errors="replace")[:200])
    if said.startswith(_TOO_LARGE):
        return Verdict("not_scanned", "too_large")
    raise ScannerUnavailable(f"clamd said {said[:200]!r}")
