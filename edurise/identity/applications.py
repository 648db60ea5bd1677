"""Teacher applications: an applicant sees their own, an administrator decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from edurise import audit, outbox
from edurise.authz import Grade, Principal
from edurise.db import moment, rows, see_own_everywhere
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


_NEWEST_FIRST = (
    select(*_COLUMNS, TeacherApplication.tenant_id)
    .join(Person, Person.id == TeacherApplication.person_id)
    .order_by(TeacherApplication.submitted_at.desc(), TeacherApplication.id.desc())
    .limit(_LIMIT)
)


@dataclass(frozen=True)
class Listed:
    """Applications for one reader. ``decides`` says whether the reader decides over them, ``everywhere`` that the
    reader is a platform administrator, who is shown those of every organization."""

    decides: bool
    everywhere: bool
    rows: list[dict[str, Any]]


def listed(session: Session, who: Principal) -> Listed:
    """All of the acting organization, newest first, for its administrators; one's own in any organization for
    others."""
    everywhere = who.stands(Grade.PLATFORM)
    decides = everywhere or who.stands(Grade.ADMINISTRATOR)
    query = _NEWEST_FIRST
    if not decides:
        see_own_everywhere(session)
        query = query.where(TeacherApplication.person_id == who.person)
    return Listed(decides, everywhere, _views(session, rows(session, query)))


def of_all(session: Session, who: Principal) -> Listed:
    """Those of every organization (system role), for a platform administrator; that they were read is audited."""
    audit.write(session, who, "teacher_application.listed_everywhere", "teacher_application", None)
    return Listed(True, True, _views(session, rows(session, _NEWEST_FIRST)))


def by_reader(found: Listed) -> Any:
    """An array for those who decide, a page for an applicant: each screen reads only the one."""
    if found.decides:
        return found.rows
    return {"count": len(found.rows), "next": None, "previous": None, "results": found.rows}


def _views(session: Session, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = tenants.names(session, {row["tenant_id"] for row in found})
    return [application_view(row, names.get(row["tenant_id"], "")) for row in found]


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
