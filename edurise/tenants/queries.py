"""Reads of organizations and memberships."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Boolean, Uuid, and_, any_, bindparam, exists, func, or_, select
from sqlalchemy.orm import Session

from edurise.authz import Principal
from edurise.db import first, moment, picture_url, rows
from edurise.errors import NotFound
from edurise.paging import Found, Listing, Orderings, Window
from edurise.tenants.models import CourseStanding, Membership, Organization

MEMBERSHIPS = select(
    Membership.id, Membership.tenant_id, Membership.person_id, Membership.role, Membership.is_active,
    Membership.created_at,
).subquery("members")  # fmt: skip
"""Memberships of the entered organization, to be joined by a capability above."""

MAIN = UUID("00000000-0000-7000-8000-000000000001")

ORGANIZATION = (
    Organization.id,
    Organization.name,
    Organization.subdomain,
    Organization.description,
    Organization.primary_color,
    Organization.secondary_color,
    Organization.plan,
    Organization.currency,
    Organization.timezone,
    Organization.language,
    Organization.course_review,
    Organization.file_store,
    Organization.settings,
    Organization.logo_path,
    Organization.is_active,
    Organization.created_at,
    Organization.updated_at,
)


_NAMES = select(Organization.id, Organization.name).where(
    Organization.id == any_(bindparam("ids", type_=ARRAY(Uuid())))
)
_BY_ID = select(*ORGANIZATION).where(Organization.id == bindparam("id"), Organization.is_active)
_LASTS = or_(CourseStanding.until.is_(None), CourseStanding.until > bindparam("now"))
_LEARNERS = (
    select(CourseStanding.person_id)
    .where(
        CourseStanding.tenant_id == bindparam("tenant"),
        CourseStanding.course_id == bindparam("course"),
        CourseStanding.kind == "learner",
        _LASTS,
    )
    .order_by(CourseStanding.person_id)
)
_STANDINGS = select(CourseStanding.course_id, CourseStanding.kind).where(
    CourseStanding.person_id == bindparam("person"), _LASTS
)


_MEMBERS = select(Membership.person_id).where(
    Membership.tenant_id == bindparam("tenant"),
    Membership.person_id == any_(bindparam("ids", type_=ARRAY(Uuid()))),
    Membership.is_active,
)


ORGANIZATION_ORDER = Orderings(
    "name",
    Organization.id,
    {"name": Organization.name, "created_at": Organization.created_at},
)
_SEARCHED = func.concat(Organization.name, " ", Organization.subdomain)
_LISTING = Listing(
    select(*ORGANIZATION),
    ORGANIZATION_ORDER,
    {
        "is_active": Organization.is_active == bindparam("is_active"),
        "search": func.strpos(func.lower(_SEARCHED), func.lower(bindparam("search"))) > 0,
    },
)


def listing(session: Session, given: Mapping[str, Any], window: Window) -> Found:
    """Organizations as rows of ``ORGANIZATION``, by ``is_active`` and ``search`` (name and subdomain); two
    statements."""
    return _LISTING.page(session, given, window)


def id_of(named: UUID | str) -> UUID:
    """The id that a request means; ``main`` stands for that of the platform's own organization."""
    return named if isinstance(named, UUID) else MAIN


def organization(session: Session, tenant_id: UUID) -> dict[str, Any] | None:
    """An active organization's columns, or None."""
    return first(session, _BY_ID, {"id": tenant_id})


def name_of(session: Session, who: Principal) -> str:
    """The name of the acting organization. Raises NotFound."""
    found = organization(session, who.tenant)
    if found is None:
        raise NotFound("ORGANIZATION_NOT_FOUND")
    return str(found["name"])


def names(session: Session, tenant_ids: Collection[UUID]) -> dict[UUID, str]:
    """The names of organizations by id, inactive ones too; one statement, or none."""
    if not tenant_ids:
        return {}
    found = rows(session, _NAMES, {"ids": sorted(tenant_ids)})
    return {row["id"]: row["name"] for row in found}


def by_subdomain(session: Session, subdomain: str) -> UUID | None:
    """The id of the active organization of a subdomain."""
    return session.scalar(select(Organization.id).where(Organization.subdomain == subdomain, Organization.is_active))


def membership(session: Session, tenant_id: UUID | None, person_id: UUID) -> dict[str, Any] | None:
    """``{id, role, organization_id, organization_name}`` of an active membership, or None."""
    query = (
        select(
            Membership.id,
            Membership.role,
            Organization.id.label("organization_id"),
            Organization.name.label("organization_name"),
        )
        .join(Organization, Organization.id == Membership.tenant_id)
        .where(
            Membership.tenant_id == tenant_id,
            Membership.person_id == person_id,
            Membership.is_active,
            Organization.is_active,
        )
    )
    return first(session, query)


def role_of(session: Session, tenant_id: UUID, person_id: UUID) -> str | None:
    """The role of a membership, also of one that is switched off; None where there is none."""
    key = (Membership.tenant_id == tenant_id, Membership.person_id == person_id)
    return session.scalar(select(Membership.role).where(*key))


def mine(session: Session, who: Principal) -> list[dict[str, Any]]:
    """The organizations that the caller belongs to, the acting one first, then by age of membership. Asks for the self
    scope."""
    query = (
        select(*ORGANIZATION, Membership.role)
        .join(Membership, Membership.tenant_id == Organization.id)
        .where(Membership.person_id == who.person, Membership.is_active, Organization.is_active)
        .order_by((Organization.id != who.wanted), Membership.created_at, Membership.id)
    )
    return [shown(session, row) for row in rows(session, query)]


def first_of(session: Session, person_id: UUID) -> UUID | None:
    """The organization of a person's oldest active membership."""
    return session.scalar(
        select(Membership.tenant_id)
        .join(Organization, Organization.id == Membership.tenant_id)
        .where(Membership.person_id == person_id, Membership.is_active, Organization.is_active)
        .order_by(Membership.created_at, Membership.id)
        .limit(1)
    )


_STRICTEST = select(
    func.min(Organization.settings["session_idle_minutes"].as_integer()).label("idle_minutes"),
    func.min(Organization.settings["session_absolute_hours"].as_integer()).label("absolute_hours"),
).where(Organization.id == Membership.tenant_id, Membership.person_id == bindparam("person"), Membership.is_active)


def session_limits(session: Session, person_id: UUID) -> tuple[timedelta | None, timedelta | None]:
    """How long a session of a person may rest and last, by the strictest of their organizations; None: no limit of
    theirs (system role)."""
    found = first(session, _STRICTEST, {"person": person_id}) or {}
    idle, absolute = found.get("idle_minutes"), found.get("absolute_hours")
    return (
        None if idle is None else timedelta(minutes=idle),
        None if absolute is None else timedelta(hours=absolute),
    )


_OTP_ROLES = Organization.settings["otp_roles"]
_OF_ITS_MEMBER = exists().where(
    Membership.tenant_id == Organization.id,
    Membership.person_id == bindparam("person"),
    Membership.is_active,
    func.jsonb_exists(_OTP_ROLES, Membership.role),
)
_OF_PLATFORM = and_(
    bindparam("of_platform", type_=Boolean()), Organization.id == MAIN, func.jsonb_exists(_OTP_ROLES, "platform")
)
_DEMANDING = (
    select(Organization.name)
    .where(Organization.is_active, or_(_OF_ITS_MEMBER, _OF_PLATFORM))
    .order_by(Organization.name, Organization.id)
)


def demanding(session: Session, person_id: UUID, *, of_platform: bool) -> list[str]:
    """The names of organizations that demand a second factor of a role that the person has there; of a platform
    administrator (``of_platform``) ``main`` may demand it too (system role)."""
    return [row["name"] for row in rows(session, _DEMANDING, {"person": person_id, "of_platform": of_platform})]


def learners_of(session: Session, tenant_id: UUID, course_id: UUID) -> list[UUID]:
    """Who may open the course as a learner now, by id; one statement."""
    values = {"tenant": tenant_id, "course": course_id, "now": moment(session)}
    return [row["person_id"] for row in rows(session, _LEARNERS, values)]


def members_among(session: Session, tenant_id: UUID, person_ids: Collection[UUID]) -> set[UUID]:
    """Which of these people are active members of the organization; one statement, or none."""
    if not person_ids:
        return set()
    found = rows(session, _MEMBERS, {"tenant": tenant_id, "ids": sorted(person_ids)})
    return {row["person_id"] for row in found}


def standings_of(session: Session, person_id: UUID) -> dict[UUID, frozenset[str]]:
    """How a person stands in courses, ``staff`` or ``learner``, by course; one statement. Over all organizations in the
    self scope, else in the acting one."""
    found: dict[UUID, frozenset[str]] = {}
    for row in rows(session, _STANDINGS, {"person": person_id, "now": moment(session)}):
        found[row["course_id"]] = found.get(row["course_id"], frozenset()) | {row["kind"]}
    return found


def shown(session: Session, row: dict[str, Any]) -> dict[str, Any]:
    """The contract's Organization, from a row of ``ORGANIZATION``. The plan is sent under all three spellings that
    clients read; what billing would know is null, for there is none yet."""
    plan, is_active = row["plan"], row["is_active"]
    return {
        "id": row["id"],
        "name": row["name"],
        "subdomain": row["subdomain"],
        "description": row["description"],
        "logo": picture_url(session, row["logo_path"]),
        "primary_color": row["primary_color"],
        "secondary_color": row["secondary_color"],
        "is_active": is_active,
        "subscription_plan": plan,
        "subscription": {
            "id": row["id"],
            "plan_name": plan,
            "plan_display_name": plan.capitalize(),
            "plan": {"name": plan},
            "status": "active" if is_active else "inactive",
            "billing_cycle": None,
            "current_period_end": None,
            "is_active": is_active,
        },
        "currency": row["currency"],
        "timezone": row["timezone"],
        "language": row["language"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }
