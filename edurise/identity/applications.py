"""Teacher applications: an applicant sees their own, an administrator decides."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from edurise import audit, outbox
from edurise.authz import Grade, Principal
from edurise.db import moment, rows
from edurise.errors import Conflict, NotFound
from edurise.identity.events import TeacherApproved
from edurise.identity.models import Person, TeacherApplication
from edurise.tenants import queries as tenants
from edurise.tenants import service as memberships

_COLUMNS = (
    TeacherApplication.id,
    TeacherApplication.status,
    TeacherApplication.rejection_reason,
    TeacherApplication.submitted_at,
    TeacherApplication.reviewed_at,
    Person.first_name,
    Person.last_name,
    Person.email,
)
_LIMIT = 10_000


def listed(session: Session, who: Principal) -> tuple[bool, list[dict[str, Any]]]:
    """(whether the caller decides, applications newest first): all of the organization for its administrators, else
    the caller's own."""
    decides = who.stands(Grade.ADMINISTRATOR, Grade.PLATFORM)
    query = (
        select(*_COLUMNS)
        .join(Person, Person.id == TeacherApplication.person_id)
        .order_by(TeacherApplication.submitted_at.desc(), TeacherApplication.id.desc())
        .limit(_LIMIT)
    )
    if not decides:
        query = query.where(TeacherApplication.person_id == who.person)
    organization = tenants.organization(session, who.tenant) or {"name": ""}
    return decides, [application_view(row, organization["name"]) for row in rows(session, query)]


def by_reader(found: tuple[bool, list[dict[str, Any]]]) -> Any:
    """An array for those who decide, a page for an applicant: each screen reads only the one."""
    decides, listed_rows = found
    if decides:
        return listed_rows
    return {"count": len(listed_rows), "next": None, "previous": None, "results": listed_rows}


def approve(session: Session, who: Principal, application_id: UUID) -> dict[str, Any]:
    """Approve: the membership becomes a teacher's, the decision is audited, the person is told. Approving twice
    changes nothing.

    Raises NotFound, and Conflict for an application that was rejected.
    """
    found = session.scalars(
        select(TeacherApplication).where(TeacherApplication.id == application_id).with_for_update()
    ).one_or_none()
    if found is None:
        raise NotFound
    if found.status == "rejected":
        raise Conflict("APPLICATION_DECIDED")
    if found.status == "pending":
        found.status, found.reviewed_at, found.reviewed_by = "approved", moment(session), who.person
        member = tenants.membership(session, who.tenant, found.person_id)
        if member is None or member["role"] == "student":  # an administrator stays one
            memberships.give_role(session, who.tenant, found.person_id, "teacher")
        audit.write(session, who, "teacher_application.approved", "teacher_application", found.id)
        outbox.record(session, who.tenant, TeacherApproved(application_id=found.id, person_id=found.person_id))
        session.flush()
    query = (
        select(*_COLUMNS)
        .join(Person, Person.id == TeacherApplication.person_id)
        .where(TeacherApplication.id == application_id)
    )
    organization = tenants.organization(session, who.tenant) or {"name": ""}
    return application_view(rows(session, query)[0], organization["name"])


def application_view(row: dict[str, Any], organization_name: str) -> dict[str, Any]:
    """The contract's TeacherApproval: the union of what four screens read."""
    first, last, email = row["first_name"], row["last_name"], row["email"]
    return {
        "id": row["id"],
        "status": row["status"],
        "user": {"first_name": first, "last_name": last, "email": email, "name": f"{first} {last}".strip()},
        "user_first_name": first,
        "user_last_name": last,
        "user_email": email,
        "first_name": first,
        "last_name": last,
        "email": email,
        "organization_name": organization_name,
        "teaching_experience": "",
        "subject_expertise": "",
        "documents": [],
        "rejection_reason": row["rejection_reason"],
        "applied_at": row["submitted_at"],
        "created_at": row["submitted_at"],
        "submitted_at": row["submitted_at"],
        "reviewed_at": row["reviewed_at"],
        "processed_at": row["reviewed_at"],
    }
