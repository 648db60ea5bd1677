"""How the bytes of a file get to whoever may open it: from here, by the web server before us, or from the store."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from edurise.authz import About, Principal
from edurise.errors import NotFound, Unauthenticated, Upstream
from edurise.files import naming, opening
from edurise.files.opening import Opened, Wish
from edurise.files.permissions import Files
from edurise.files.ports import Disposition, FileStore, StoreUnavailable
from edurise.files.ranges import Asked, Plan

if TYPE_CHECKING:
    from edurise.container import Container

STORE_LINK_S = 60
"""How long a URL of the store opens; nothing can take it back."""

Reach = Literal["caller", "link", "public"]
"""How somebody came: as who they are, by a signed link, or as anybody."""


@dataclass(frozen=True)
class Sending:
    """What is sent, and how.

    ``way``: ``nothing`` (headers alone), ``disk`` (the plain file ``path``), ``store`` (what the store reads),
    ``accel`` (the web server sends what it has at ``location``) or ``redirect`` (to ``location``).
    """

    file: Opened
    plan: Plan
    reach: Reach
    way: Literal["nothing", "disk", "store", "accel", "redirect"]
    location: str = ""
    path: Path | None = None


async def download(c: Container, who: Principal, file_id: UUID, disposition: Disposition, asked: Asked) -> Sending:
    """A file for the caller, always from this server: a browser's fetch may carry headers to no other.

    Raises as ``opening.open_file``, PreconditionFailed, RangeNotSatisfiable and Upstream (STORE_UNAVAILABLE).
    """
    return await _sending(c, who, file_id, Wish(disposition), asked, "caller")


async def by_link(c: Container, who: Principal, token: str, asked: Asked) -> Sending:
    """What a signed link opens, as the person that it was made for. Raises as ``download``, and NotFound."""
    link = c.link_signer.read(token, c.clock.now())
    person = Principal(user_id=link.person_id, needs=Files.OPEN, ip=who.ip)
    try:
        return await _sending(c, person, link.file_id, Wish(link.variant, version=link.version), asked, "link")
    except Unauthenticated:
        raise NotFound("LINK_REVOKED") from None  # the account is switched off; whoever asks has no password to type


async def published(
    c: Container, who: Principal, file_id: UUID, content: str, variant: Literal["inline", "thumbnail"], asked: Asked
) -> Sending:
    """A public file by the path that names its content. Raises as ``download``."""
    anybody = who.needing(Files.OPEN_PUBLIC)
    return await _sending(c, anybody, file_id, Wish(variant, content=content), asked, "public")


async def _sending(c: Container, who: Principal, file_id: UUID, wish: Wish, asked: Asked, reach: Reach) -> Sending:
    wish = Wish(wish.variant, wish.version, wish.content, lambda found: _planned(found, asked).holds_first)
    args = (file_id, wish, c.keeping.quotas)
    file: Opened = await c.db.run(who, opening.open_file, *args, about=About("file", file_id))
    plan = _planned(file, asked)
    if not plan.has_body:
        return Sending(file, plan, reach, "nothing")
    store = store_of(c, file.store)
    if reach == "link" and store.is_direct:
        return Sending(file, plan, reach, "redirect", await _link(store, file))
    path = await asyncio.to_thread(store.path, file.key)  # asks the disk
    if path is None:
        return Sending(file, plan, reach, "store")
    if c.settings.accel_location and not asked.is_strict:
        return Sending(file, plan, reach, "accel", c.settings.accel_location + file.key)
    return Sending(file, plan, reach, "disk", path=path)


def store_of(c: Container, name: str) -> FileStore:
    """The store of a file. Raises Upstream (STORE_UNAVAILABLE) for one that this installation no longer has."""
    found = c.stores.get(name)
    if found is None:
        raise Upstream("STORE_UNAVAILABLE")
    return found


def _planned(file: Opened, asked: Asked) -> Plan:
    return asked.plan(file.etag, file.size, file.modified_at)


async def _link(store: FileStore, file: Opened) -> str:
    told = naming.disposition(file.disposition, file.name)
    try:
        return await store.link(file.key, STORE_LINK_S, disposition=told, media_type=content_type(file.media_type))
    except StoreUnavailable as failed:
        raise Upstream("STORE_UNAVAILABLE") from failed


def content_type(media_type: str) -> str:
    """A media type as a header says it: text is UTF-8."""
    return f"{media_type}; charset=utf-8" if media_type.startswith("text/") else media_type
