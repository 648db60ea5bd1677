"""What takes both a store and the database: bytes that arrive through a form, and what becomes of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from edurise.authz import About, Principal
from edurise.errors import Upstream
from edurise.files import naming, uploads
from edurise.files.keeping import agreed_type
from edurise.files.links import Links
from edurise.files.permissions import Files
from edurise.files.ports import FileStore, ObjectMissing, StoreUnavailable

if TYPE_CHECKING:
    from edurise.container import Container

HEAD_BYTES = 65_536
TAIL_BYTES = 4096


class ArrivingFile(Protocol):
    """The file of a form: the client's name for it, and its bytes, to be read once."""

    @property
    def name(self) -> str: ...

    @property
    def chunks(self) -> AsyncIterator[bytes]: ...


class ArrivingForm(Protocol):
    """A form as it comes: its file, and after that was read its other fields."""

    async def file(self) -> ArrivingFile: ...

    async def fields(self) -> dict[str, str]: ...


async def receive(
    c: Container,
    who: Principal,
    form: ArrivingForm,
    length: int,
    read_fields: Callable[[dict[str, str]], Mapping[str, Any]],
    key: str | None,
    links: Links,
) -> tuple[bool, dict[str, Any]]:
    """Store the file of a form whose body has ``length`` bytes, in constant memory; returns (is it new, the file).

    ``read_fields`` makes of the other fields what ``uploads.finish_form`` takes. Whatever fails, nothing is left: no
    bytes, no row, no reservation. Raises what ``uploads.begin_form`` and ``finish_form`` do, Invalid
    (FILE_TYPE_MISMATCH) and Upstream (STORE_UNAVAILABLE).
    """
    begun = await c.db.run(who, uploads.begin_form, length, c.keeping)
    store = c.stores[begun["store"]]
    try:
        file = await form.file()
        size = await put(store, begun["key"], file.chunks)
        data = read_fields(await form.fields())
        arrived = {"name": file.name, "size": size, "idempotency_key": key}
        arrived["found"] = await detected(c, store, begun["key"], size)
        owner, about = aimed(who, data)
        args = (begun["id"], arrived, data, c.keeping, links)
        made: tuple[bool, dict[str, Any]] = await c.db.run(owner, uploads.finish_form, *args, about=about)
    except BaseException:
        await of_upload(c, who, begun["id"], uploads.drop, c.keeping)  # the bytes go by the event that it records
        raise
    if about is not None:  # the course's organization may be another than the one that the upload began in
        await of_upload(c, who, begun["id"], uploads.release_form, c.keeping)
    return made


async def put(store: FileStore, key: str, source: AsyncIterator[bytes]) -> int:
    """``FileStore.put``; raises Upstream (STORE_UNAVAILABLE) where the store fails."""
    try:
        return await store.put(key, source)
    except StoreUnavailable as failed:
        raise Upstream("STORE_UNAVAILABLE") from failed


async def looked_at(c: Container, store: FileStore, key: str, size: int, name: str) -> str:
    """The media type of stored bytes, if they are what their name says.

    Raises Invalid (FILE_TYPE_MISMATCH) if they are something else, and Upstream (STORE_UNAVAILABLE).
    """
    return agreed_type(naming.extension_of(naming.sanitize(name)), await detected(c, store, key, size))


async def detected(c: Container, store: FileStore, key: str, size: int) -> str:
    """What stored bytes look like. Raises Upstream (STORE_UNAVAILABLE)."""
    try:
        head = await gathered(store.read(key, 0, min(size, HEAD_BYTES)))
        tail = await gathered(store.read(key, max(0, size - TAIL_BYTES), min(size, TAIL_BYTES)))
    except (StoreUnavailable, ObjectMissing) as failed:
        raise Upstream("STORE_UNAVAILABLE") from failed
    return c.detector.media_type(head, tail)


async def gathered(source: AsyncIterator[bytes]) -> bytes:
    """All bytes of a short source."""
    return b"".join([chunk async for chunk in source])


def aimed(who: Principal, data: Mapping[str, Any]) -> tuple[Principal, About | None]:
    """Who uploads, and what the hop is about: the course that ``data`` names, whose organization it then is."""
    course_id: UUID | None = data.get("course_id")
    if course_id is None:
        return who, None
    return who.needing(Files.UPLOAD_TO_COURSE), About("course", course_id)


async def of_upload(c: Container, who: Principal, upload_id: UUID, fn: Callable[..., Any], *args: Any) -> Any:
    """A hop about an upload, as the person whose it is or as an actor in their place."""
    asker = who if who.service else who.needing(Files.UPLOAD)
    return await c.db.run(asker, fn, upload_id, *args, about=About("upload", upload_id))


async def give_up(c: Container, who: Principal, upload_id: UUID) -> None:
    """End an upload and drop its parts; a repeat changes nothing.

    Raises Upstream (STORE_UNAVAILABLE), after which a sweep goes on.
    """
    found = await of_upload(c, who, upload_id, uploads.drop, c.keeping)
    if found["store_upload"] is not None and found["state"] == "open":
        try:
            await c.stores[found["store"]].drop_parts(found["key"], found["store_upload"])
        except StoreUnavailable as failed:
            raise Upstream("STORE_UNAVAILABLE") from failed
