"""Uploads that go on where they were interrupted (tus 1.0.0, https://tus.io/protocols/resumable-upload).

What was acknowledged is safe: full parts are in the store and recorded, and what is less than a part is kept as an
object of its own, the tail, which the next request reads back and goes on from. One request writes at a time.

A writer that was overtaken may come to life again and store something. It cannot record it, and never hits the tail of
another. A part that it replaces is found out by its tag when the parts are joined: then, as where the store itself lost
something, the upload goes back to what is there, and the client sends the rest once more.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import itertools
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any, NoReturn, TypeVar, TypeVarTuple
from uuid import UUID

import structlog
from uuid_utils.compat import uuid7

from edurise.authz import Principal
from edurise.errors import ChecksumMismatch, Conflict, DomainError, Invalid, NotFound, Upstream
from edurise.files import holding, keys, uploads
from edurise.files.flows import arriving
from edurise.files.ports import FileStore, ObjectMissing, Part, StoreUnavailable

if TYPE_CHECKING:
    from edurise.container import Container

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

LOG = structlog.get_logger("files")

RENEW_S = holding.HELD_S / 3
_FLUSH_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Checksum:
    """What the bytes of one request must come to; ``algorithm`` is one of ``ALGORITHMS``."""

    algorithm: str
    digest: bytes


ALGORITHMS = ("sha1", "sha256", "md5")


@dataclass(frozen=True)
class Progress:
    """How far an upload has come, and what its client said of it."""

    id: UUID
    offset: int
    size: int
    expires_at: datetime
    described_as: str


async def create(
    c: Container,
    who: Principal,
    name: str,
    size: int,
    data: Mapping[str, Any],
    source: AsyncIterator[bytes] | None = None,
    checksum: Checksum | None = None,
    described_as: str = "",
) -> Progress:
    """Begin an upload of ``size`` bytes, of which ``source`` may bring the first; its file is ``uploading`` meanwhile.

    Whatever fails, nothing is left, for nobody was told where to go on. Raises as ``uploads.begin`` and ``append``.
    """
    owner, about = arriving.aimed(who, data)
    begun = await c.db.run(owner, uploads.begin, "tus", name, size, data, c.keeping, described_as, about=about)
    if source is None and size > 0:
        return _progress({**begun, "offset_bytes": 0})
    try:
        return await append(c, who, begun["id"], 0, source or _nothing(), checksum)
    except BaseException:
        with contextlib.suppress(Upstream):  # a sweep drops its parts; the first error is the one to tell
            await arriving.give_up(c, who, begun["id"])
        raise


async def progress(c: Container, who: Principal, upload_id: UUID) -> Progress:
    """How far an upload has come. Raises NotFound (UPLOAD_GONE)."""
    return _progress(await arriving.of_upload(c, who, upload_id, holding.open_upload, "tus"))


async def append(
    c: Container,
    who: Principal,
    upload_id: UUID,
    offset: int,
    source: AsyncIterator[bytes],
    checksum: Checksum | None = None,
) -> Progress:
    """Add what ``source`` yields at ``offset``; with the last byte the file is on its way to its inspection.

    A source that breaks off leaves what it had yielded, unless there is a checksum, and its error is passed on. Raises
    NotFound (UPLOAD_GONE), Conflict (UPLOAD_BUSY, UPLOAD_OFFSET_MISMATCH), Invalid (BAD_REQUEST for more bytes than
    were announced, FILE_TYPE_MISMATCH), ChecksumMismatch and Upstream (STORE_UNAVAILABLE).
    """
    holder = uuid7()
    found = await arriving.of_upload(c, who, upload_id, holding.hold, holder)
    come: int = found["offset_bytes"]
    try:
        if offset != come:
            raise Conflict("UPLOAD_OFFSET_MISMATCH", offset=come)
        async with _Appending(c, who, found, holder) as appending:
            await appending.take(source, checksum)
            come = appending.offset
    except StoreUnavailable as failed:
        raise Upstream("STORE_UNAVAILABLE") from failed
    finally:
        await arriving.of_upload(c, who, upload_id, holding.let_go, holder)
    if come == found["size_bytes"]:
        await complete(c, who, upload_id)
    return _progress({**found, "offset_bytes": come})


async def complete(c: Container, who: Principal, upload_id: UUID) -> None:
    """Make one object of what has come and hand the file over to its inspection; can be repeated at every step.

    Raises Invalid (FILE_TYPE_MISMATCH), after which nothing is left, Conflict (UPLOAD_OFFSET_MISMATCH) where the store
    lost some of it, and Upstream (STORE_UNAVAILABLE).
    """
    found = await arriving.of_upload(c, who, upload_id, uploads.whole)
    if found["state"] != "open":
        return
    store, key = c.stores[found["store"]], uploads.object_key(found)
    try:
        if found["size_bytes"] == 0:
            await store.put(key, _nothing())
        elif found["parts"]:
            await _join(c, who, found)
        elif await _stored_bytes(store, key) != found["size_bytes"]:
            await _rewind(c, who, found, None, [])
        media_type = await arriving.looked_at(c, store, key, found["size_bytes"], found["name"])
    except StoreUnavailable as failed:
        raise Upstream("STORE_UNAVAILABLE") from failed
    except Invalid:
        await arriving.give_up(c, who, upload_id)
        raise
    await arriving.of_upload(c, who, upload_id, uploads.finish, media_type, c.keeping)


async def _join(c: Container, who: Principal, found: Mapping[str, Any]) -> None:
    store, key, recorded = c.stores[found["store"]], found["key"], found["parts"]
    try:
        await store.join_parts(key, found["store_upload"], recorded)
    except ObjectMissing:
        if await _stored_bytes(store, key) == found["size_bytes"]:
            return  # another request joined them meanwhile
        try:
            there = set(await store.parts(key, found["store_upload"]))
        except ObjectMissing:
            there = set()
        await _rewind(c, who, found, None, list(itertools.takewhile(there.__contains__, recorded)))


async def _rewind(
    c: Container, who: Principal, found: Mapping[str, Any], holder: UUID | None, kept: Sequence[Part]
) -> NoReturn:
    """Let the client send again what the store does not have any more: raises Conflict (UPLOAD_OFFSET_MISMATCH)."""
    offset = await arriving.of_upload(c, who, found["id"], holding.rewind, holder, kept)
    LOG.error("bytes of an upload are gone", upload_id=str(found["id"]), store=found["store"], offset=offset)
    raise Conflict("UPLOAD_OFFSET_MISMATCH", offset=offset)


async def _stored_bytes(store: FileStore, key: str) -> int | None:
    try:
        return await store.size(key)
    except ObjectMissing:
        return None


class _Appending:
    """One request that writes: it gathers a part at a time on the disk, and says that it lives."""

    def __init__(self, c: Container, who: Principal, found: Mapping[str, Any], holder: UUID) -> None:
        self._c, self._who, self._found, self._holder = c, who, found, holder
        self._store: FileStore = c.stores[found["store"]]
        self._parts: list[Part] = list(found["parts"])
        self._store_upload: str | None = found["store_upload"]
        self._added: list[Part] = []
        self._lost: DomainError | None = None
        self._size: int = found["size_bytes"]
        self.offset: int = found["offset_bytes"]

    async def __aenter__(self) -> _Appending:
        self._spool = _Spool(await _on_disk(_nameless))
        self._renewing = asyncio.create_task(self._renew())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._renewing.cancel()
        await asyncio.gather(self._renewing, return_exceptions=True)
        await self._spool.close()

    async def take(self, source: AsyncIterator[bytes], checksum: Checksum | None) -> None:
        """Everything that ``append`` promises but the end."""
        broken: Exception | None = None
        await self._read_tail()
        digest = hashlib.new(checksum.algorithm, usedforsecurity=False) if checksum else None
        chunks = aiter(source)
        while True:
            try:
                chunk = await anext(chunks, b"")
            except Exception as error:  # noqa: BLE001 - of the source; it is raised below, when what came is safe
                broken = error
                break
            if not chunk:
                break
            if digest is not None:
                digest.update(chunk)
            await self._gather(chunk, record=checksum is None)
        if checksum is not None and digest is not None and (broken or digest.digest() != checksum.digest):
            raise broken or ChecksumMismatch
        if self.offset > self._found["offset_bytes"]:
            await self._rest()
        if broken is not None:
            raise broken

    async def _read_tail(self) -> None:
        """Begin with what filled no part until now; what all bytes are in stays as it is."""
        if self._found["tail_key"] is None or self.offset == self._size:
            return
        try:
            async for chunk in self._store.read(self._found["tail_key"]):
                await self._spool.add(chunk)
        except ObjectMissing:
            await _rewind(self._c, self._who, self._found, self._holder, self._parts)
        if self._spool.size != self._found["tail_bytes"]:
            raise StoreUnavailable(self._store.name, "size")

    async def _gather(self, chunk: bytes, *, record: bool) -> None:
        if self.offset + len(chunk) > self._size:
            raise Invalid("BAD_REQUEST", reason="body_too_long")
        view = memoryview(chunk)
        while view:
            room = self._store.part_bytes - self._spool.size
            await self._spool.add(bytes(view[:room]))
            self.offset += len(view[:room])
            view = view[room:]
            if self._spool.size == self._store.part_bytes:
                await self._store_part()
                if record:
                    await self._advance(None)

    async def _rest(self) -> None:
        """What fills no part: after other parts and with the last byte it is the last part; else it is kept as a
        tail."""
        tail: tuple[str, int] | None = None
        if self._spool.size and self.offset == self._size and self._parts:
            await self._store_part()
        elif self._spool.size:
            self._see_hold()
            tail = (keys.of(self._found["id"], f"tail-{self._found['tails']}"), self._spool.size)
            await self._store.put(tail[0], self._spool.chunks())
        await self._advance(tail)

    async def _store_part(self) -> None:
        upload, size = await self._begun(), self._spool.size
        self._see_hold()
        try:
            part = await self._store.put_part(
                self._found["key"], upload, len(self._parts) + 1, self._spool.chunks(), size
            )
        except ObjectMissing:
            await _rewind(self._c, self._who, self._found, self._holder, [])
        self._parts.append(part)
        self._added.append(part)
        await self._spool.empty()

    async def _begun(self) -> str:
        if self._store_upload is None:
            name = await self._store.begin_parts(self._found["key"])
            self._store_upload = await self._hop(holding.begun_parts, name)
        return str(self._store_upload)

    async def _advance(self, tail: tuple[str, int] | None) -> None:
        added, self._added = self._added, []
        await self._hop(holding.advance, self._holder, self.offset, added, tail)

    def _see_hold(self) -> None:
        """Who was overtaken stores nothing more."""
        if self._lost is not None:
            raise self._lost

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            try:
                await self._hop(holding.hold, self._holder)
            except (Conflict, NotFound) as lost:
                self._lost = lost
                return
            except Exception:
                LOG.exception("an upload could not be held on to", upload_id=str(self._found["id"]))  # tried again

    async def _hop(self, fn: Callable[..., Any], *args: Any) -> Any:
        return await arriving.of_upload(self._c, self._who, self._found["id"], fn, *args)


class _Spool:
    """Bytes of one part on the disk of this machine, without a name."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._held: list[bytes] = []
        self._held_bytes = 0
        self.size = 0

    async def add(self, chunk: bytes) -> None:
        self._held.append(chunk)
        self._held_bytes += len(chunk)
        self.size += len(chunk)
        if self._held_bytes >= _FLUSH_BYTES:
            await _on_disk(self._flush)

    async def chunks(self) -> AsyncIterator[bytes]:
        """All of them, from the first; can be read again."""
        await _on_disk(self._flush)
        for at in range(0, self.size, _FLUSH_BYTES):
            yield await _on_disk(self._read, at)

    async def empty(self) -> None:
        self._held, self._held_bytes, self.size = [], 0, 0
        await _on_disk(self._file.truncate, 0)
        self._file.seek(0)

    async def close(self) -> None:
        await _on_disk(self._file.close)

    def _flush(self) -> None:
        held, self._held, self._held_bytes = self._held, [], 0
        self._file.seek(0, 2)
        self._file.write(b"".join(held))

    def _read(self, at: int) -> bytes:
        self._file.seek(at)
        return self._file.read(_FLUSH_BYTES)


def _nameless() -> IO[bytes]:
    return tempfile.TemporaryFile(prefix="edurise-")


async def _on_disk(work: Callable[[*Ts], T], *args: *Ts) -> T:
    """The result of ``work`` in a thread. Raises StoreUnavailable for what the disk of this machine refuses."""
    try:
        return await asyncio.to_thread(work, *args)
    except OSError as refused:
        raise StoreUnavailable("spool", errno.errorcode.get(refused.errno or 0, "failed")) from refused


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


def _progress(found: Mapping[str, Any]) -> Progress:
    return Progress(found["id"], found["offset_bytes"], found["size_bytes"], found["expires_at"], found["described_as"])
