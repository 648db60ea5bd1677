"""What an inspection is of and what it found, and how that is written down: in one transaction whose repeats change
nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from edurise import audit, outbox
from edurise.authz import Principal
from edurise.db import first, moment
from edurise.errors import NotFound
from edurise.files import types
from edurise.files.events import FileArrived, FileInspected, ObjectsForsaken
from edurise.files.keeping import Keeping
from edurise.files.models import File, FileCategory
from edurise.files.ports import Verdict
from edurise.ports import Charge
from edurise.tenants.quotas import STORAGE

PICTURE_BYTES = 64 * 1024 * 1024
"""Larger pictures are not decoded."""
_EXTENSIONS = {"image/jpeg": "jpg", "image/webp": "webp"}


@dataclass(frozen=True)
class Subject:
    """A file that is to be inspected."""

    id: UUID
    store: str
    key: str
    size: int
    media_type: str
    is_reencoded: bool

    @property
    def is_picture(self) -> bool:
        """Whether it is a picture that is small enough to be decoded."""
        return types.of_media_type(self.media_type).group == "image" and self.size <= PICTURE_BYTES


@dataclass(frozen=True)
class Kept:
    """An object as it is stored."""

    key: str
    size: int
    media_type: str
    sha256: str
    crc32: int


@dataclass(frozen=True)
class Findings:
    """What an inspection found: the object that is to be kept, or why none is."""

    verdict: Verdict
    kept: Kept | None = None
    thumbnail: Kept | None = None
    failure: str | None = None


def subject(session: Session, who: Principal, file_id: UUID) -> Subject | None:
    """The file, or None where there is nothing to inspect any more. Raises NotFound."""
    query = (
        select(
            File.id, File.store, File.key, File.size_bytes, File.media_type, File.state, File.state_before,
            FileCategory.is_reencoded,
        )
        .join(FileCategory, FileCategory.id == File.category_id)
        .where(File.tenant_id == who.tenant, File.id == file_id)
    )  # fmt: skip
    found = first(session, query)
    if found is None:
        raise NotFound
    if "scanning" not in (found["state"], found["state_before"]):
        return None
    size, media_type = found["size_bytes"], found["media_type"]
    return Subject(found["id"], found["store"], found["key"], size, media_type, found["is_reencoded"])


def conclude(session: Session, who: Principal, of: Subject, found: Findings, keeping: Keeping) -> None:
    """Write down what an inspection found; the file is ``ready``, ``quarantined`` or ``failed`` from now on.

    A file that was put into the trash meanwhile stays there. A repeat forsakes what it made and changes nothing.
    Raises NotFound.
    """
    file = session.get(File, of.id, with_for_update=True)
    if file is None:
        raise NotFound
    if "scanning" not in (file.state, file.state_before):
        _forsake_made(session, who, of, file, found)
        return
    state = "ready"
    if found.kept is None:
        state = "quarantined" if found.verdict.outcome == "infected" else "failed"
    else:
        _keep(session, who, file, found.kept, found.thumbnail, keeping)
    file.scan, file.scan_note = found.verdict.outcome, found.verdict.signature
    file.failure = found.failure
    if file.state == "scanning":
        file.state = state
    else:
        file.state_before = state
    file.inspect_at = None
    file.updated_at = moment(session)
    audit.write(session, who, f"file.{state}", "file", of.id)
    told = FileInspected(file_id=of.id, owner_id=file.owner_id, name=file.name, state=state, reason=found.failure or "")
    outbox.record(session, who, told)


def _keep(session: Session, who: Principal, file: File, kept: Kept, small: Kept | None, keeping: Keeping) -> None:
    file.sha256, file.crc32 = kept.sha256, kept.crc32
    if small is not None:
        file.thumbnail_key, file.thumbnail_type, file.thumbnail_bytes = small.key, small.media_type, small.size
    if kept.key == file.key:
        return
    outbox.record(session, who, ObjectsForsaken(store=file.store, keys=[file.key]))
    charge = Charge(file.course_id, file.owner_id)
    # Where the new one is larger this takes more: what is stored is counted, whatever it comes to.
    keeping.quotas.give_back(session, who.tenant, STORAGE, file.size_bytes - kept.size, charge)
    file.key, file.size_bytes, file.media_type = kept.key, kept.size, kept.media_type
    extension = _EXTENSIONS[kept.media_type]
    if file.extension != extension and not (file.extension == "jpeg" and extension == "jpg"):
        file.name = f"{file.name.removesuffix(file.name[-len(file.extension) - 1 :])}.{extension}"
        file.extension = extension


def _forsake_made(session: Session, who: Principal, of: Subject, file: File, found: Findings) -> None:
    """The file was inspected, erased or moved to another store before: what this inspection made is in nobody's way."""
    referred = {file.key, file.thumbnail_key} if file.store == of.store else {of.key}
    made = [one.key for one in (found.kept, found.thumbnail) if one is not None and one.key not in referred]
    if made:
        outbox.record(session, who, ObjectsForsaken(store=of.store, keys=made))


def ask_again(session: Session, who: Principal, file_id: UUID, after: timedelta) -> None:
    """Let a file be inspected once more, whose inspection was given up, and again ``after`` so long."""
    file = session.get(File, file_id, with_for_update=True)
    if file is not None and file.state == "scanning":
        file.inspect_at = moment(session) + after
        outbox.record(session, who, FileArrived(file_id=file_id))
