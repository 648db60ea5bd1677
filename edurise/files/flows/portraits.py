"""Keeping a picture that shows somebody: it is inspected at once, so that the answer already leads to it."""

from __future__ import annotations

import base64
from binascii import Error as Base64Error
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from edurise.authz import Principal, actor_principal
from edurise.errors import DomainError, Invalid, Problem, Upstream
from edurise.files import inspections, portraits
from edurise.files.flows import arriving, inspecting
from edurise.files.links import Links
from edurise.files.ports import ScannerUnavailable, StoreUnavailable
from edurise.identity import liveness
from edurise.tenants import organizations

if TYPE_CHECKING:
    from edurise.container import Container

LOGO_BYTES = 512 * 1024
_EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif"}


@dataclass(frozen=True)
class _Picture:
    """Bytes at hand, as a form brings them."""

    name: str
    content: bytes

    @property
    def chunks(self) -> AsyncIterator[bytes]:
        return self._chunks()

    async def file(self) -> _Picture:
        return self

    async def fields(self) -> dict[str, str]:
        return {}

    async def _chunks(self) -> AsyncIterator[bytes]:
        yield self.content


async def show_avatar(
    c: Container, who: Principal, form: arriving.ArrivingForm, length: int, links: Links
) -> dict[str, Any]:
    """Keep the picture of a form as the caller's own; returns as ``portraits.show_avatar``.

    Raises what ``arriving.receive`` does, and Upstream (UPSTREAM_UNAVAILABLE) while nothing can be inspected.
    """
    shown = await _kept(c, who, form, length, portraits.AVATARS, links)
    told: dict[str, Any] = await c.db.run(who, portraits.show_avatar, shown, c.keeping)
    return told


async def furnish(c: Container, who: Principal, data: Mapping[str, Any], links: Links) -> dict[str, Any]:
    """Change the acting organization; ``logo`` is a ``data:`` URL, the address that is shown, None for no logo, or left
    out. Returns it.

    Raises as ``organizations.furnish``, ``show_avatar``, and Invalid for what is no picture of at most LOGO_BYTES.
    """
    before: Mapping[str, Any] = await c.db.run(who, organizations.current)
    rest = {name: value for name, value in data.items() if name != "logo"}
    logo = data.get("logo", before["logo"])
    if logo == before["logo"]:
        return await _furnished(c, who, rest)
    if logo is None:
        return await _furnished(c, who, rest | {"logo": None})
    picture = _decoded(logo)
    shown = await _kept(c, who, picture, len(picture.content), portraits.LOGOS, links)
    try:
        return await _furnished(c, who, rest | {"logo": shown["path"]})
    except DomainError:
        await c.db.run(who, portraits.forsake, shown["path"], c.keeping)
        raise


async def _furnished(c: Container, who: Principal, data: Mapping[str, Any]) -> dict[str, Any]:
    furnished: dict[str, Any] = await c.db.run(who, portraits.furnish, data, c.keeping)
    return furnished


async def _kept(
    c: Container, who: Principal, form: arriving.ArrivingForm, length: int, category: str, links: Links
) -> dict[str, Any]:
    admitted: Principal = await c.db.run(who, liveness.admitted)
    _, made = await arriving.receive(c, who, form, length, lambda _: {"category": category}, None, links)
    file_id, actor = UUID(str(made["id"])), actor_principal(admitted.tenant)
    try:
        of = await c.db.run(actor, inspections.subject, file_id)
        if of is not None:  # else an actor was faster
            found = await inspecting.inspect(c, of)
            await c.db.run(actor, inspections.conclude, of, found, c.keeping)
        shown: dict[str, Any] = await c.db.run(actor, portraits.publish, file_id)
    except (ScannerUnavailable, StoreUnavailable) as away:
        await c.db.run(who, portraits.give_up, file_id, c.keeping)
        raise Upstream from away
    except DomainError:
        await c.db.run(who, portraits.give_up, file_id, c.keeping)
        raise
    return shown


def _decoded(url: str) -> _Picture:
    if not url.startswith("data:"):
        raise Invalid(errors={"logo": [Problem("picture_by_address")]})
    head, _, body = url.partition(",")
    media_type = head.removeprefix("data:").removesuffix(";base64")
    if media_type not in _EXTENSIONS or not head.endswith(";base64"):
        raise Invalid(errors={"logo": [Problem("bad_file_type", {"choices": sorted(set(_EXTENSIONS.values()))})]})
    try:
        content = base64.b64decode(body, validate=True)
    except Base64Error:
        raise Invalid(errors={"logo": [Problem("bad_format")]}) from None
    if not 0 < len(content) <= LOGO_BYTES:
        raise Invalid(errors={"logo": [Problem("too_long", {"max": LOGO_BYTES})]})
    return _Picture(f"logo.{_EXTENSIONS[media_type]}", content)
