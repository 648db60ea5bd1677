"""Opening a file: the last look at the policy, the count and the log, in the transaction before the first byte."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from edurise import activity
from edurise.authz import Principal
from edurise.db import add_row, moment
from edurise.errors import NotFound
from edurise.files import access, queries, types
from edurise.files.models import FileAccess
from edurise.files.ports import Disposition
from edurise.ports import Quotas
from edurise.tenants.quotas import DOWNLOADS

_COUNTED = text("""
UPDATE files SET download_count = download_count + 1, last_accessed_at = :now WHERE tenant_id = :tenant AND id = :id
""")


@dataclass(frozen=True)
class Wish:
    """How somebody asks for a file.

    ``variant``: ``attachment``, ``inline`` or ``thumbnail``. ``version``: of the signed link that they came by.
    ``content``: the beginning of the hash that a public path names. ``is_first`` says of what is found whether its
    first byte will be sent, which is what counts as a download; what it raises refuses the request.
    """

    variant: str
    version: int | None = None
    content: str | None = None
    is_first: Callable[[Opened], bool] = lambda _: True


@dataclass(frozen=True)
class Opened:
    """Where the bytes are, and what is said of them. ``disposition`` is ``inline`` for safe types only."""

    file_id: UUID
    store: str
    key: str
    size: int
    media_type: str
    name: str
    etag: str
    disposition: Disposition
    modified_at: datetime
    expires_at: datetime | None


def open_file(session: Session, who: Principal, file_id: UUID, wish: Wish, quotas: Quotas) -> Opened:
    """Let somebody read a file, and write down that they did.

    Raises NotFound (also LINK_REVOKED), Conflict as ``access.check_open`` does, and Limited (DAILY_LIMIT_REACHED) above
    the downloads of the organization's plan.
    """
    found = queries.row(session, who, file_id)
    if wish.version is not None and wish.version != found["link_version"]:
        raise NotFound("LINK_REVOKED")
    if wish.content is not None and (found["access"] != "public" or (found["sha256"] or "")[:32] != wish.content):
        raise NotFound
    access.check_open(session, found)
    opened = _opened(found, wish.variant)
    if wish.is_first(opened) and wish.variant != "thumbnail":
        quotas.spend(session, who.tenant, DOWNLOADS)
        _log(session, who, file_id)
    return opened


def _opened(found: dict[str, Any], variant: str) -> Opened:
    etag: str = found["sha256"]
    if variant == "thumbnail":
        if found["thumbnail_key"] is None:
            raise NotFound
        key, size, media_type = found["thumbnail_key"], found["thumbnail_bytes"], found["thumbnail_type"]
        etag = f"{etag}-thumbnail"
    else:
        key, size, media_type = found["key"], found["size_bytes"], found["media_type"]
    is_safe = types.of_media_type(media_type).is_inline_safe
    return Opened(
        file_id=found["id"],
        store=found["store"],
        key=key,
        size=size,
        media_type=media_type,
        name=found["name"],
        etag=etag,
        disposition="inline" if variant != "attachment" and is_safe else "attachment",
        modified_at=found["updated_at"],
        expires_at=found["expires_at"],
    )


def _log(session: Session, who: Principal, file_id: UUID) -> None:
    now = moment(session)
    session.connection().execute(_COUNTED, {"tenant": who.tenant, "id": file_id, "now": now})
    add_row(
        session,
        FileAccess,
        id=uuid7(),
        tenant_id=who.tenant,
        file_id=file_id,
        person_id=who.user_id,
        ip=who.ip or "",
        at=now,
    )
    if who.user_id is not None:
        activity.note(session, who.tenant, who.user_id, "file_opened", "file", file_id)
