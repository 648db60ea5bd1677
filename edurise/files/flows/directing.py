"""Uploads from the client to the store itself, in parts, by links that open each for one part of one size.

The server sees no byte of them. What has come is asked of the store and never believed of the client; what it is, is
read off the object before the file is inspected as any other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy.orm import Session

from edurise.authz import About, Principal
from edurise.errors import Conflict, Invalid, Oversize, Problem, Upstream
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


async def begin(c: Container, who: Principal, data: Mapping[str, Any], links: Links) -> dict[str, Any]:
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
    try:
        return await status(c, who, begun["id"], 1, links)
    except BaseException:
        with contextlib.suppress(Upstream):  # a sweep drops what the store holds; the first error is the one to tell
            await arriving.give_up(c, who, begun["id"])
        raise


async def status(c: Container, who: Principal, upload_id: UUID, first: int, links: Links) -> dict[str, Any]:
    """Which parts the store has, and links for those from number ``first`` on that it lacks.

    Raises NotFound (UPLOAD_GONE) and Upstream (STORE_UNAVAILABLE).
    """
    found = await arriving.of_upload(c, who, upload_id, holding.open_upload, "direct")
    store, size = c.stores[found["store"]], found["size_bytes"]
    try:
        stored = await _parts(store, found) if found["state"] == "open" else None
        if stored is None and found["state"] == "open" and not await _is_whole(store, found):
            # Who began it died before it could be written down, or the store forgot it: all parts are to come.
            found["store_upload"], stored = await _begun(c, who, found, store), []
        missing = [] if stored is None else _missing(size, store.part_bytes, stored, first)
        parts = [
            {
                "number": number,
                "size": length,
                "url": await store.part_link(found["key"], found["store_upload"], number, length, LINK_S),
            }
            for number, length in missing[:LINKS_AT_ONCE]
        ]
    except (StoreUnavailable, ObjectMissing) as failed:
        raise Upstream("STORE_UNAVAILABLE") from failed
    return {
        "upload_id": found["id"],
        "file": await _shown(c, who, found["file_id"], links),
        "size": size,
        "part_size": store.part_bytes,
        "part_count": -(-size // store.part_bytes),
        "stored": [{"number": part.number, "size": part.size} for part in stored or []],
        "parts": parts,
        "expires_at": found["expires_at"],
        "url_expires_at": c.clock.now() + timedelta(seconds=LINK_S),
    }


async def complete(c: Container, who: Principal, upload_id: UUID, links: Links) -> dict[str, Any]:
    """Make one object of the parts and hand the file over to its inspection; returns the file. Can be repeated.

    Raises NotFound (UPLOAD_GONE), Conflict (UPLOAD_INCOMPLETE) as long as a part is missing, Invalid
    (FILE_TYPE_MISMATCH), after which nothing is left, and Upstream (STORE_UNAVAILABLE).
    """
    found = await arriving.of_upload(c, who, upload_id, holding.open_upload, "direct")
    if found["state"] == "open":
        await _join(c, who, found)
    return await _shown(c, who, found["file_id"], links)


async def _join(c: Container, who: Principal, found: Mapping[str, Any]) -> None:
    store, key, size = c.stores[found["store"]], found["key"], found["size_bytes"]
    name = (await arriving.of_upload(c, who, found["id"], uploads.named))["name"]
    try:
        parts = await _parts(store, found)
        if parts is not None or not await _is_whole(store, found):
            _check_complete(size, store.part_bytes, parts or [])
            await store.join_parts(key, found["store_upload"], parts or [])
        media_type = await arriving.looked_at(c, store, key, size, name)
    except (StoreUnavailable, ObjectMissing) as failed:
        raise Upstream("STORE_UNAVAILABLE") from failed
    except Invalid:
        await arriving.give_up(c, who, found["id"])
        raise
    await arriving.of_upload(c, who, found["id"], uploads.finish, media_type, c.keeping)


async def _parts(store: FileStore, found: Mapping[str, Any]) -> Sequence[Part] | None:
    """The parts that the store has; None where it knows no such upload: not yet, or not any more."""
    if found["store_upload"] is None:
        return None
    try:
        return await store.parts(found["key"], found["store_upload"])
    except ObjectMissing:
        return None


async def _is_whole(store: FileStore, found: Mapping[str, Any]) -> bool:
    """Whether the parts were joined, by a request that died after it."""
    if found["store_upload"] is None:
        return False
    try:
        return bool(await store.size(found["key"]) == found["size_bytes"])
    except ObjectMissing:
        return False


async def _begun(c: Container, who: Principal, found: Mapping[str, Any], store: FileStore) -> str:
    name = await store.begin_parts(found["key"])
    args = (holding.begun_parts, name, found["store_upload"])
    used: str = await arriving.of_upload(c, who, found["id"], *args)
    return used


async def _shown(c: Container, who: Principal, file_id: UUID, links: Links) -> dict[str, Any]:
    asker, about = who.needing(Files.OPEN), About("file", file_id)
    shown: dict[str, Any] = await c.db.run(asker, queries.file, file_id, links, about=about)
    return shown


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


def _check_complete(size: int, part_bytes: int, stored: Sequence[Part]) -> None:
    missing = [str(number) for number, _ in _missing(size, part_bytes, stored, 1)]
    if missing or sum(part.size for part in stored) != size:
        told = {"parts": [Problem("missing_parts", {"numbers": missing[:LINKS_AT_ONCE]})]} if missing else {}
        raise Conflict("UPLOAD_INCOMPLETE", errors=told)
