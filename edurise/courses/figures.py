"""Figures of courses, from the public catalogue unless it says otherwise.

``course_count``: courses in it. ``total_students``: places taken in them, as it shows them, so that somebody in two
courses counts twice. ``avg_rating``: the mean of its ratings over the courses that have one; None without any.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, any_, bindparam, func, select
from sqlalchemy.orm import Session

from edurise.courses.models import CatalogueEntry, Course
from edurise.db import rows, scalar

_FIGURES = (
    func.count().label("course_count"),
    func.coalesce(func.sum(CatalogueEntry.total_enrollments), 0).label("total_students"),
    func.avg(func.nullif(CatalogueEntry.average_rating, 0)).label("avg_rating"),
)
_OF_ORGANIZATIONS = (
    select(CatalogueEntry.tenant_id.label("id"), *_FIGURES)
    .where(CatalogueEntry.tenant_id == any_(bindparam("ids", type_=ARRAY(Uuid()))))
    .group_by(CatalogueEntry.tenant_id)
)
_OF_INSTRUCTOR = select(*_FIGURES).where(CatalogueEntry.instructor_id == bindparam("person"))
_ALL = select(func.count()).select_from(Course).where(Course.tenant_id == bindparam("tenant"))


def of_organizations(session: Session, tenant_ids: Collection[UUID]) -> dict[UUID, dict[str, Any]]:
    """``{course_count, total_students, avg_rating}`` by organization; one statement, or none."""
    if not tenant_ids:
        return {}
    found = {row.pop("id"): row for row in rows(session, _OF_ORGANIZATIONS, {"ids": list(tenant_ids)})}
    return {one: found.get(one, {"course_count": 0, "total_students": 0, "avg_rating": None}) for one in tenant_ids}


def of_instructor(session: Session, person_id: UUID) -> dict[str, Any]:
    """The same of whoever teaches, over all organizations."""
    return rows(session, _OF_INSTRUCTOR, {"person": person_id})[0]


def count(session: Session, tenant_id: UUID) -> int:
    """How many courses an organization has, whatever their state (system role, or the acting organization)."""
    return scalar(session, _ALL, {"tenant": tenant_id}) or 0
