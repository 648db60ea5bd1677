"""Commands on uploads: beginning, holding, advancing, finishing and giving them up. Each is safe to repeat."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import delete, select, text
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from edurise import audit, outbox
from edurise.authz import Principal
from edurise.db import first, flush_unique, moment
from edurise.errors import Conflict, NotFound, Retry
from edurise.files import holding, keys, queries
from edurise.files.events import FileArrived, ObjectsForsaken
from edurise.files.keeping import INSPECT_AGAIN, Keeping, Place, agreed_type, check_expiry, place, too_large
from edurise.files.links import Links
from edurise.files.models import File, Upload
from edurise.ports import Charge
from edurise.tenants.quotas import STORAGE

UNKNOWN_TYPE = "application/octet-stream"

_ENDED = text("""
UPDATE uploads SET state = :state, holder = NULL, held_until = NULL, updated_at = :now
 WHERE id = :id AND state = 'open' RETURNING id
""")


def begin_form(session: Session, who: Principal, size: int, keeping: Keeping) -> dict[str, Any]:
    """Make room for the bytes of a form, of which at most ``size`` are to come; returns ``{id, store, key}``.

    Raises Oversize (FILE_TOO_LARGE) and Conflict (QUOTA_EXCEEDED).
    """
    most = keeping.plan(session, who).file_bytes
    if size > most + FORM_OVERHEAD_BYTES:
        raise too_large(most)
    return _begun(session, who, "form", size, None, None, keeping)


FORM_OVERHEAD_BYTES = 65_536
"""What a form may hold beside its file: the other fields, boundaries and headers."""


def finish_form(
    session: Session,
    who: Principal,
    upload_id: UUID,
    arrived: Mapping[str, Any],
    data: Mapping[str, Any],
    keeping: Keeping,
    links: Links,
) -> tuple[bool, dict[str, Any]]:
    """Make a file of what a form brought; returns (whether it is new, the file).

    ``arrived``: ``name``, ``size``, ``found`` (what the bytes look like) and ``idempotency_key``. ``data``: the form's
    other fields; the hop was entered about its course, whose organization need not be the one that the upload began in.

    Raises what ``keeping.place`` and ``agreed_type`` do, Conflict (QUOTA_EXCEEDED, IDEMPOTENCY_KEY_REUSED).
    """
    upload = holding.own(session, who, upload_id)
    chosen = place(session, who, data, arrived["name"], arrived["size"], keeping)
    media_type = agreed_type(chosen.extension, arrived["found"])
    check_expiry(session, data)
    digest = _digest(data, chosen, arrived["size"])
    key = arrived["idempotency_key"]
    earlier = _earlier(session, who, key)
    if earlier is not None:
        if earlier["idempotency_digest"] != digest:
            raise Conflict("IDEMPOTENCY_KEY_REUSED")
        drop(session, who, upload_id, keeping)
        return False, queries.file(session, who, earlier["id"], links)
    file_id = _file(session, who, chosen, data, upload, {**arrived, "media_type": media_type}, (key, digest))
    charge = Charge(chosen.course_id, who.person)
    if upload["tenant_id"] == who.tenant:
        keeping.quotas.release(session, upload["hold_id"])
    hold_id = keeping.quotas.reserve(session, who.tenant, STORAGE, arrived["size"], charge, moment(session))
    keeping.quotas.settle(session, hold_id, arrived["size"])
    session.connection().execute(_ENDED, {"id": upload_id, "state": "done", "now": moment(session)})
    _arrived(session, who, file_id)
    return True, queries.file(session, who, file_id, links)


def release_form(session: Session, who: Principal, upload_id: UUID, keeping: Keeping) -> None:
    """Release what an upload reserved in the organization that it began in, after it ended in another."""
    upload = holding.own(session, who, upload_id)
    if upload["tenant_id"] == who.tenant and upload["hold_id"] is not None:
        keeping.quotas.release(session, upload["hold_id"])


def begin(
    session: Session,
    who: Principal,
    way: str,
    name: str,
    size: int,
    data: Mapping[str, Any],
    keeping: Keeping,
    described_as: str = "",
) -> dict[str, Any]:
    """Begin an upload that may take several requests; its file is ``uploading`` until ``finish``.

    Returns ``{id, store, key, file_id, expires_at}``. Raises what ``keeping.place`` does, Conflict (QUOTA_EXCEEDED).
    """
    chosen = place(session, who, data, name, size, keeping)
    check_expiry(session, data)
    file_id = uuid7()
    upload = _begun(session, who, way, size, file_id, chosen.course_id, keeping)
    arrived = {"size": size, "media_type": UNKNOWN_TYPE, "name": name}
    _file(session, who, chosen, data, upload, arrived, (None, None), file_id=file_id, state="uploading")
    session.flush()
    row = session.get_one(Upload, upload["id"])
    row.file_id, row.described_as = file_id, described_as
    return {**upload, "described_as": described_as}


def finish(session: Session, who: Principal, upload_id: UUID, media_type: str, keeping: Keeping) -> UUID:
    """All bytes are in one object: settle the quota and have the file inspected; returns its id. A repeat changes
    nothing. Raises NotFound for an upload that was given up, and Conflict (UPLOAD_INCOMPLETE) for one that lost bytes
    again.
    """
    upload = holding.own(session, who, upload_id, lock=True)
    file_id: UUID = upload["file_id"]
    _check_whole(upload)
    ended = session.connection().execute(_ENDED, {"id": upload_id, "state": "done", "now": moment(session)})
    if ended.first() is None:
        if upload["state"] != "done":
            raise NotFound("UPLOAD_GONE")
        return file_id
    _settle(session, who, upload, keeping)
    found = session.get_one(File, file_id)
    found.media_type, found.key = media_type, object_key(upload)
    found.state = "scanning"
    found.inspect_at = moment(session) + INSPECT_AGAIN
    found.updated_at = moment(session)
    _arrived(session, who, file_id)
    return file_id


def object_key(upload: Mapping[str, Any]) -> str:
    """Where all bytes of an upload are, once they have come: what fills no part stays the tail that it was, under a key
    that no other request ever writes to."""
    return str(upload["tail_key"] or upload["key"])


def whole(session: Session, who: Principal, upload_id: UUID) -> dict[str, Any]:
    """An upload with its recorded ``parts`` and the ``name`` of its file.

    Raises NotFound, and Conflict (UPLOAD_INCOMPLETE) as long as bytes are missing.
    """
    _check_whole(holding.own(session, who, upload_id))
    return {**named(session, who, upload_id), "parts": holding.parts(session, upload_id)}


def _check_whole(upload: Mapping[str, Any]) -> None:
    if upload["way"] == "tus" and upload["state"] == "open" and upload["offset_bytes"] != upload["size_bytes"]:
        raise Conflict("UPLOAD_INCOMPLETE")


def named(session: Session, who: Principal, upload_id: UUID) -> dict[str, Any]:
    """An upload with the ``name`` of its file. Raises NotFound."""
    upload = holding.own(session, who, upload_id)
    name = session.scalar(select(File.name).where(File.id == upload["file_id"]))
    return {**upload, "name": name or ""}


def drop(session: Session, who: Principal, upload_id: UUID, keeping: Keeping) -> dict[str, Any]:
    """Give an upload up: what it reserved is free again, its file was never there, its bytes are forsaken.

    Returns the upload, whose parts the caller drops at the store. A repeat, and one of an upload that is done, changes
    nothing.
    """
    upload = holding.own(session, who, upload_id, lock=True)
    ended = session.connection().execute(_ENDED, {"id": upload_id, "state": "dropped", "now": moment(session)})
    if ended.first() is None:
        return upload
    if upload["tenant_id"] == who.tenant and upload["hold_id"] is not None:
        keeping.quotas.release(session, upload["hold_id"])
    if upload["file_id"] is not None:
        session.connection().execute(text("UPDATE uploads SET file_id = NULL WHERE id = :id"), {"id": upload_id})
        session.execute(delete(File).where(File.id == upload["file_id"], File.state == "uploading"))
    forsaken = [upload["key"], *([upload["tail_key"]] if upload["tail_key"] else [])]
    outbox.record(session, who, ObjectsForsaken(store=upload["store"], keys=forsaken))
    return upload


def _begun(
    session: Session,
    who: Principal,
    way: str,
    size: int,
    file_id: UUID | None,
    course_id: UUID | None,
    keeping: Keeping,
) -> dict[str, Any]:
    upload_id, now = uuid7(), moment(session)
    until = now + keeping.upload_for
    store, key = keeping.store_for(session, who), keys.of(upload_id)
    hold_id = keeping.quotas.reserve(session, who.tenant, STORAGE, size, Charge(course_id, who.person), until)
    session.add(
        Upload(
            id=upload_id,
            tenant_id=who.tenant,
            user_id=who.person,
            way=way,
            store=store,
            key=key,
            size_bytes=size,
            hold_id=hold_id,
            expires_at=until,
            created_at=now,
            updated_at=now,
        )
    )
    session.flush()
    return {
        "id": upload_id,
        "tenant_id": who.tenant,
        "store": store,
        "key": key,
        "hold_id": hold_id,
        "size_bytes": size,
        "file_id": file_id,
        "expires_at": until,
    }


def _file(
    session: Session,
    who: Principal,
    chosen: Place,
    data: Mapping[str, Any],
    upload: Mapping[str, Any],
    arrived: Mapping[str, Any],
    idempotency: tuple[str | None, str | None],
    *,
    file_id: UUID | None = None,
    state: str = "scanning",
) -> UUID:
    now = moment(session)
    made = file_id or uuid7()
    session.add(
        File(
            id=made,
            tenant_id=who.tenant,
            owner_id=who.person,
            course_id=chosen.course_id,
            category_id=chosen.category_id,
            name=chosen.name,
            extension=chosen.extension,
            title=data.get("title") or chosen.name,
            description=data.get("description") or "",
            tags=data.get("tags") or [],
            media_type=arrived["media_type"],
            size_bytes=arrived["size"],
            access=chosen.access,
            state=state,
            store=upload["store"],
            key=upload["key"],
            expires_at=data.get("expires_at"),
            inspect_at=now + INSPECT_AGAIN,
            idempotency_key=idempotency[0],
            idempotency_digest=idempotency[1],
            created_at=now,
            updated_at=now,
        )
    )
    flush_unique(session, on="uq_files_tenant_id_owner_id_idempotency_key", raises=Retry)
    return made


def _arrived(session: Session, who: Principal, file_id: UUID) -> None:
    audit.write(session, who, "file.uploaded", "file", file_id)
    outbox.record(session, who, FileArrived(file_id=file_id))


def _settle(session: Session, who: Principal, upload: Mapping[str, Any], keeping: Keeping) -> None:
    """A reservation that expired while the bytes came is made anew, so that they are counted whatever it took."""
    try:
        keeping.quotas.settle(session, upload["hold_id"], upload["size_bytes"])
    except NotFound:
        found = session.get_one(File, upload["file_id"])
        charge = Charge(found.course_id, found.owner_id)
        now: datetime = moment(session)
        hold_id = keeping.quotas.reserve(session, who.tenant, STORAGE, upload["size_bytes"], charge, now)
        keeping.quotas.settle(session, hold_id, upload["size_bytes"])


def _earlier(session: Session, who: Principal, key: str | None) -> dict[str, Any] | None:
    if key is None:
        return None
    query = select(File.id, File.idempotency_digest).where(
        File.tenant_id == who.tenant, File.owner_id == who.person, File.idempotency_key == key
    )
    return first(session, query)


def _digest(data: Mapping[str, Any], chosen: Place, size: int) -> str:
    told = {**data, "name": chosen.name, "size": size}
    return hashlib.sha256(orjson.dumps(told, default=str, option=orjson.OPT_SORT_KEYS)).hexdigest()
