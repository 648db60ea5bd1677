"""Archives that are made while they are sent (stream-zip): nothing compressed, sizes and checksums known before.

Every member and the directory are in the Zip64 form (PKWARE APPNOTE 6.3.9, 4.3 to 4.5), whatever their size, so that
the size of an archive follows from the names and sizes alone.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from typing import Any, cast

from stream_zip import NO_COMPRESSION_64, MemberFile, stream_zip

from edurise.adapters.stores.disk_threads import DiskThreads
from edurise.files.flows.zipping import Member

_CHUNK_BYTES = 1_048_576
_MODE = 0o100644
_TIME_EXTRA = 9
"""The extended timestamp."""
_LOCAL = 30 + 20 + _TIME_EXTRA
"""What stands before a member's bytes, without its name: header, sizes of 64 bits, time."""
_CENTRAL = 46 + 28 + _TIME_EXTRA
"""A member's entry in the directory, without its name."""
_END = 56 + 20 + 22
"""The end of the directory: of 64 bits, where that lies, and of 32 bits."""


def archive_bytes(members: Sequence[Member]) -> int:
    """The exact size of the archive of these members, of which there is at least one."""
    return sum(_LOCAL + _CENTRAL + 2 * len(one.name.encode()) + one.size for one in members) + _END


async def zipped(members: Sequence[Member]) -> AsyncGenerator[bytes]:
    """The archive, in pieces of at most 1 MiB.

    The library reads its sources without awaiting, so it runs in a thread of the archive's own. Raises what reading a
    member raises, and ValueError for bytes that are not those that were announced.
    """
    sources = _Sources(asyncio.get_running_loop())
    threads = DiskThreads(1, "zip")
    pieces = iter(stream_zip(map(sources.member, members), chunk_size=_CHUNK_BYTES))
    try:
        while piece := await _ended(asyncio.create_task(threads.hop(next, pieces, b"")), sources):
            yield piece
    finally:
        await sources.close()
        await threads.close()


class _Sources:
    """Hands the thread what the loop reads."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._open: AsyncIterator[bytes] | None = None
        self._reading: asyncio.Task[Any] | None = None
        self._stopped = False

    def member(self, one: Member) -> MemberFile:
        return one.name, one.modified_at, _MODE, NO_COMPRESSION_64(one.size, one.crc32), self._pieces(one)

    def stop(self) -> None:
        """Let the thread wait for nothing any more."""
        self._stopped = True
        if self._reading is not None:
            self._reading.cancel()

    async def close(self) -> None:
        """Close what is open. No thread may be at work."""
        if self._open is not None:
            await cast("AsyncGenerator[bytes]", self._open).aclose()

    def _pieces(self, one: Member) -> Iterator[bytes]:
        self._open = source = one.read()
        while piece := asyncio.run_coroutine_threadsafe(self._next(source), self._loop).result():
            yield piece

    async def _next(self, source: AsyncIterator[bytes]) -> bytes:
        if self._stopped:
            raise asyncio.CancelledError
        self._reading = asyncio.current_task()
        try:
            return await anext(source, b"")
        finally:
            self._reading = None


async def _ended(hop: asyncio.Task[bytes], sources: _Sources) -> bytes:
    """The result of a hop. Who is cancelled ends its reading, and waits until the thread is idle."""
    try:
        return await asyncio.shield(hop)
    except asyncio.CancelledError:
        while not hop.done():
            sources.stop()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({hop})
        if not hop.cancelled():
            hop.exception()  # looked at, so that asyncio does not report it as never retrieved
        raise
