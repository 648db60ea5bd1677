"""ClamAV's daemon behind the port ``Scanner``, by its command INSTREAM (clamd(8)).

The bytes go over the socket in pieces, each behind its length in four bytes, the last of length 0. clamd answers once,
and earlier where the stream is longer than its StreamMaxLength.

The socket is used without asyncio's streams: these forget what has arrived as soon as a write fails, and a write fails
whenever clamd answers early, because it closes the connection then.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator, Awaitable
from typing import TypeVar
from urllib.parse import urlsplit

from edurise.files.ports import ScannerUnavailable, Verdict

T = TypeVar("T")

_PIECE_BYTES = 256 * 1024
_LONGEST_ANSWER = 4096
_FOUND = re.compile(rb"stream: ([^\0\n]+) FOUND\0")
_CLEAN = b"stream: OK\0"
_TOO_LARGE = re.compile(rb"INSTREAM size limit exceeded\.? ERROR\0")


class ClamAvScanner:
    """One connection for each file.

    ``url`` is ``tcp://host:port`` or ``unix:///path``. ``timeout_s`` is for connecting and for each piece that is sent,
    ``verdict_s`` for the verdict after the last: clamd itself gives up after MaxScanTime, by default two minutes. clamd
    looks at no more of a file than its MaxFileSize and MaxScanSize, so ``max_bytes`` must not be above them.
    """

    def __init__(self, url: str, max_bytes: int, timeout_s: float = 30.0, *, verdict_s: float = 150.0) -> None:
        self._url = urlsplit(url)
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._verdict_s = verdict_s

    async def scan(self, source: AsyncIterator[bytes], size: int) -> Verdict:
        """A file above ``max_bytes`` is not scanned at all; where clamd answers early, ``source`` is read no further.

        Raises ScannerUnavailable.
        """
        if size > self._max_bytes:
            return Verdict("not_scanned", "too_large")
        link = await self._connected()
        answering = asyncio.ensure_future(_answer(link))
        try:
            is_taken = await self._sent(link, b"zINSTREAM\0", answering)
            if is_taken:
                async for chunk in source:
                    if not await self._sent_chunk(link, chunk, answering):
                        break
                else:
                    await self._sent(link, struct.pack(">I", 0), answering)
            return _verdict(await self._step(answering, self._verdict_s, "the verdict"))
        finally:
            answering.cancel()
            try:
                await asyncio.wait([answering])
            finally:
                link.close()

    async def _sent_chunk(self, link: socket.socket, chunk: bytes, answering: asyncio.Future[bytes]) -> bool:
        for at in range(0, len(chunk), _PIECE_BYTES):
            piece = chunk[at : at + _PIECE_BYTES]
            if not await self._sent(link, struct.pack(">I", len(piece)) + piece, answering):
                return False
        return True

    async def _sent(self, link: socket.socket, data: bytes, answering: asyncio.Future[bytes]) -> bool:
        """Send; False where clamd takes no more: it has answered, or closed its side, perhaps behind an answer."""
        if answering.done():
            return False
        try:
            await self._step(asyncio.get_running_loop().sock_sendall(link, data), self._timeout_s, "sending")
        except OSError:
            return False
        return True

    async def _connected(self) -> socket.socket:
        try:
            family, address = await self._address()
            link = socket.socket(family, socket.SOCK_STREAM)
            try:
                link.setblocking(False)
                connecting = asyncio.get_running_loop().sock_connect(link, address)
                await self._step(connecting, self._timeout_s, "connecting")
            except BaseException:
                link.close()
                raise
        except OSError as failed:
            raise ScannerUnavailable(f"clamd cannot be reached: {failed}") from failed
        return link

    async def _address(self) -> tuple[int, str | tuple[object, ...]]:
        """The family of addresses, and the first address that the name has."""
        if self._url.scheme == "unix":
            return socket.AF_UNIX, self._url.path
        looking = asyncio.get_running_loop().getaddrinfo(self._url.hostname, self._url.port, type=socket.SOCK_STREAM)
        family, _, _, _, address = (await self._step(looking, self._timeout_s, "looking up its name"))[0]
        return family, address

    async def _step(self, work: Awaitable[T], within_s: float, what: str) -> T:
        try:
            async with asyncio.timeout(within_s):
                return await work
        except TimeoutError as late:
            raise ScannerUnavailable(f"clamd: {what} took more than {within_s:g} s") from late


async def _answer(link: socket.socket) -> bytes:
    """What clamd says, up to its NUL or to the end of the connection, however that ends."""
    loop, said = asyncio.get_running_loop(), b""
    while b"\0" not in said and len(said) < _LONGEST_ANSWER:
        try:
            more = await loop.sock_recv(link, _LONGEST_ANSWER)
        except OSError:
            break  # what is missing tells: no answer is valid without its NUL
        if not more:
            break
        said += more
    return said


def _verdict(answer: bytes) -> Verdict:
    if answer == _CLEAN:
        return Verdict("clean")
    if (found := _FOUND.fullmatch(answer)) is not None:
        return Verdict("infected", found[1].decode(errors="replace")[:200])
    if _TOO_LARGE.fullmatch(answer):
        return Verdict("not_scanned", "too_large")
    raise ScannerUnavailable(f"clamd said {answer[:200]!r}")
