"""Commands on files: changing, moving, trashing and erasing them. Each asks the one policy first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from edurise import audit, outbox
from edurise.authz import Principal
from edurise.db import moment
from edurise.errors import Conflict, Forbidden, Invalid, Problem
from edurise.files import access, queries
from edurise.files.events import FileArrived, FileWithdrawn, ObjectsForsaken
from edurise.files.keeping import INSPECT_AGAIN, Keeping, check_expiry, check_level, named_category, takes, too_large
from edurise.files.links import Links, public_path, thumbnail_path
from edurise.files.models import File
from edurise.ports import Charge
from edurise.tenants.quotas import STORAGE

MOST_TAGS = 20
PLAIN = ("title", "description", "tags", "expires_at")


def change(
    session: Session, who: Principal, file_id: UUID, data: Mapping[str, Any], keeping: Keeping, links: Links
) -> dict[str, Any]:
    """Change what is said of a file: title, description, tags, end, category, course and access level; returns it.

    Raises NotFound, Forbidden, Conflict (FILE_IN_TRASH, QUOTA_EXCEEDED), and Invalid for a category that does not take
    it, an end in the past and a level that needs a course.
    """
    found = editable(session, who, file_id)
    check_expiry(session, data)
    changed = session.get_one(File, file_id)
    for name in PLAIN:
        if name in data:
            setattr(changed, name, data[name])
    if "category" in data or "course_id" in data:
        _place(session, who, changed, data, keeping)
    if "access_level" in data:
        _open_to(session, who, found, changed, access.FROM_CONTRACT[data["access_level"]])
    changed.updated_at = moment(session)
    audit.write(session, who, "file.changed", "file", file_id, fields=sorted(data))
    session.flush()
    return queries.file(session, who, file_id, links)


def set_access(
    session: Session, who: Principal, file_id: UUID, level: str, keeping: Keeping, links: Links
) -> dict[str, Any]:
    """Change who may open a file, by the contract's word; returns it. Raises as ``change``."""
    return change(session, who, file_id, {"access_level": level}, keeping, links)


def trash(session: Session, who: Principal, file_id: UUID) -> None:
    """Put a file into the trash, where only those who manage it see it; a repeat changes nothing.

    Raises NotFound, Forbidden, and Conflict (FILE_ARRIVING) while it is uploaded.
    """
    found = manageable(session, who, file_id)
    if found["state"] == "trashed":
        return
    if found["state"] == "uploading":
        raise Conflict("FILE_ARRIVING")
    file = session.get_one(File, file_id)
    file.state_before, file.state = file.state, "trashed"
    file.trashed_at = file.updated_at = moment(session)
    _withdraw(session, who, found)
    audit.write(session, who, "file.trashed", "file", file_id)


def restore(session: Session, who: Principal, file_id: UUID, links: Links) -> dict[str, Any]:
    """Take a file out of the trash, as it was before; returns it. Raises NotFound, Forbidden."""
    found = manageable(session, who, file_id)
    if found["state"] == "trashed":
        file = session.get_one(File, file_id)
        file.state, file.state_before = file.state_before or "failed", None
        file.trashed_at = None
        file.updated_at = moment(session)
        audit.write(session, who, "file.restored", "file", file_id)
        session.flush()
    return queries.file(session, who, file_id, links)


def erase(session: Session, who: Principal, file_id: UUID, keeping: Keeping) -> None:
    """Erase a file from the trash for good. Raises NotFound, Forbidden, Conflict (FILE_NOT_IN_TRASH)."""
    found = manageable(session, who, file_id)
    if found["state"] != "trashed":
        raise Conflict("FILE_NOT_IN_TRASH")
    file = session.get_one(File, file_id)
    forsaken = [file.key, *([file.thumbnail_key] if file.thumbnail_key else [])]
    outbox.record(session, who, ObjectsForsaken(store=file.store, keys=forsaken))
    keeping.quotas.give_back(session, who.tenant, STORAGE, file.size_bytes, Charge(file.course_id, file.owner_id))
    file.state, file.state_before = "erased", None
    file.name = file.title = file.extension = file.description = file.scan_note = ""
    file.tags = []
    file.thumbnail_key = file.thumbnail_type = file.thumbnail_bytes = None
    file.idempotency_key = file.idempotency_digest = None
    file.updated_at = moment(session)
    audit.write(session, who, "file.erased", "file", file_id)


def revoke_links(session: Session, who: Principal, file_id: UUID, links: Links) -> dict[str, Any]:
    """Make every signed link to a file worthless at once; returns the file. Raises NotFound, Forbidden."""
    manageable(session, who, file_id)
    file = session.get_one(File, file_id)
    file.link_version += 1
    file.updated_at = moment(session)
    audit.write(session, who, "file.links_revoked", "file", file_id)
    session.flush()
    return queries.file(session, who, file_id, links)


def move(session: Session, who: Principal, file_id: UUID, data: Mapping[str, Any], keeping: Keeping) -> None:
    """Move a file to another ``category``, to a ``course_id`` of its organization, or (None) out of its course.

    Raises as ``change``.
    """
    editable(session, who, file_id)
    moved = session.get_one(File, file_id)
    _place(session, who, moved, data, keeping)
    moved.updated_at = moment(session)
    audit.write(session, who, "file.moved", "file", file_id, fields=sorted(data))


def tag(session: Session, who: Principal, file_id: UUID, add: list[str], remove: list[str]) -> None:
    """Add and remove tags of a file. Raises NotFound, Forbidden, Conflict (FILE_IN_TRASH), Invalid for too many."""
    found = editable(session, who, file_id)
    kept = [*(one for one in found["tags"] if one not in remove), *(one for one in add if one not in found["tags"])]
    if len(kept) > MOST_TAGS:
        raise Invalid(errors={"add": [Problem("too_many", {"max": MOST_TAGS})]})
    file = session.get_one(File, file_id)
    file.tags = list(dict.fromkeys(kept))
    file.updated_at = moment(session)


def statistics(session: Session, who: Principal, file_id: UUID) -> dict[str, Any]:
    """``queries.statistics`` for who manages the file. Raises NotFound, Forbidden."""
    return queries.statistics(session, who, manageable(session, who, file_id))


def manageable(session: Session, who: Principal, file_id: UUID) -> dict[str, Any]:
    """The row of a file that the caller manages. Raises NotFound for one they may not know of, else Forbidden."""
    found = queries.row(session, who, file_id)
    if found["reason"] not in access.MANAGING:
        raise Forbidden
    return found


def editable(session: Session, who: Principal, file_id: UUID) -> dict[str, Any]:
    """As ``manageable``, and not in the trash; else Conflict (FILE_IN_TRASH)."""
    found = manageable(session, who, file_id)
    if found["state"] == "trashed":
        raise Conflict("FILE_IN_TRASH")
    return found


def _place(session: Session, who: Principal, file: File, data: Mapping[str, Any], keeping: Keeping) -> None:
    """Another category must take the file; another course is charged for it, and the caller must teach there too."""
    category = named_category(session, who, data.get("category") or str(file.category_id))
    if not takes(category, keeping.plan(session, who), file.extension):
        choices = {"choices": sorted(category["extensions"])}
        raise Invalid("FILE_TYPE_NOT_ALLOWED", errors={"category": [Problem("bad_file_type", choices)]})
    if "category" in data and file.size_bytes > category["max_bytes"]:
        raise too_large(category["max_bytes"])
    if category["is_reencoded"] and file.category_id != category["id"] and file.state == "ready":
        # Of what it holds only pixels are kept from now on, and that takes an inspection.
        file.state, file.inspect_at = "scanning", moment(session) + INSPECT_AGAIN
        outbox.record(session, who, FileArrived(file_id=file.id))
    file.category_id = category["id"]
    if "course_id" not in data or data["course_id"] == file.course_id:
        return
    wanted: UUID | None = data["course_id"]
    if wanted is None and file.access in ("staff", "enrolled"):
        raise Invalid(errors={"course_id": [Problem("needs_course")]})
    if wanted is not None and not _teaches(session, who, wanted):
        raise Forbidden("COURSE_ACCESS_ERROR")
    before, after = Charge(file.course_id, file.owner_id), Charge(wanted, file.owner_id)
    keeping.quotas.transfer(session, who.tenant, STORAGE, file.size_bytes, before, after)
    file.course_id = wanted


def _teaches(session: Session, who: Principal, course_id: UUID) -> bool:
    """Whether the caller may put files into a course of the acting organization."""
    stands = access.parameters(session, who)
    if stands["administers"]:
        return queries.has_course(session, who, course_id)
    return course_id in stands["staffed"]


def _open_to(session: Session, who: Principal, found: Mapping[str, Any], file: File, level: str) -> None:
    """``found`` is the file as it was. A level is given by how somebody stands to its course, not by owning it."""
    check_level(access.parameters(session, who), level, file.course_id)
    if level != "public":
        _withdraw(session, who, found)
    file.access = level


def _withdraw(session: Session, who: Principal, found: Mapping[str, Any]) -> None:
    """Caches forget a file that anybody could open."""
    if found["access"] == "public" and found["state"] == "ready":
        paths = [public_path(found), thumbnail_path(found)]
        outbox.record(session, who, FileWithdrawn(file_id=found["id"], paths=paths))
