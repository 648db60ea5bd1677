"""Uploads from the client to the store itself, in parts, by links that open each for one part of one size.

The server sees no byte of them. What has come is asked of the store and never believed of the client; what it is, is
read off the object before the file is inspected as any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy.orm import Session

from edurise.authz import About, Principal
from edurise.errors import Conflict, Invalid, Oversize, Upstream
from edurise.files import holding, queries, uploads
from edurise.files.flows import arriving
from edurise.files.keeping import Keeping
from edurise.files.links import Links
from edurise.files.permissions import Files
from edurise.files.ports import FileStore, ObjectMissing, Part, StoreUnavailable

if TYPE_CHECKING:
    from edurise.container import Container

LINK_S = 3600
LINKS_AT_ONCE = 100
MOST_PARTS = 10_000


async def begin(c: Container, who: Principal, data: Mapping[str, Any]) -> dict[str, Any]:
    """Begin an upload to the store; returns it with links for its first parts.

    ``data``: ``filename``, ``size`` and the fields of the form. Raises as ``uploads.begin``, Conflict
    (DIRECT_UPLOAD_UNAVAILABLE) where the store takes nothing from clients, Oversize for more than ``MOST_PARTS`` parts.
    """
    fields = {name: value for name, value in data.items() if name not in ("filename", "size")}
    owner, about = arriving.aimed(who, data)
    store = await c.db.run(owner, _store_name, c.keeping, about=about)
    _check(c.stores[store], data["size"])
    begun = await c.db.run(
        owner, uploads.begin, "direct", data["filename"], data["size"], fields, c.keeping, about=about
    )
    await _begun(c, who, begun["id"], begun["key"], c.stores[begun["store"]])
    return await status(c, who, begun["id"], 1)


async def status(c: Container, who: Principal, upload_id: UUID, first: int) -> dict[str, Any]:
    """Which parts the store has, and links for those from number ``first`` on that it lacks.

    Raises NotFound (UPLOAD_GONE) and Upstream (STORE_UNAVAILABLE).
    """
    found = await arriving.of_upload(c, who, upload_id, holding.open_upload, "direct")
    store = c.stores[found["store"]]
    if found["state"] == "done":
        return _told(c, found, store.part_bytes, [], [])
    try:
        if found["store_upload"] is None:  # who began it died before it could be written down
            found["store_upload"] = await _begun(c, who, upload_id, found["key"], store)
        stored = await store.parts(found["key"], found["store_upload"])
        missing = _missing(found["size_bytes"], store.part_bytes, stored, first)
        links = [
            {
                "number": number,
                "size": size,
                "url": await store.part_link(found["key"], found["store_upload"], number, size, LINK_S),
            }
            for number, size in missing[:LINKS_AT_ONCE]
        ]
    except (StoreUnavailable, ObjectMissing) as failed:
        raise Upstream("STORE_UNAVAILABLE") from failed
    return _told(c, found, store.part_bytes, stored, links)


async def complete(c: Container, who: Principal, upload_id: UUID, links: Links) -> dict[str, Any]:
    """Make one object of the parts and hand the file over to its inspection; returns the file. Can be repeated.

    Raises NotFound (UPLOAD_GONE), Conflict (UPLOAD_INCOMPLETE) as long as a part is missing, Invalid
    (FILE_TYPE_MISMATCH), after which nothing is left, and Upstream (STORE_UNAVAILABLE).
    """
    found = await arriving.of_upload(c, who, upload_id, holding.open_upload, "direct")
    if found["state"] == "open":
        await _join(c, who, found)
    shown: dict[str, Any] = await c.db.run(
        who.needing(Files.OPEN), queries.file, found["file_id"], links, about=About("file", found["file_id"])
    )
    return shown


async def _join(c: Container, who: Principal, found: Mapping[str, Any]) -> None:
    store, key, size = c.stores[found["store"]], found["key"], found["size_bytes"]
    name = (await arriving.of_upload(c, who, found["id"], uploads.named))["name"]
    try:
        parts = await _parts(store, found)
        if parts is not None:
            if sum(part.size for part in parts) != size or _missing(size, store.part_bytes, parts, 1):
                raise Conflict("UPLOAD_INCOMPLETE", offset=sum(part.size for part in parts), size=size)
            await store.join_parts(key, found["store_upload"], parts)
        if await store.size(key) != size:
            raise Upstream("STORE_UNAVAILABLE")
        media_type = await arriving.looked_at(c, store, key, size, name)
    except (StoreUnavailable, ObjectMissing) as failed:
        raise Upstream("STORE_UNAVAILABLE") from failed
    except Invalid:
        await arriving.give_up(c, who, found["id"])
        raise
    await arriving.of_upload(c, who, found["id"], uploads.finish, media_type, c.keeping)


async def _parts(store: FileStore, found: Mapping[str, Any]) -> Sequence[Part] | None:
    """The parts that the store has; None where they were joined by a request that died after it."""
    if found["store_upload"] is None:
        return []
    try:
        return await store.parts(found["key"], found["store_upload"])
    except ObjectMissing:
        return None


async def _begun(c: Container, who: Principal, upload_id: UUID, key: str, store: FileStore) -> str:
    try:
        name = await store.begin_parts(key)
    except StoreUnavailable as failed:
        raise Upstream("STORE_UNAVAILABLE") from failed
    await arriving.of_upload(c, who, upload_id, holding.begun_parts, name)
    return name


def _store_name(session: Session, who: Principal, keeping: Keeping) -> str:
    return keeping.store_for(session, who)


def _check(store: FileStore, size: int) -> None:
    if not store.is_direct:
        raise Conflict("DIRECT_UPLOAD_UNAVAILABLE")
    if size > store.part_bytes * MOST_PARTS:
        raise Oversize("FILE_TOO_LARGE", max=store.part_bytes * MOST_PARTS, max_mb=store.part_bytes * MOST_PARTS >> 20)


def _missing(size: int, part_bytes: int, stored: Sequence[Part], first: int) -> list[tuple[int, int]]:
    """Numbers and sizes of the parts that are not there, or there in another size."""
    have = {part.number: part.size for part in stored}
    wanted = [(number, min(part_bytes, size - at)) for number, at in enumerate(range(0, size, part_bytes), 1)]
    return [(number, length) for number, length in wanted if number >= first and have.get(number) != length]


def _told(
    c: Container, found: Mapping[str, Any], part_bytes: int, stored: Sequence[Part], links: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "upload_id": found["id"],
        "file_id": found["file_id"],
        "size": found["size_bytes"],
        "part_size": part_bytes,
        "part_count": -(-found["size_bytes"] // part_bytes),
        "stored": [{"number": part.number, "size": part.size} for part in stored],
        "parts": links,
        "expires_at": found["expires_at"],
        "links_expire_at": c.clock.now() + timedelta(seconds=LINK_S),
    }
