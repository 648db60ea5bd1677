"""Reads of enrollments."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from edurise.authz import Principal
from edurise.courses import queries as courses
from edurise.db import first, rows
from edurise.enrollments.models import Enrollment, Entitlement
from edurise.identity import queries as people
from edurise.paging import EVERYTHING

_COLUMNS = (
    Enrollment.id,
    Enrollment.course_id,
    Enrollment.person_id,
    Enrollment.status,
    Enrollment.progress_percentage,
    Enrollment.enrolled_at,
    Enrollment.completed_at,
    Enrollment.last_accessed,
)


_MINE = (
    select(*_COLUMNS)
    .where(Enrollment.person_id == bindparam("person"), Enrollment.status.in_(["active", "completed"]))
    .order_by(Enrollment.enrolled_at.desc(), Enrollment.id.desc())
    .limit(EVERYTHING)
)
_PLACE = select(*_COLUMNS).where(
    Enrollment.tenant_id == bindparam("tenant"),
    Enrollment.course_id == bindparam("course"),
    Enrollment.person_id == bindparam("person"),
)
_ENTITLED = select(Entitlement.id).where(
    Entitlement.tenant_id == bindparam("tenant"),
    Entitlement.course_id == bindparam("course"),
    Entitlement.person_id == bindparam("person"),
)


def enrolled_courses(session: Session, who: Principal) -> list[dict[str, Any]]:
    """The courses that the caller is enrolled in, over all organizations, newest first. Asks for the self scope; two
    statements."""
    mine = rows(session, _MINE, {"person": who.person})
    faces = courses.faces(session, [row["course_id"] for row in mine])
    return [
        faces[row["course_id"]]
        | {
            "enrollment_id": row["id"],
            "progress_percentage": row["progress_percentage"],
            "enrolled_at": row["enrolled_at"],
        }
        for row in mine
        if row["course_id"] in faces
    ]


def enrollment_view(session: Session, row: dict[str, Any], face: dict[str, Any]) -> dict[str, Any]:
    """The contract's Enrollment: a row of ``place``, with the student and the course as objects."""
    student = people.contact(session, row["person_id"])
    return {
        "id": row["id"],
        "student": {key: student[key] for key in ("id", "first_name", "last_name", "email")},
        "course": face,
        "course_id": row["course_id"],
        "course_title": face["title"],
        "status": row["status"],
        "progress_percentage": row["progress_percentage"],
        "enrolled_at": row["enrolled_at"],
        "completed_at": row["completed_at"],
        "last_accessed": row["last_accessed"],
    }


def place(session: Session, tenant_id: UUID, course_id: UUID, person_id: UUID) -> dict[str, Any] | None:
    """The columns of the person's enrollment in the course, or None."""
    return first(session, _PLACE, {"tenant": tenant_id, "course": course_id, "person": person_id})


def is_enrolled(session: Session, tenant_id: UUID, course_id: UUID, person_id: UUID) -> bool:
    """Whether the person has a place in the course."""
    return place(session, tenant_id, course_id, person_id) is not None


def is_entitled(session: Session, tenant_id: UUID, course_id: UUID, person_id: UUID) -> bool:
    """Whether the person may enroll in a paid course without paying (again)."""
    return first(session, _ENTITLED, {"tenant": tenant_id, "course": course_id, "person": person_id}) is not None
