"""Reads of enrollments."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from edurise.authz import Principal
from edurise.courses import queries as courses
from edurise.db import first, rows
from edurise.enrollments.models import Enrollment, Entitlement
from edurise.errors import NotFound
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


def enrolled_courses(session: Session, who: Principal) -> list[dict[str, Any]]:
    """The courses that the caller is enrolled in, over all organizations, newest first. Asks for the self scope; two
    statements."""
    mine = rows(
        session,
        select(*_COLUMNS)
        .where(Enrollment.person_id == who.person, Enrollment.status.in_(["active", "completed"]))
        .order_by(Enrollment.enrolled_at.desc(), Enrollment.id.desc())
        .limit(EVERYTHING),
    )
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


def enrollment_view(session: Session, enrollment_id: UUID) -> dict[str, Any]:
    """The contract's Enrollment with the student and the course as objects. Raises NotFound."""
    row = first(session, select(*_COLUMNS).where(Enrollment.id == enrollment_id))
    if row is None:
        raise NotFound
    student = people.contact(session, row["person_id"])
    face = courses.faces(session, [row["course_id"]])[row["course_id"]]
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


def is_enrolled(session: Session, tenant_id: UUID, course_id: UUID, person_id: UUID) -> bool:
    """Whether the person has a place in the course."""
    return place(session, tenant_id, course_id, person_id) is not None


def is_entitled(session: Session, tenant_id: UUID, course_id: UUID, person_id: UUID) -> bool:
    """Whether the person may enroll in a paid course without paying (again)."""
    found = session.scalar(
        select(Entitlement.id).where(
            Entitlement.tenant_id == tenant_id, Entitlement.course_id == course_id, Entitlement.person_id == person_id
        )
    )
    return found is not None


def place(session: Session, tenant_id: UUID, course_id: UUID, person_id: UUID) -> UUID | None:
    return session.scalar(
        select(Enrollment.id).where(
            Enrollment.tenant_id == tenant_id, Enrollment.course_id == course_id, Enrollment.person_id == person_id
        )
    )
