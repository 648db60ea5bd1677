"""Who writes to an upload, how far it has come, and its parts: what several requests share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from edurise import outbox
from edurise.authz import Principal
from edurise.db import add_row, first, moment, rows
from edurise.errors import Conflict, NotFound
from edurise.files.events import ObjectsForsaken
from edurise.files.models import Upload, UploadPart
from edurise.files.ports import Part

HELD_S = 20.0
"""How long a request may write without saying that it still lives; who comes meanwhile is told to wait."""

_ROW = select(
    Upload.id,
    Upload.tenant_id,
    Upload.user_id,
    Upload.way,
    Upload.state,
    Upload.store,
    Upload.key,
    Upload.store_upload,
    Upload.size_bytes,
    Upload.offset_bytes,
    Upload.tail_key,
    Upload.tail_bytes,
    Upload.tails,
    Upload.hold_id,
    Upload.file_id,
    Upload.holder,
    Upload.held_until,
    Upload.expires_at,
)
_HELD = text("""
UPDATE uploads SET holder = :holder, held_until = :until, updated_at = :now
 WHERE id = :id AND state = 'open' AND (holder IS NULL OR holder = :holder OR held_until < :now) RETURNING id
""")
_LET_GO = text("UPDATE uploads SET holder = NULL, held_until = NULL WHERE id = :id AND holder = :holder")
_ADVANCED = text("""
UPDATE uploads SET offset_bytes = :offset, tail_key = :tail_key, tail_bytes = :tail_bytes, tails = :tails,
                   held_until = :until, updated_at = :now
 WHERE id = :id AND state = 'open' AND holder = :holder RETURNING id
""")
_NAMED = text("UPDATE uploads SET store_upload = :name WHERE id = :id AND state = 'open' RETURNING id")


def begun_parts(session: Session, _who: Principal, upload_id: UUID, store_upload: str) -> None:
    """Remember the store's name of an upload in parts. Raises NotFound (UPLOAD_GONE)."""
    if session.connection().execute(_NAMED, {"id": upload_id, "name": store_upload}).first() is None:
        raise NotFound("UPLOAD_GONE")


def hold(session: Session, who: Principal, upload_id: UUID, holder: UUID) -> dict[str, Any]:
    """Let ``holder`` be the only one that writes for ``HELD_S``; returns the upload with its ``parts``.

    One that is done is returned too, and nobody holds it.

    Raises NotFound (UPLOAD_GONE) for one that has ended or expired, and Conflict (UPLOAD_BUSY) while another writes.
    """
    upload = open_upload(session, who, upload_id, "tus")
    if upload["state"] == "done":
        return {**upload, "parts": []}
    now = moment(session)
    until = now + timedelta(seconds=HELD_S)
    taken = session.connection().execute(_HELD, {"id": upload_id, "holder": holder, "until": until, "now": now})
    if taken.first() is None:
        raise Conflict("UPLOAD_BUSY")
    return {**upload, "parts": parts(session, upload_id)}


def advance(
    session: Session,
    who: Principal,
    upload_id: UUID,
    holder: UUID,
    offset: int,
    added: Sequence[Part],
    tail: tuple[str, int] | None,
) -> None:
    """Record that everything before ``offset`` is safely stored: in parts, of which ``added`` are new, and in a tail
    (key, bytes). An earlier tail is forsaken. Raises Conflict (UPLOAD_BUSY) for who is not the holder any more.
    """
    upload = own(session, who, upload_id)
    now = moment(session)
    values = {
        "id": upload_id,
        "holder": holder,
        "offset": offset,
        "tail_key": tail[0] if tail else None,
        "tail_bytes": tail[1] if tail else 0,
        "tails": upload["tails"] + (tail is not None),
        "until": now + timedelta(seconds=HELD_S),
        "now": now,
    }
    if session.connection().execute(_ADVANCED, values).first() is None:
        raise Conflict("UPLOAD_BUSY")
    for part in added:
        add_row(
            session,
            UploadPart,
            id=uuid7(),
            tenant_id=upload["tenant_id"],
            user_id=upload["user_id"],
            upload_id=upload_id,
            number=part.number,
            size_bytes=part.size,
            tag=part.tag,
        )
    if upload["tail_key"] is not None and upload["tail_key"] != values["tail_key"]:
        outbox.record(session, who, ObjectsForsaken(store=upload["store"], keys=[upload["tail_key"]]))


def let_go(session: Session, _who: Principal, upload_id: UUID, holder: UUID) -> None:
    """Let others write; does nothing for who does not hold it."""
    session.connection().execute(_LET_GO, {"id": upload_id, "holder": holder})


def own(session: Session, who: Principal, upload_id: UUID) -> dict[str, Any]:
    """An upload of the caller, in any organization. Raises NotFound."""
    query = _ROW.where(Upload.id == upload_id)
    found = first(session, query if who.service else query.where(Upload.user_id == who.person))
    if found is None:
        raise NotFound
    return found


def open_upload(session: Session, who: Principal, upload_id: UUID, way: str) -> dict[str, Any]:
    """An upload of this way that still takes bytes, or is done. Raises NotFound (UPLOAD_GONE)."""
    upload = own(session, who, upload_id)
    is_over = upload["state"] == "open" and upload["expires_at"] <= moment(session)
    if upload["way"] != way or upload["state"] == "dropped" or is_over:
        raise NotFound("UPLOAD_GONE")
    return upload


def parts(session: Session, upload_id: UUID) -> list[Part]:
    """The recorded parts of an upload, by number."""
    query = (
        select(UploadPart.number, UploadPart.size_bytes, UploadPart.tag)
        .where(UploadPart.upload_id == upload_id)
        .order_by(UploadPart.number)
    )
    return [Part(one["number"], one["size_bytes"], one["tag"]) for one in rows(session, query)]
