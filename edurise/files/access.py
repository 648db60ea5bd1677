"""The one policy of files: who may open, change and share one, for lists, single files and bulk checks alike.

The *reason* of an access is decided in SQL, so that a list can be paged by it; what a reason allows is decided by
``permissions``. Access levels, from the fewest to all: ``owner`` (the contract's private), ``staff`` of its course
(instructor), ``enrolled`` learners of its course (enrolled), members of its ``organization`` (tenant), ``public``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args
from uuid import UUID

from sqlalchemy import ARRAY, Boolean, ColumnElement, Uuid, and_, any_, bindparam, case, exists, or_
from sqlalchemy.orm import Session

from edurise.authz import Grade, Principal
from edurise.db import moment
from edurise.errors import Conflict
from edurise.files.models import File, FileShare
from edurise.tenants import queries as tenants

Reason = Literal["service", "owner", "administrator", "staff", "shared", "enrolled", "organization", "public"]
REASONS: tuple[str, ...] = get_args(Reason)
MANAGING = ("service", "owner", "administrator", "staff")
"""Reasons of those who see a file in every state, change it and say who else may open it."""

TO_CONTRACT: Mapping[str, str] = {
    "owner": "private",
    "staff": "instructor",
    "enrolled": "enrolled",
    "organization": "tenant",
    "public": "public",
}
FROM_CONTRACT: Mapping[str, str] = {theirs: ours for ours, theirs in TO_CONTRACT.items()}

STATE_TO_CONTRACT: Mapping[str, str] = {
    "uploading": "uploading",
    "scanning": "processing",
    "ready": "active",
    "quarantined": "archived",
    "failed": "archived",
    "trashed": "deleted",
    "erased": "deleted",
}


def _flag(name: str) -> ColumnElement[bool]:
    return bindparam(name, type_=Boolean())


def _among(name: str) -> Any:
    return any_(bindparam(name, type_=ARRAY(Uuid())))


_PERSON = bindparam("person", type_=Uuid())
_SHARED = exists().where(
    FileShare.tenant_id == File.tenant_id, FileShare.file_id == File.id, FileShare.person_id == _PERSON
)
REASON: ColumnElement[str | None] = case(
    (_flag("serves"), "service"),
    (and_(_flag("belongs"), File.owner_id == _PERSON), "owner"),
    (_flag("administers"), "administrator"),
    (and_(File.access != "owner", File.course_id == _among("staffed")), "staff"),
    (and_(_flag("belongs"), _SHARED), "shared"),
    (and_(File.access == "enrolled", File.course_id == _among("learned")), "enrolled"),
    (and_(File.access == "organization", _flag("belongs")), "organization"),
    (File.access == "public", "public"),
    else_=None,
).label("reason")
"""Why the caller may know of a file; NULL: they may not. Needs the parameters of ``parameters``."""

VISIBLE: ColumnElement[bool] = and_(
    File.state != "erased",
    or_(REASON.element.in_(MANAGING), and_(REASON.element.is_not(None), File.state == "ready")),
)
"""Whether a file may be shown to the caller at all: to others than those who manage it only once it is ready."""


def parameters(session: Session, who: Principal) -> dict[str, Any]:
    """Who the caller is to the acting organization and its courses; one statement, or none."""
    stands = tenants.standings_of(session, who.user_id) if who.user_id is not None else {}
    return {
        "person": who.user_id,
        "serves": who.stands(Grade.SERVICE),
        "belongs": who.stands(Grade.MEMBER, Grade.PLATFORM),
        "administers": who.stands(Grade.ADMINISTRATOR, Grade.PLATFORM),
        "teaches": who.stands(Grade.TEACHER),
        "staffed": sorted(course for course, kinds in stands.items() if "staff" in kinds),
        "learned": sorted(course for course, kinds in stands.items() if "learner" in kinds),
    }


@dataclass(frozen=True)
class Permissions:
    """What somebody may do with one file, why, and what stands in the way now."""

    can_view: bool
    can_download: bool
    can_edit: bool
    can_delete: bool
    can_share: bool
    reason: str
    restrictions: tuple[str, ...]


NOTHING = Permissions(False, False, False, False, False, "no_access", ())
"""For a file that the caller may not know of, and for one that does not exist: they look alike."""


def permissions(session: Session, row: Mapping[str, Any]) -> Permissions:
    """What ``row`` allows: a row with ``reason``, ``state``, ``expires_at`` (None: never) and ``scan``."""
    manages = row["reason"] in MANAGING
    hindered = _restrictions(row, moment(session))
    return Permissions(
        can_view=True,
        can_download=not hindered,
        can_edit=manages and row["state"] != "trashed",
        can_delete=manages,
        can_share=manages and row["state"] != "trashed",
        reason=row["reason"],
        restrictions=hindered,
    )


def is_expired(row: Mapping[str, Any], now: datetime) -> bool:
    """Whether the time has passed until which others may open a file."""
    return row["expires_at"] is not None and row["expires_at"] <= now


_REFUSALS: Mapping[str, str] = {
    "uploading": "FILE_NOT_READY",
    "scanning": "FILE_NOT_READY",
    "quarantined": "FILE_QUARANTINED",
    "failed": "FILE_FAILED",
    "trashed": "FILE_IN_TRASH",
}


def check_open(session: Session, row: Mapping[str, Any]) -> None:
    """Raises Conflict for a file that cannot be opened now: FILE_NOT_READY, FILE_QUARANTINED, FILE_FAILED,
    FILE_IN_TRASH, and for others than those who manage it FILE_EXPIRED."""
    code = _REFUSALS.get(row["state"])
    if code is not None:
        raise Conflict(code)
    if row["reason"] not in MANAGING and is_expired(row, moment(session)):
        raise Conflict("FILE_EXPIRED")


def _restrictions(row: Mapping[str, Any], now: datetime) -> tuple[str, ...]:
    found = [] if row["state"] == "ready" else [row["state"]]
    if is_expired(row, now) and row["reason"] not in MANAGING:
        found.append("expired")
    return tuple(found)


def levels_for(stands: Mapping[str, Any], course_id: UUID | None) -> frozenset[str]:
    """The access levels that somebody who stands so (``parameters``) may give a file of this course, or of none.

    Administrators and the course's staff give any; a teacher whatever needs no course; a learner of the course lets its
    staff see it; everybody else keeps a file to themselves.
    """
    found = {"owner"}
    leads = stands["administers"] or stands["serves"] or course_id in stands["staffed"]
    if leads or stands["teaches"]:
        found |= {"organization", "public"}
    if leads and course_id is not None:
        found |= {"staff", "enrolled"}
    if course_id in stands["learned"]:
        found.add("staff")
    return frozenset(found)
