"""Organizations with their figures.

The formula of each stands with its source: ``courses.figures``, ``enrollments.figures``, ``payments.figures``,
``tenants.figures``. What is not public (``user_count``, ``revenue``) is None for who may not see it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from edurise import audit
from edurise.authz import Grade, Principal
from edurise.courses import figures as courses
from edurise.enrollments import figures as enrollments
from edurise.errors import NotFound
from edurise.money import to_major
from edurise.paging import Found, Window
from edurise.payments import figures as payments
from edurise.tenants import figures as members
from edurise.tenants import organizations
from edurise.tenants import queries as tenants

_HIDDEN: dict[str, Any] = {"user_count": None, "revenue": None}


def listing(session: Session, _who: Principal, given: Mapping[str, Any], window: Window) -> Found:
    """The open organizations with what is public of their figures; three statements."""
    found = tenants.listing(session, {**given, "is_active": True}, window)
    known = courses.of_organizations(session, [row["id"] for row in found.rows])
    return Found(found.count, [tenants.shown(session, row) | _HIDDEN | known[row["id"]] for row in found.rows])


def everything(session: Session, who: Principal, given: Mapping[str, Any], window: Window) -> Found:
    """Every organization with every figure (system role), for a platform administrator; that they were read is
    audited. Five statements and the audit."""
    audit.write(session, who, "organization.listed_everywhere", "organization", None)
    found = tenants.listing(session, given, window)
    known = courses.of_organizations(session, [row["id"] for row in found.rows])
    inner = _internal(session, found.rows)
    return Found(found.count, [tenants.shown(session, row) | inner[row["id"]] | known[row["id"]] for row in found.rows])


def by_subdomain(session: Session, _who: Principal, subdomain: str) -> dict[str, Any]:
    """An open organization by its subdomain, whatever its case. Raises NotFound."""
    tenant_id = tenants.by_subdomain(session, subdomain.lower())
    if tenant_id is None:
        raise NotFound("ORGANIZATION_NOT_FOUND")
    return organizations.one(session, tenant_id)


def detail(session: Session, who: Principal) -> dict[str, Any]:
    """The organization at hand; its own administrators and the platform's see every figure, others what is public."""
    row = organizations.row(session, who.tenant)
    inner = dict(_HIDDEN)
    if who.stands(Grade.ADMINISTRATOR, Grade.PLATFORM):
        inner = _internal(session, [row])[row["id"]]
    return tenants.shown(session, row) | inner | courses.of_organizations(session, [row["id"]])[row["id"]]


def marketplace(session: Session, _who: Principal) -> list[dict[str, Any]]:
    """The open organizations as the marketplace introduces them."""
    found = tenants.listing(session, {"is_active": True}, Window())
    known = courses.of_organizations(session, [row["id"] for row in found.rows])
    names = ("id", "name", "subdomain", "logo", "description", "primary_color", "secondary_color")
    views = [tenants.shown(session, row) for row in found.rows]
    return [{name: view[name] for name in names} | known[view["id"]] for view in views]


def stats(session: Session, who: Principal) -> dict[str, Any]:
    """The figures of the organization at hand under every name that a client reads them by.

    ``total_courses`` counts all its courses, ``total_students`` people who are enrolled, ``active_users`` active
    memberships; who of them was there lately is not measured, so ``total_users`` is the same number.
    """
    row = organizations.row(session, who.tenant)
    inner = _internal(session, [row])[row["id"]]
    rating = courses.of_organizations(session, [row["id"]])[row["id"]]["avg_rating"]
    counted = enrollments.of_organization(session, row["id"]) | {"courses": courses.count(session, row["id"])}
    users, revenue = inner["user_count"], inner["revenue"]
    return {
        "user_stats": {"total_users": users},
        "course_stats": {"total_courses": counted["courses"]},
        "enrollment_stats": {"total_enrollments": counted["enrollments"]},
        "revenue_stats": {"total_revenue": revenue},
        "course_statistics": {"total_courses": counted["courses"]},
        "student_statistics": {
            "total_students": counted["learners"],
            "total_enrollments": counted["enrollments"],
        },
        "performance_metrics": {"avg_rating": rating},
        "financial_statistics": {"total_revenue": revenue, "currency": row["currency"]},
        "total_users": users,
        "active_users": users,
        "total_courses": counted["courses"],
        "total_enrollments": counted["enrollments"],
        "total_revenue": revenue,
    }


def instructor(session: Session, _who: Principal, person_id: UUID) -> dict[str, Any]:
    """The public figures of whoever teaches; zeros for somebody who teaches nothing, or whom nobody knows."""
    found = courses.of_instructor(session, person_id)
    return {
        "total_courses": found["course_count"],
        "total_students": found["total_students"],
        "avg_rating": found["avg_rating"],
    }


def _internal(session: Session, listed: list[dict[str, Any]]) -> dict[UUID, dict[str, Any]]:
    """``{user_count, revenue}`` by organization, revenue in major units of its currency; two statements."""
    ids = [row["id"] for row in listed]
    counts, minor = members.members(session, ids), payments.revenue_minor(session, ids)
    return {
        row["id"]: {"user_count": counts[row["id"]], "revenue": to_major(minor[row["id"]], row["currency"])}
        for row in listed
    }
