"""The personal data of files. What somebody keeps for themselves is erased, bytes and all; what a course is taught with
belongs to the school and stays, of an owner without a name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select, text, update
from sqlalchemy.orm import Session

from edurise import outbox
from edurise.db import quotas
from edurise.files.events import FileWithdrawn, ObjectsForsaken
from edurise.files.links import public_path, thumbnail_path
from edurise.files.models import File, FileAccess, FileShare, Upload, UploadPart
from edurise.personal import Fate, PersonalTable, declare, deleting, emptying, exporting
from edurise.ports import Charge
from edurise.tenants.quotas import STORAGE

SECTION = "files"
_AT_ONCE = 200
"""How many objects one event forsakes."""

# What a course's learners may open, what those who teach it keep for it, and the pictures that an organization or a
# course shows.
_STAYS = text("""
SELECT f.id FROM files f
 WHERE f.owner_id = :person AND f.state NOT IN ('uploading', 'trashed', 'erased') AND (
       f.course_id IS NOT NULL AND f.access IN ('enrolled', 'organization', 'public')
    OR f.access = 'staff' AND (
       EXISTS (SELECT FROM courses c
                WHERE c.tenant_id = f.tenant_id AND c.id = f.course_id AND c.instructor_id = f.owner_id)
       OR EXISTS (SELECT FROM standings s
                   WHERE s.tenant_id = f.tenant_id AND s.course_id = f.course_id AND s.person_id = f.owner_id
                     AND s.kind = 'staff'))
    OR EXISTS (SELECT FROM organizations o WHERE position(f.id::text IN o.logo_path) > 0)
    OR EXISTS (SELECT FROM courses c WHERE c.tenant_id = f.tenant_id AND position(f.id::text IN c.thumbnail_url) > 0))
""")


def _drop_uploads(session: Session, person_id: UUID, now: datetime) -> int:  # noqa: ARG001 - every eraser's signature
    """Give up what is under way, as ``uploads.drop`` does. Parts in a store that no row names are swept there."""
    query = select(Upload).where(Upload.user_id == person_id).order_by(Upload.tenant_id, Upload.id)
    found = session.scalars(query.with_for_update()).all()
    forsaken: list[tuple[UUID, str, str]] = []
    for upload in found:
        if upload.state == "open":
            if upload.hold_id is not None:
                quotas(session).release(session, upload.hold_id)
            forsaken += [(upload.tenant_id, upload.store, key) for key in (upload.key, upload.tail_key) if key]
    _forsake(session, forsaken)
    session.flush()
    session.execute(delete(Upload).where(Upload.user_id == person_id))
    session.execute(delete(File).where(File.owner_id == person_id, File.state == "uploading"))
    return len(found)


def _erase_files(session: Session, person_id: UUID, now: datetime) -> int:
    """Erase as ``service.erase`` does, whatever their state. The names of what stays are those of the school's
    material."""
    stay = set(session.connection().execute(_STAYS, {"person": person_id}).scalars())
    query = select(File).where(File.owner_id == person_id, File.state != "erased").order_by(File.tenant_id, File.id)
    gone = [file for file in session.scalars(query.with_for_update()) if file.id not in stay]
    forsaken: list[tuple[UUID, str, str]] = []
    for file in gone:
        forsaken += [(file.tenant_id, file.store, key) for key in (file.key, file.thumbnail_key) if key]
        charge = Charge(file.course_id, file.owner_id)
        quotas(session).give_back(session, file.tenant_id, STORAGE, file.size_bytes, charge)
        if file.access == "public" and file.sha256:
            row: Mapping[str, Any] = {"id": file.id, "sha256": file.sha256, "name": file.name}
            paths = [public_path(row), thumbnail_path(row)]
            outbox.record(session, file.tenant_id, FileWithdrawn(file_id=file.id, paths=paths))
        _blank(file, now)
    session.flush()
    _forsake(session, forsaken)
    session.execute(delete(FileShare).where(FileShare.file_id.in_([file.id for file in gone])))
    without = {"idempotency_key": None, "idempotency_digest": None}
    session.execute(update(File).where(File.owner_id == person_id).values(**without))
    return len(gone)


def _blank(file: File, now: datetime) -> None:
    file.state, file.state_before, file.inspect_at = "erased", None, None
    file.name = file.title = file.extension = file.description = file.scan_note = ""
    file.tags = []
    file.sha256, file.crc32 = None, None
    file.thumbnail_key = file.thumbnail_type = file.thumbnail_bytes = None
    file.updated_at = now


def _forsake(session: Session, objects: Sequence[tuple[UUID, str, str]]) -> None:
    """Let the bytes go: a few events for each organization and store."""
    keys: dict[tuple[UUID, str], list[str]] = {}
    for tenant_id, store, key in objects:
        keys.setdefault((tenant_id, store), []).append(key)
    for (tenant_id, store), found in keys.items():
        for first in range(0, len(found), _AT_ONCE):
            batch = found[first : first + _AT_ONCE]
            outbox.record(session, tenant_id, ObjectsForsaken(store=store, keys=batch))


def _unshare(session: Session, person_id: UUID, now: datetime) -> int:  # noqa: ARG001 - every eraser's signature
    """Shares with the person go; those that they gave of what stays are given by nobody."""
    session.execute(update(FileShare).where(FileShare.shared_by == person_id).values(shared_by=None))
    gone = session.execute(delete(FileShare).where(FileShare.person_id == person_id).returning(FileShare.id)).all()
    return len(gone)


declare(
    PersonalTable(
        section=SECTION,
        table="upload_parts",
        person=("user_id",),
        fate=Fate.DELETED,
        export=None,
        erase=deleting(UploadPart.user_id),
        because="The pieces of an upload under way, as the store calls them.",
    )
)
declare(
    PersonalTable(
        section=SECTION,
        table="uploads",
        person=("user_id",),
        fate=Fate.DELETED,
        export=exporting(
            Upload.user_id, Upload.tenant_id, Upload.way, Upload.state, Upload.size_bytes, Upload.created_at
        ),
        erase=_drop_uploads,
    )
)
declare(
    PersonalTable(
        section=SECTION,
        table="file_shares",
        person=("person_id",),
        others=("shared_by",),
        fate=Fate.DELETED,
        export=exporting(FileShare.person_id, FileShare.tenant_id, FileShare.file_id, FileShare.created_at),
        erase=_unshare,
    )
)
declare(
    PersonalTable(
        section=SECTION,
        table="file_accesses",
        person=("person_id",),
        fate=Fate.EMPTIED,
        export=exporting(
            FileAccess.person_id,
            FileAccess.tenant_id,
            FileAccess.file_id,
            FileAccess.ip,
            FileAccess.at,
        ),
        erase=emptying(FileAccess.person_id, person_id=None, ip=""),
        because="How often a file was opened is its owner's figure; who opened it, and from where, goes.",
    )
)
declare(
    PersonalTable(
        section=SECTION,
        table="files",
        person=("owner_id",),
        fate=Fate.EMPTIED,
        export=exporting(
            File.owner_id,
            File.id,
            File.tenant_id,
            File.course_id,
            File.name,
            File.title,
            File.description,
            File.tags,
            File.media_type,
            File.size_bytes,
            File.access,
            File.state,
            File.download_count,
            File.expires_at,
            File.created_at,
            File.updated_at,
        ),
        erase=_erase_files,
        because="What a course is taught with and the pictures that a school shows are the school's; all other files"
        " go with their bytes, and leave an empty row for those who opened them.",
    )
)
