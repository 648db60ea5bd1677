"""Figures of enrollments."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from edurise.db import rows
from edurise.enrollments.models import Enrollment

_COUNTED = select(
    func.count().label("enrollments"), func.count(Enrollment.person_id.distinct()).label("learners")
).where(Enrollment.tenant_id == bindparam("tenant"))


def of_organization(session: Session, tenant_id: UUID) -> dict[str, int]:
    """``{enrollments, learners}``: all enrollments of an organization, and how many people they are of (system role,
    or the acting organization)."""
    return rows(session, _COUNTED, {"tenant": tenant_id})[0]
