"""What time and crashes leave behind: uploads without an end, inspections that were given up, old trash, bytes without
rows and rows without bytes. Reads are the system role's, over all organizations; each change is made inside its own."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Select, Text, any_, bindparam, delete, or_, select
from sqlalchemy.orm import Session

from edurise import audit, outbox
from edurise.authz import Principal
from edurise.db import first, moment, rows
from edurise.files.events import FileInspected
from edurise.files.models import File, FileAccess, Upload

BATCH = 200
STUCK = timedelta(minutes=1)
"""How long all bytes of an upload may be there before somebody else finishes it."""

_OPEN = (Upload.id, Upload.tenant_id, Upload.user_id, Upload.store, Upload.key, Upload.store_upload)


def expired_uploads(session: Session, after: UUID) -> list[dict[str, Any]]:
    """Uploads whose time is over: at most BATCH, by id, after one."""
    query = select(*_OPEN).where(Upload.state == "open", Upload.expires_at <= moment(session))
    return rows(session, query.where(Upload.id > after).order_by(Upload.id).limit(BATCH))


def stuck_uploads(session: Session, after: UUID) -> list[dict[str, Any]]:
    """Uploads whose bytes are all there, and that nobody finished, for a process died between the two; as
    ``expired_uploads``."""
    query = select(*_OPEN).where(
        Upload.state == "open",
        Upload.way == "tus",
        Upload.offset_bytes == Upload.size_bytes,
        Upload.updated_at <= moment(session) - STUCK,
        or_(Upload.held_until.is_(None), Upload.held_until < moment(session)),
    )
    return rows(session, query.where(Upload.id > after).order_by(Upload.id).limit(BATCH))


def uploads_elsewhere(session: Session, tenant_id: UUID, store: str) -> Sequence[UUID]:
    """The uploads of an organization that still take bytes into another store than this one."""
    query = select(Upload.id).where(Upload.tenant_id == tenant_id, Upload.state == "open", Upload.store != store)
    return session.scalars(query.order_by(Upload.id)).all()


def due_inspections(session: Session) -> list[dict[str, Any]]:
    """Files whose inspection was given up or forgotten."""
    query = select(File.id, File.tenant_id).where(File.state == "scanning", File.inspect_at <= moment(session))
    return rows(session, query.order_by(File.inspect_at).limit(BATCH))


def old_trash(session: Session, after: UUID, kept: timedelta) -> list[dict[str, Any]]:
    """Files that have been in the trash for longer: at most BATCH, by id, after one."""
    query = select(File.id, File.tenant_id).where(File.state == "trashed", File.trashed_at <= moment(session) - kept)
    return rows(session, query.where(File.id > after).order_by(File.id).limit(BATCH))


def forget_accesses(session: Session, kept: timedelta, most: int = 10_000) -> int:
    """Delete who downloaded what longer ago; returns how many rows."""
    old = select(FileAccess.id).where(FileAccess.at < moment(session) - kept).limit(most)
    return int(session.execute(delete(FileAccess).where(FileAccess.id.in_(old))).rowcount)  # type: ignore[attr-defined]  # a CursorResult


_KEYS = any_(bindparam("keys", type_=ARRAY(Text())))
_STORE = bindparam("store", type_=Text())
_REFERRED: tuple[Select[Any], ...] = (
    select(File.key).where(File.store == _STORE, File.key == _KEYS, File.state != "erased"),
    select(File.thumbnail_key).where(File.store == _STORE, File.thumbnail_key == _KEYS, File.state != "erased"),
    select(Upload.key).where(Upload.store == _STORE, Upload.key == _KEYS, Upload.state == "open"),
    select(Upload.tail_key).where(Upload.store == _STORE, Upload.tail_key == _KEYS, Upload.state == "open"),
)


def referred(session: Session, store: str, keys: Collection[str]) -> set[str]:
    """Which of these objects of a store a row refers to."""
    found: set[str] = set()
    for query in _REFERRED:
        found |= set(session.scalars(query, {"keys": list(keys), "store": store}))
    return found


def known_uploads(session: Session, store: str, names: Collection[str]) -> set[str]:
    """Which of these uploads in parts of a store still take bytes."""
    query = select(Upload.store_upload).where(
        Upload.store == store, Upload.state == "open", Upload.store_upload.in_(list(names))
    )
    return {name for name in session.scalars(query) if name is not None}


_KEPT = (
    File.id,
    File.tenant_id,
    File.store,
    File.key,
    File.size_bytes,
    File.sha256,
    File.thumbnail_key,
    File.thumbnail_bytes,
    File.state,
    File.state_before,
)


def kept_file(session: Session, file_id: UUID) -> dict[str, Any] | None:
    """One file as ``page_of_files`` shows it, whatever its state; None where there is none any more."""
    return first(session, select(*_KEPT).where(File.id == file_id))


def page_of_files(
    session: Session, after: UUID | None, most: int, store: str | None = None, tenant_id: UUID | None = None
) -> Sequence[dict[str, Any]]:
    """Files whose bytes must be there, by id, after one."""
    query = select(*_KEPT).where(File.state.not_in(["uploading", "erased"]))
    if after is not None:
        query = query.where(File.id > after)
    if store is not None:
        query = query.where(File.store == store)
    if tenant_id is not None:
        query = query.where(File.tenant_id == tenant_id)
    return rows(session, query.order_by(File.id).limit(most))


def bytes_are_gone(session: Session, who: Principal, file_id: UUID, store: str, key: str) -> bool:
    """A file's object is not in its store: it is ``failed``; returns whether that was so still."""
    file = session.get(File, file_id, with_for_update=True)
    if file is None or (file.store, file.key) != (store, key):
        return False
    if (file.state_before if file.state == "trashed" else file.state) not in ("ready", "scanning"):
        return False  # it is never opened, or was found already
    if file.state == "trashed":
        file.state_before = "failed"
    else:
        file.state = "failed"
    file.failure, file.inspect_at = "BYTES_MISSING", None
    file.updated_at = moment(session)
    audit.write(session, who, "file.bytes_missing", "file", file_id)
    told = FileInspected(
        file_id=file_id, owner_id=file.owner_id, name=file.name, state="failed", reason="BYTES_MISSING"
    )
    outbox.record(session, who, told)
    return True
