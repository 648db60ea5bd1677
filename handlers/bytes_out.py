"""The body of a large answer on the socket: the one file that touches Tornado's connection to send a file.

From a plain file the kernel sends (sendfile): on the loop where it does so from memory, in a thread where it would wait
for the disk; ``preadv2`` with RWF_NOWAIT says which. So a warm file costs no hop, and a cold one never holds up the
loop. ``tests/unit/test_bytes_out.py`` pins what this relies on in Tornado 6.6.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import struct
import termios
from collections.abc import Coroutine, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tornado.http1connection import HTTP1Connection
from tornado.iostream import IOStream, SSLIOStream, StreamClosedError
from tornado.web import RequestHandler

from edurise.adapters.stores.disk_threads import DiskThreads
from edurise.files.ports import ObjectMissing, StoreUnavailable

STALL_S = 60.0
"""How long a client may take nothing."""
_SLICE_BYTES = 1024 * 1024
"""As much as the loop may send in one go."""
_WRITE_BYTES = 256 * 1024


class ClientGone(Exception):
    """The client went away, or took nothing for too long."""


class PlainFile:
    """An open file of which ``length`` bytes from ``start`` are sent; ``at`` is the next one. Close it."""

    def __init__(self, descriptor: int, start: int, length: int) -> None:
        self.descriptor = descriptor
        self.at = start
        self.end = start + length

    @property
    def slice(self) -> int:
        """How many bytes are sent in one go."""
        return min(_SLICE_BYTES, self.end - self.at)

    def close(self) -> None:
        os.close(self.descriptor)

    def is_in_memory(self) -> bool:
        """Whether the ends of the next slice are in the page cache; the kernel reads ahead in between."""
        return _is_cached(self.descriptor, self.at) and _is_cached(self.descriptor, self.at + self.slice - 1)


async def open_file(path: Path, size: int, start: int, length: int) -> PlainFile:
    """Open a plain file of exactly ``size`` bytes. Raises ObjectMissing and StoreUnavailable."""
    return await _threads().hop(_opened, path, size, start, length)


def _opened(path: Path, size: int, start: int, length: int) -> PlainFile:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ObjectMissing from None
    except OSError as refused:
        raise StoreUnavailable("local", "denied") from refused
    if os.fstat(descriptor).st_size != size:
        os.close(descriptor)
        raise StoreUnavailable("local", "size")
    os.posix_fadvise(descriptor, start, length, os.POSIX_FADV_SEQUENTIAL)
    return PlainFile(descriptor, start, length)


def _reason(failed: OSError) -> Exception:
    """A failure of sendfile, by whose fault it is."""
    return ClientGone() if isinstance(failed, ConnectionError) else StoreUnavailable("local", "failed")


def _is_cached(descriptor: int, at: int) -> bool:
    try:
        return os.preadv(descriptor, [bytearray(1)], at, os.RWF_NOWAIT) == 1
    except OSError:  # it would wait, or the file system cannot tell
        return False


@cache
def _threads() -> DiskThreads:
    """Threads that wait for the disk; they stay for as long as the process."""
    return DiskThreads(4, "sendfile")


class Outlet:
    """The way out for the body of one answer, whose headers are set and say its length.

    ``perform`` one coroutine that sends it. ``drop`` ends that at once, from outside.
    """

    def __init__(self, handler: RequestHandler) -> None:
        connection = handler.request.connection
        if not isinstance(connection, HTTP1Connection):
            raise TypeError("bodies are sent over HTTP/1")
        self._handler = handler
        self._connection = connection
        self._stream: IOStream = connection.stream
        self._work: asyncio.Task[None] | None = None
        self._waits = False
        self.sent = 0

    @property
    def takes_files(self) -> bool:
        """Whether the kernel can send: not where the stream encrypts."""
        return not isinstance(self._stream, SSLIOStream)

    async def perform(self, work: Coroutine[Any, Any, None]) -> None:
        """Send the headers, then await ``work``, which writes and sends. Raises what it raises, and ClientGone; the
        connection is closed then."""
        self._work = asyncio.create_task(self._whole(work))
        watch = asyncio.create_task(self._watch(self._work))
        try:
            await asyncio.wait({self._work})
            if self._work.cancelled():
                raise ClientGone
            self._work.result()
        except BaseException:
            self._connection.close()
            raise
        finally:
            watch.cancel()
            if not self._work.done():  # this itself was cancelled
                self._work.cancel()
                await asyncio.wait({self._work})

    async def _whole(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await self._handler.flush()
            await work
        except StreamClosedError:
            raise ClientGone from None
        finally:
            work.close()

    def drop(self) -> None:
        """Nobody is there any more: stop reading and sending."""
        if self._work is not None:
            self._work.cancel()

    async def write(self, piece: bytes) -> None:
        """Send bytes; returns when the kernel has them. Raises ClientGone."""
        view = memoryview(piece)
        for at in range(0, len(view), _WRITE_BYTES):
            some = view[at : at + _WRITE_BYTES]
            with self._waiting():
                await self._connection.write(some)  # type: ignore[arg-type]  # any buffer does; slices copy nothing
            if self._stream.closed():
                raise ClientGone
            self.sent += len(some)

    async def send_file(self, file: PlainFile) -> None:
        """Send a file by the kernel. Raises ClientGone, and StoreUnavailable for one that became shorter."""
        if self._stream.closed():
            raise ClientGone
        # The stream has the socket's descriptor for itself on the loop: waiting to write takes another.
        socket = os.dup(self._stream.socket.fileno())
        try:
            while file.at < file.end:
                if file.is_in_memory():
                    await self._push(socket, file)
                else:
                    await self._fetch(socket, file)
        finally:
            os.close(socket)

    async def _push(self, socket: int, file: PlainFile) -> None:
        """Send what is in memory, a slice whenever the socket takes one: others have their turn in between."""
        loop = asyncio.get_running_loop()
        done = loop.create_future()

        def slice_of_it() -> None:
            if done.done():
                return
            try:
                self._advance(file, os.sendfile(socket, file.descriptor, file.at, file.slice))
            except BlockingIOError:
                return
            except OSError as failed:
                done.set_exception(_reason(failed))
            except StoreUnavailable as failed:
                done.set_exception(failed)
            else:
                if file.at == file.end or not file.is_in_memory():
                    done.set_result(None)

        loop.add_writer(socket, slice_of_it)
        try:
            with self._waiting():
                await done
        finally:
            loop.remove_writer(socket)

    async def _fetch(self, socket: int, file: PlainFile) -> None:
        """Send a slice from a thread, which may wait for the disk."""
        try:
            self._advance(file, await _threads().hop(os.sendfile, socket, file.descriptor, file.at, file.slice))
        except BlockingIOError:
            await self._writable(socket)
        except OSError as failed:
            raise _reason(failed) from failed

    def _advance(self, file: PlainFile, sent: int) -> None:
        if sent == 0:
            raise StoreUnavailable("local", "truncated")
        file.at += sent
        self.sent += sent
        self._count(sent)

    def _count(self, sent: int) -> None:
        """Tell the connection, which sees that a body has the length that was announced."""
        left = self._connection._expected_content_remaining  # noqa: SLF001 - it has no word for bytes sent beside it
        if left is not None:
            self._connection._expected_content_remaining = left - sent  # noqa: SLF001 - as above

    async def _writable(self, socket: int) -> None:
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        loop.add_writer(socket, _resolve, ready)
        try:
            with self._waiting():
                await ready
        finally:
            loop.remove_writer(socket)

    @contextlib.contextmanager
    def _waiting(self) -> Iterator[None]:
        self._waits = True
        try:
            yield
        finally:
            self._waits = False

    async def _watch(self, work: asyncio.Task[None]) -> None:
        """End the work when the client takes nothing for too long: nothing more fits, and nothing leaves the queue."""
        loop = asyncio.get_running_loop()
        seen, since = (-1, -1), loop.time()
        while True:
            await asyncio.sleep(STALL_S / 4)
            now = (self.sent, _queued(self._stream))
            if now != seen or not self._waits:
                seen, since = now, loop.time()
            elif loop.time() - since >= STALL_S:
                work.cancel()
                return


def _resolve(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _queued(stream: IOStream) -> int:
    """The bytes in the kernel's queue that the client has not acknowledged (tcp(7), SIOCOUTQ)."""
    if stream.closed():
        return 0
    found = bytearray(4)
    fcntl.ioctl(stream.fileno(), termios.TIOCOUTQ, found)
    return int(struct.unpack("i", found)[0])
