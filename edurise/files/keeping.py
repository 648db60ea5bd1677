"""What decides whether a file may be kept: its category, the organization's plan, and where the caller stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Text, Uuid, bindparam, func, or_, select
from sqlalchemy.orm import Session

from edurise.authz import Principal
from edurise.db import first, moment
from edurise.errors import Forbidden, Invalid, NotFound, Oversize, Problem
from edurise.files import access, naming, types
from edurise.files.models import FileCategory
from edurise.ports import Quotas
from edurise.tenants import queries as tenants
from edurise.tenants.limits import Limits, PlanLimits

INSPECT_AGAIN = timedelta(minutes=20)
"""When an inspection that has not come to an end is asked for anew."""

CATEGORY = (
    FileCategory.id,
    FileCategory.tenant_id,
    FileCategory.slug,
    FileCategory.name,
    FileCategory.description,
    FileCategory.icon,
    FileCategory.extensions,
    FileCategory.max_bytes,
    FileCategory.default_access,
    FileCategory.is_reencoded,
    FileCategory.is_active,
    FileCategory.sort_order,
)
_NAMED = (
    select(*CATEGORY)
    .where(
        or_(FileCategory.tenant_id.is_(None), FileCategory.tenant_id == bindparam("tenant", type_=Uuid())),
        or_(
            FileCategory.id == bindparam("id", type_=Uuid()),
            FileCategory.slug == bindparam("word", type_=Text()),
            func.lower(FileCategory.name) == bindparam("word", type_=Text()),
        ),
        FileCategory.is_active,
    )
    .order_by(FileCategory.tenant_id.is_(None), FileCategory.id)
    .limit(1)
)


@dataclass(frozen=True)
class Keeping:
    """What an installation decides about files. ``store`` is where new ones go unless their organization has another,
    ``stores`` are those that there are."""

    quotas: Quotas
    limits: Limits
    store: str
    stores: frozenset[str]
    upload_for: timedelta
    trash_for: timedelta

    def plan(self, session: Session, who: Principal) -> PlanLimits:
        """What the plan of the acting organization allows. Raises NotFound."""
        found = _organization(session, who)
        return self.limits.of(found["plan"], found["subdomain"])

    def store_for(self, session: Session, who: Principal) -> str:
        """The store of a new file of the acting organization."""
        own: str | None = _organization(session, who)["file_store"]
        return own if own in self.stores else self.store


@dataclass(frozen=True)
class Place:
    """Where a file belongs, as far as it was checked before a row is written."""

    category_id: UUID
    course_id: UUID | None
    access: str
    name: str
    extension: str


def place(session: Session, who: Principal, data: Mapping[str, Any], name: str, size: int, keeping: Keeping) -> Place:
    """Check what somebody wants to keep, and where; the hop was entered about the course where ``data`` names one.

    ``data``: ``category`` (id, slug or name), ``access_level`` (the contract's word, None: the category's), and
    ``course_id``. Raises Invalid for an unknown category, a type that is not taken and a level that needs a course;
    Forbidden (FILE_ACCESS_NOT_ALLOWED) for a level that the caller may not give; Oversize (FILE_TOO_LARGE).
    """
    category = named_category(session, who, data["category"])
    clean = naming.sanitize(name)
    extension = naming.extension_of(clean)
    plan = keeping.plan(session, who)
    if not takes(category, plan, extension):
        raise Invalid(
            "FILE_TYPE_NOT_ALLOWED",
            errors={"file": [Problem("bad_file_type", {"choices": sorted(category["extensions"])})]},
            extension=extension,
        )
    most = min(category["max_bytes"], plan.file_bytes)
    if size > most:
        raise too_large(most)
    course_id: UUID | None = data.get("course_id")
    stands = access.parameters(session, who)
    return Place(category["id"], course_id, _level(stands, data, category, course_id), clean, extension)


def agreed_type(extension: str, found: str) -> str:
    """The media type of a file by its extension and by what its bytes look like.

    Raises Invalid (FILE_TYPE_MISMATCH) where the two do not belong together.
    """
    agreed = types.agree(extension, found)
    if agreed is None:
        problem = Problem("type_mismatch", {"extension": extension, "found": found})
        raise Invalid("FILE_TYPE_MISMATCH", errors={"file": [problem]}, extension=extension)
    return agreed


def too_large(most: int) -> Oversize:
    """The refusal of a file above ``most`` bytes."""
    return Oversize("FILE_TOO_LARGE", max=most, max_mb=round(most / 1024**2))


def check_level(stands: Mapping[str, Any], wanted: str, course_id: UUID | None) -> None:
    """Raises Invalid for a level that needs a course where there is none, and Forbidden (FILE_ACCESS_NOT_ALLOWED) for
    one beyond somebody who stands so."""
    if wanted in ("staff", "enrolled") and course_id is None:
        raise Invalid(errors={"access_level": [Problem("needs_course")]})
    if wanted not in access.levels_for(stands, course_id):
        raise Forbidden("FILE_ACCESS_NOT_ALLOWED")


def _level(
    stands: Mapping[str, Any], data: Mapping[str, Any], category: Mapping[str, Any], course_id: UUID | None
) -> str:
    """The access level of a new file: the wanted one, or the category's as far as the caller may give it."""
    if data.get("access_level") is None:
        usual: str = category["default_access"]
        return usual if usual in access.levels_for(stands, course_id) else "owner"
    wanted = access.FROM_CONTRACT[data["access_level"]]
    check_level(stands, wanted, course_id)
    return wanted


def takes(category: Mapping[str, Any], plan: PlanLimits, extension: str) -> bool:
    """Whether a category and a plan take files of this extension."""
    if extension not in category["extensions"]:
        return False
    return plan.file_types is None or not plan.file_types.isdisjoint({extension, types.of_extension(extension).group})


def named_category(session: Session, who: Principal, named: str) -> dict[str, Any]:
    """An active category of the platform or the acting organization, by id, slug or name. Raises Invalid."""
    try:
        category_id = UUID(named)
    except ValueError:
        category_id = None
    found = first(session, _NAMED, {"tenant": who.tenant, "id": category_id, "word": named.lower()})
    if found is None:
        raise Invalid(errors={"category": [Problem("unknown_category")]})
    return found


def check_expiry(session: Session, data: Mapping[str, Any]) -> None:
    """Raises Invalid for an end that lies in the past."""
    if data.get("expires_at") is not None and data["expires_at"] <= moment(session):
        raise Invalid(errors={"expires_at": [Problem("in_the_past")]})


def _organization(session: Session, who: Principal) -> dict[str, Any]:
    found = tenants.organization(session, who.tenant)
    if found is None:
        raise NotFound("ORGANIZATION_NOT_FOUND")
    return found
