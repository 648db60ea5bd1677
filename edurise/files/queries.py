"""Reads of files: lists, one file, what somebody may do with it, who opened it. Statements are built once, when this is
imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Text, Uuid, and_, any_, bindparam, cast, column, func, or_, select, table, type_coerce
from sqlalchemy.orm import Session
from sqlalchemy.types import NULLTYPE

from edurise.authz import Principal
from edurise.db import first, moment, rows, scalar
from edurise.errors import NotFound
from edurise.files import access, views
from edurise.files.links import Links
from edurise.files.models import File, FileAccess, FileCategory
from edurise.identity import queries as people
from edurise.paging import EVERYTHING, Found, Listing, Orderings, Window
from edurise.ports import Charge, Quotas
from edurise.tenants.quotas import STORAGE

_TITLES = table("course_titles", column("tenant_id", Uuid()), column("id", Uuid()), column("title", Text()))
_FACES = people.FACES

COLUMNS = (
    File.id,
    File.tenant_id,
    File.owner_id,
    File.course_id,
    File.category_id,
    File.name,
    File.extension,
    File.title,
    File.description,
    type_coerce(File.tags, NULLTYPE).label("tags"),
    File.media_type,
    File.size_bytes,
    File.sha256,
    File.access,
    File.state,
    File.scan,
    File.failure,
    File.store,
    File.key,
    File.thumbnail_key,
    File.thumbnail_type,
    File.thumbnail_bytes,
    File.link_version,
    File.download_count,
    File.last_accessed_at,
    File.expires_at,
    File.created_at,
    File.updated_at,
)
_SHOWN = (
    select(
        *COLUMNS,
        access.REASON,
        FileCategory.name.label("category_name"),
        FileCategory.description.label("category_description"),
        _TITLES.c.title.label("course_title"),
        _FACES.c.email.label("owner_email"),
        _FACES.c.first_name.label("owner_first_name"),
        _FACES.c.last_name.label("owner_last_name"),
    )
    .join(FileCategory, FileCategory.id == File.category_id)
    .outerjoin(_TITLES, and_(_TITLES.c.tenant_id == File.tenant_id, _TITLES.c.id == File.course_id))
    .outerjoin(_FACES, _FACES.c.id == File.owner_id)
    .where(File.tenant_id == bindparam("tenant"), access.VISIBLE)
)
FILE_ORDER = Orderings(
    "-created_at",
    File.id,
    {
        "created_at": File.created_at,
        "original_filename": File.name,
        "file_size": File.size_bytes,
        "download_count": File.download_count,
    },
)
_WORD = bindparam("category", type_=Text())
_NEEDLE = bindparam("needle", type_=Text())
_LISTED = Listing(
    _SHOWN,
    FILE_ORDER,
    {
        "not_trashed": File.state != "trashed",
        "states": File.state == any_(bindparam("states", type_=ARRAY(Text()))),
        "access": File.access == bindparam("access", type_=Text()),
        "category": or_(cast(FileCategory.id, Text) == _WORD, FileCategory.slug == _WORD),
        "course": File.course_id == bindparam("course", type_=Uuid()),
        "in_a_course": File.course_id.is_not(None),
        "owner": File.owner_id == bindparam("owner", type_=Uuid()),
        # strpos, not LIKE: what somebody types is no pattern.
        "needle": or_(
            func.strpos(func.lower(File.name), func.lower(_NEEDLE)) > 0,
            func.strpos(func.lower(File.title), func.lower(_NEEDLE)) > 0,
            _NEEDLE == any_(File.tags),  # noqa: SIM300 - any_() stands on the right of an operator only
        ),
    },
)
_ONE = _SHOWN.where(File.id == bindparam("id"))
_CHECKED = select(
    File.id,
    File.name,
    File.size_bytes,
    File.media_type,
    File.access,
    File.state,
    File.scan,
    File.expires_at,
    access.REASON,
).where(File.tenant_id == bindparam("tenant"), access.VISIBLE, File.id == any_(bindparam("ids", type_=ARRAY(Uuid()))))
_OF_CONTRACT: Mapping[str, list[str]] = {
    theirs: [ours for ours, other in access.STATE_TO_CONTRACT.items() if other == theirs and ours != "erased"]
    for theirs in access.STATE_TO_CONTRACT.values()
}


def listing(session: Session, who: Principal, given: Mapping[str, Any], window: Window, links: Links) -> Found:
    """The files of the acting organization that the caller may know of, newest first; four statements.

    ``given``: ``category`` (id or slug), ``course`` and ``owner`` (ids), ``in_a_course``, ``access_level`` and
    ``status`` (the contract's words), ``search`` in name, title and tags; None and "" filter nothing. Files in the
    trash are listed by ``status=deleted`` alone.
    """
    values = access.parameters(session, who) | {
        "tenant": who.tenant,
        "category": given.get("category"),
        "course": given.get("course"),
        "owner": given.get("owner"),
        "in_a_course": given.get("in_a_course"),
        "access": access.FROM_CONTRACT.get(given.get("access_level") or ""),
        "needle": given.get("search") or None,
        "states": _OF_CONTRACT[given["status"]] if given.get("status") else None,
        "not_trashed": None if given.get("status") else True,
    }
    found = _LISTED.page(session, values, window)
    maker = links.for_(who.user_id, moment(session))
    return Found(found.count, [views.file_view(row, maker) for row in found.rows])


def mine(session: Session, who: Principal, category: str | None, links: Links) -> list[dict[str, Any]]:
    """The caller's own files in the acting organization."""
    return listing(session, who, {"owner": who.person, "category": category}, Window(1, EVERYTHING), links).rows


def of_course(session: Session, who: Principal, course_id: UUID | None, links: Links) -> list[dict[str, Any]]:
    """The files of a course, or of all courses of the acting organization, that the caller may know of."""
    given = {"course": course_id, "in_a_course": True if course_id is None else None}
    return listing(session, who, given, Window(1, EVERYTHING), links).rows


def row(session: Session, who: Principal, file_id: UUID) -> dict[str, Any]:
    """One file as a plain row with its ``reason``. Raises NotFound, also for one that the caller may not know of."""
    found = first(session, _ONE, access.parameters(session, who) | {"tenant": who.tenant, "id": file_id})
    if found is None:
        raise NotFound
    return found


def file(session: Session, who: Principal, file_id: UUID, links: Links) -> dict[str, Any]:
    """One file as the contract shows it. Raises NotFound."""
    return views.file_view(row(session, who, file_id), links.for_(who.user_id, moment(session)))


def may(session: Session, who: Principal, file_id: UUID) -> dict[str, Any]:
    """What the caller may do with one file. Raises NotFound."""
    return views.permissions_view(access.permissions(session, row(session, who, file_id)))


def may_each(session: Session, who: Principal, file_ids: Sequence[UUID]) -> dict[str, dict[str, Any]]:
    """What the caller may do with each of many files of the acting organization, by id; two statements.

    Of a file of another organization, of one that the caller may not know of and of none the answer is the same.
    """
    values = access.parameters(session, who) | {"tenant": who.tenant, "ids": list(file_ids)}
    found = {one["id"]: one for one in rows(session, _CHECKED, values)}
    told: dict[str, dict[str, Any]] = {}
    for file_id in file_ids:
        known = found.get(file_id)
        allowed = access.NOTHING if known is None else access.permissions(session, known)
        told[str(file_id)] = views.checked_view(known, allowed)
    return told


_COUNTED = select(func.count(FileAccess.person_id.distinct()).label("unique_downloaders")).where(
    FileAccess.tenant_id == bindparam("tenant"), FileAccess.file_id == bindparam("id")
)
_LATEST = (
    select(FileAccess.person_id, FileAccess.ip, FileAccess.at, _FACES.c.first_name, _FACES.c.last_name)
    .outerjoin(_FACES, _FACES.c.id == FileAccess.person_id)
    .where(FileAccess.tenant_id == bindparam("tenant"), FileAccess.file_id == bindparam("id"))
    .order_by(FileAccess.at.desc(), FileAccess.id.desc())
    .limit(bindparam("most"))
)
LATEST_ACCESSES = 100


def has_course(session: Session, who: Principal, course_id: UUID) -> bool:
    """Whether the acting organization has this course."""
    key = (_TITLES.c.tenant_id == who.tenant, _TITLES.c.id == course_id)
    return scalar(session, select(_TITLES.c.id).where(*key)) is not None


def secure_url(
    session: Session, who: Principal, file_id: UUID, seconds: int, disposition: str, links: Links
) -> dict[str, Any]:
    """A signed link that opens a file as the caller for so many seconds. Raises NotFound, and Conflict as
    ``access.check_open`` does."""
    found = row(session, who, file_id)
    access.check_open(session, found)
    url = links.for_(who.person, moment(session)).signed(found, disposition, seconds, exact=True)
    return {"secure_url": url, "expires_in": seconds}


def statistics(session: Session, who: Principal, found: Mapping[str, Any]) -> dict[str, Any]:
    """How often a file was opened, by how many people, and the newest ``LATEST_ACCESSES`` downloads.

    A download is a request for a file from its first byte. ``download_count`` counts from the start, the people and the
    log only as far back as accesses are kept.
    """
    key = {"tenant": who.tenant, "id": found["id"]}
    counted = first(session, _COUNTED, key) or {"unique_downloaders": 0}
    log = rows(session, _LATEST, key | {"most": LATEST_ACCESSES})
    return {
        "download_count": found["download_count"],
        "unique_downloaders": counted["unique_downloaders"],
        "last_accessed": found["last_accessed_at"],
        "access_logs": [
            {
                "user": f"{one['first_name'] or ''} {one['last_name'] or ''}".strip(),
                "accessed_at": one["at"],
                "ip_address": one["ip"],
            }
            for one in log
        ],
    }


def usage(session: Session, who: Principal, course_id: UUID | None, quotas: Quotas) -> list[dict[str, Any]]:
    """The storage that the organization, the caller and, where one is named, a course use, and how much they may."""
    found = quotas.state(session, who.tenant, STORAGE, Charge(course_id, who.person))
    return [asdict(one) for one in found]
