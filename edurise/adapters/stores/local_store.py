"""Objects in a folder of this machine, encrypted at rest if there are keys, behind the port ``FileStore``.

The disk is used in threads of its own. What is written is gathered to 1 MiB before it crosses over, so that a large
file costs as many hops as it has mebibytes. A hop that was begun is waited for, also by who is cancelled: nothing is
removed or closed while a thread works on it.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from edurise.adapters.stores.disk_threads import DiskThreads
from edurise.adapters.stores.sealed_blocks import BlocksBroken, EncryptionKey
from edurise.adapters.stores.store_files import STORE
from edurise.adapters.stores.store_folder import StoreFolder
from edurise.files.keys import checked
from edurise.files.ports import ObjectMissing, Part, Stored, StoreUnavailable, Unfinished
from edurise.ports import Clock

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
_log = logging.getLogger(__name__)

HOP_BYTES = 1_048_576
_REASONS = {
    errno.ENOSPC: "full",
    errno.EDQUOT: "full",
    errno.EFBIG: "full",
    errno.EACCES: "denied",
    errno.EPERM: "denied",
    errno.EROFS: "denied",
    errno.ELOOP: "link",
    errno.ENOTDIR: "folder_gone",
}


class LocalStore:
    """Keeps objects below ``root``. New ones are sealed with the first of ``keys``, older ones opened with any of them.

    What is plain stays readable where there are keys. Files belong to the account of the process alone. With a shared
    file system several machines may use one root, as far as it has flock, atomic renames and honest fsync.
    """

    name = "local"
    part_bytes = 8 * 2**20
    is_direct = False

    def __init__(self, root: Path, clock: Clock, keys: Sequence[EncryptionKey] = (), *, workers: int = 4) -> None:
        """Raises OSError for a root that cannot be made."""
        self._folder = StoreFolder(root, clock, keys)
        self._threads = DiskThreads(workers, "files")

    async def put(self, key: str, source: AsyncIterator[bytes]) -> int:
        draft = self._folder.draft(key)
        try:
            async with aclosing(gathered(source)) as batches:
                async for chunks in batches:
                    await self._hop(draft.write, chunks)
            await self._hop(self._folder.publish, draft, key)
        except BaseException:
            await self._given_up(draft.withdraw)
            raise
        return draft.size

    async def begin_parts(self, key: str) -> str:
        return await self._hop(self._folder.begin_parts, key)

    async def put_part(self, key: str, upload: str, number: int, source: AsyncIterator[bytes], size: int) -> Part:
        await self._hop(self._folder.see_upload, key, upload)
        draft = self._folder.part_draft(key, upload, number)
        try:
            async with aclosing(gathered(source)) as batches:
                async for chunks in batches:
                    await self._hop(draft.write, chunks)
                    if draft.size > size:
                        break
            if draft.size != size:
                raise StoreUnavailable(STORE, "size")
            return await self._hop(self._folder.publish_part, draft, key, upload, number)
        except BaseException:
            await self._given_up(draft.discard)
            raise

    async def parts(self, key: str, upload: str) -> Sequence[Part]:
        return await self._hop(self._folder.parts, key, upload)

    async def join_parts(self, key: str, upload: str, parts: Sequence[Part]) -> None:
        if not await self._hop(self._folder.joinable, key, upload, parts):
            return
        draft = self._folder.draft(key)
        try:
            for part in parts:
                await self._hop(self._folder.append_part, draft, key, upload, part)
            await self._hop(self._folder.publish_joined, draft, key, upload, parts)
        except ObjectMissing:
            await self._given_up(draft.discard)
            # Another call may have joined them meanwhile.
            if await self._hop(self._folder.joinable, key, upload, parts):
                raise
        except BaseException:
            await self._given_up(draft.discard)
            raise

    async def drop_parts(self, key: str, upload: str) -> None:
        await self._hop(self._folder.drop, key, upload)

    async def size(self, key: str) -> int:
        return await self._hop(self._folder.size, key)

    async def read(self, key: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        if start < 0 or (length is not None and length < 0):
            raise ValueError("a range begins at 0 or later and is not shorter than nothing")
        found = self._folder.object(key)
        try:
            size = await self._hop(found.open)
            end = size if length is None else start + length
            if length and end > size:
                raise StoreUnavailable(STORE, "truncated")
            while start < end:
                piece = await self._hop(found.read, start, min(HOP_BYTES, end - start))
                start += len(piece)
                yield piece
        finally:
            found.close()

    def path(self, key: str) -> Path | None:
        return self._folder.path(key)

    async def link(self, key: str, seconds: int, *, disposition: str, media_type: str) -> str:  # noqa: ARG002 - the port names them
        """Raises RuntimeError: whoever asks did not look at ``is_direct``."""
        raise RuntimeError(f"the local store has no link to {checked(key)}: is_direct is false")

    async def part_link(self, key: str, upload: str, number: int, size: int, seconds: int) -> str:  # noqa: ARG002 - the port names them
        """Raises RuntimeError: whoever asks did not look at ``is_direct``."""
        raise RuntimeError(f"the local store has no link to a part of {checked(key)}: is_direct is false")

    async def delete(self, keys: Sequence[str]) -> None:
        await self._hop(self._folder.delete, [checked(key) for key in keys])

    async def listing(self) -> AsyncIterator[Stored]:
        for shelf in await self._hop(self._folder.shelves):
            for stored in await self._hop(self._folder.shelf, shelf):
                yield stored

    async def unfinished(self) -> AsyncIterator[Unfinished]:
        """Also what is being put, and what a crash left of that: ``drop_parts`` removes it."""
        for upload in await self._hop(self._folder.unfinished):
            yield upload

    async def check(self) -> None:
        await self._hop(self._folder.check)

    async def close(self) -> None:
        await self._threads.close()

    async def _given_up(self, remove: Callable[[], None]) -> None:
        try:
            await self._hop(remove)
        except StoreUnavailable as failed:
            # The error that led here is the one to tell; what stays behind is among the unfinished.
            _log.warning("%s: a file that was given up could not be removed", failed)

    async def _hop(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        """The result of ``work`` in a thread. Raises StoreUnavailable for what the disk or the seal refuses."""
        try:
            return await self._threads.hop(work, *args)
        except OSError as refused:
            number = refused.errno or 0
            raise StoreUnavailable(STORE, _REASONS.get(number, errno.errorcode.get(number, "failed"))) from refused
        except BlocksBroken as broken:
            raise StoreUnavailable(STORE, broken.reason) from None


async def gathered(source: AsyncIterator[bytes]) -> AsyncGenerator[list[bytes]]:
    """What ``source`` yields, several chunks at a time: at least 1 MiB together, but at the end."""
    chunks: list[bytes] = []
    held = 0
    async for chunk in source:
        chunks.append(chunk)
        held += len(chunk)
        if held >= HOP_BYTES:
            yield chunks
            chunks, held = [], 0
    if held:
        yield chunks
