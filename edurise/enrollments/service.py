"""Commands on enrollments. Enrolling twice is enrolling once, by a unique key."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from edurise import activity, outbox
from edurise.authz import Principal
from edurise.courses import queries as courses
from edurise.courses import service as catalogue
from edurise.db import insert_missing, moment
from edurise.enrollments import queries
from edurise.enrollments.events import CourseEnrolled
from edurise.enrollments.models import Enrollment, Entitlement
from edurise.errors import Conflict
from edurise.tenants import service as memberships


def enroll(session: Session, who: Principal, course_id: UUID) -> tuple[bool, dict[str, Any]]:
    """Enroll the caller; returns (whether it is new, the enrollment).

    A paid course asks for an entitlement. Raises Forbidden (MEMBERSHIP_SUSPENDED), and Conflict: PAYMENT_REQUIRED,
    COURSE_FULL, PLAN_LIMIT_REACHED, or COURSE_NOT_ON_SALE for a course that is not published.
    """
    price = courses.price_of(session, course_id)
    existing = queries.place(session, who.tenant, course_id, who.person)
    if existing is not None:  # somebody who was removed and comes back belongs here again
        memberships.join(session, who.tenant, who.person)
    else:
        entitled = price.amount_minor > 0 and queries.is_entitled(session, who.tenant, course_id, who.person)
        _refuse(session, price, entitled=entitled)
        taken = take_place(session, who.tenant, course_id, who.person, paid=entitled)
        if taken is not None:
            return True, queries.enrollment_view(session, taken, price.face)
        # Somebody else's repeat of the same request was faster.
        existing = queries.place(session, who.tenant, course_id, who.person)
    if existing is None:
        raise Conflict
    return False, queries.enrollment_view(session, existing, price.face)


def _refuse(session: Session, price: courses.Price, *, entitled: bool) -> None:
    if entitled:
        return
    if price.amount_minor > 0:
        raise Conflict("PAYMENT_REQUIRED")
    if not price.on_sale:
        raise Conflict("COURSE_NOT_ON_SALE")
    catalogue.reserve_place(session, price.face)


def entitle(session: Session, tenant_id: UUID, course_id: UUID, person_id: UUID, payment_id: UUID) -> bool:
    """Grant the right to a course for a settled payment; safe to repeat. Returns whether it is new."""
    return insert_missing(
        session,
        Entitlement,
        id=uuid7(),
        tenant_id=tenant_id,
        course_id=course_id,
        person_id=person_id,
        source="payment",
        source_id=payment_id,
        granted_at=moment(session),
    )


def take_place(
    session: Session, tenant_id: UUID, course_id: UUID, person_id: UUID, *, paid: bool
) -> dict[str, Any] | None:
    """Make enrollment, standing and membership, count the learner and tell the platform.

    Returns the enrollment's columns, or None where the place was taken already. Whoever paid gets a place even in a
    course that filled up meanwhile: the limit is kept when the payment starts.
    """
    now = moment(session)
    taken: dict[str, Any] = {
        "id": uuid7(),
        "tenant_id": tenant_id,
        "course_id": course_id,
        "person_id": person_id,
        "status": "active",
        "progress_percentage": 0,
        "enrolled_at": now,
        "completed_at": None,
        "last_accessed": now,
    }
    if not insert_missing(session, Enrollment, **taken):
        return None
    memberships.stand(session, tenant_id, course_id, person_id, "learner")
    memberships.join(session, tenant_id, person_id, paid=paid)
    catalogue.count_enrollment(session, tenant_id, course_id)
    activity.note(session, tenant_id, person_id, "enrolled", "course", course_id)
    event = CourseEnrolled(enrollment_id=taken["id"], course_id=course_id, person_id=person_id, paid=paid)
    outbox.record(session, tenant_id, event)
    return taken
