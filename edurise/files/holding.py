"""Who writes to an upload, how far it has come, and its parts: what several requests share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select, text
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
    Upload.described_as,
    Upload.hold_id,
    Upload.file_id,
    Upload.holder,
    Upload.held_until,
    Upload.expires_at,
)
_HELD = text("""
UPDATE uploads SET tails = tails + CASE WHEN holder = :holder THEN 0 ELSE 1 END,
                   holder = :holder, held_until = :until, updated_at = :now
 WHERE id = :id AND state = 'open' AND (holder IS NULL OR holder = :holder OR held_until < :now) RETURNING tails
""")
_LET_GO = text("UPDATE uploads SET holder = NULL, held_until = NULL WHERE id = :id AND holder = :holder")
_ADVANCED = text("""
UPDATE uploads SET offset_bytes = :offset, tail_key = :tail_key, tail_bytes = :tail_bytes,
                   held_until = :until, updated_at = :now
 WHERE id = :id AND state = 'open' AND holder = :holder RETURNING id
""")
_NAMED = text("""
UPDATE uploads SET store_upload = CASE WHEN store_upload IS NOT DISTINCT FROM :before THEN :name ELSE store_upload END
 WHERE id = :id AND state = 'open' RETURNING store_upload
""")
_REWOUND = text("""
UPDATE uploads SET offset_bytes = :offset, tail_key = NULL, tail_bytes = 0, updated_at = :now,
                   store_upload = CASE WHEN :offset = 0 THEN NULL ELSE store_upload END
 WHERE id = :id
""")


def begun_parts(
    session: Session, _who: Principal, upload_id: UUID, store_upload: str, before: str | None = None
) -> str:
    """Remember the store's name of an upload in parts, instead of ``before``; returns the one that is to be used.

    That is another one where somebody else was faster; a sweep drops the one that nobody uses. Raises NotFound
    (UPLOAD_GONE).
    """
    values = {"id": upload_id, "name": store_upload, "before": before}
    name: str | None = session.connection().execute(_NAMED, values).scalar()
    if name is None:
        raise NotFound("UPLOAD_GONE")
    return name


def hold(session: Session, who: Principal, upload_id: UUID, holder: UUID) -> dict[str, Any]:
    """Let ``holder`` be the only one that writes for ``HELD_S``; returns the upload with its ``parts``.

    ``tails`` is a number that no other holder of this upload has. One that is done is returned too; nobody holds it.

    Raises NotFound (UPLOAD_GONE) for one that has ended or expired, and Conflict (UPLOAD_BUSY) while another writes.
    """
    upload = open_upload(session, who, upload_id, "tus", lock=True)
    if upload["state"] == "done":
        return {**upload, "parts": []}
    now = moment(session)
    until = now + timedelta(seconds=HELD_S)
    values = {"id": upload_id, "holder": holder, "until": until, "now": now}
    tails: int | None = session.connection().execute(_HELD, values).scalar()
    if tails is None:
        raise Conflict("UPLOAD_BUSY")
    return {**upload, "tails": tails, "parts": parts(session, upload_id)}


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


def rewind(session: Session, who: Principal, upload_id: UUID, holder: UUID | None, kept: Sequence[Part]) -> int:
    """The store has nothing any more but these first parts: go back to their end, which is returned.

    ``holder`` is who writes; without one everything had come and nobody may write. Raises NotFound (UPLOAD_GONE) and
    Conflict (UPLOAD_BUSY).
    """
    upload, now = open_upload(session, who, upload_id, "tus", lock=True), moment(session)
    is_held = upload["holder"] is not None and upload["held_until"] >= now
    is_free = not is_held and upload["offset_bytes"] == upload["size_bytes"]
    if upload["state"] != "open" or not (is_free if holder is None else upload["holder"] == holder):
        raise Conflict("UPLOAD_BUSY")
    offset = sum(part.size for part in kept)
    gone = delete(UploadPart).where(UploadPart.upload_id == upload_id, UploadPart.number > len(kept))
    session.execute(gone)
    session.connection().execute(_REWOUND, {"id": upload_id, "offset": offset, "now": now})
    if upload["tail_key"] is not None:
        outbox.record(session, who, ObjectsForsaken(store=upload["store"], keys=[upload["tail_key"]]))
    return offset


def own(session: Session, who: Principal, upload_id: UUID, *, lock: bool = False) -> dict[str, Any]:
    """An upload of the caller, in any organization; ``lock`` keeps it as it is until the commit. Raises NotFound."""
    query = _ROW.where(Upload.id == upload_id)
    query = query.with_for_update() if lock else query
    found = first(session, query if who.service else query.where(Upload.user_id == who.person))
    if found is None:
        raise NotFound
    return found


def open_upload(session: Session, who: Principal, upload_id: UUID, way: str, *, lock: bool = False) -> dict[str, Any]:
    """An upload of this way that still takes bytes, or is done. Raises NotFound (UPLOAD_GONE)."""
    upload = own(session, who, upload_id, lock=lock)
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
