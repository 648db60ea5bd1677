"""Entitlements (what a person may take without paying again) and enrollments."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from edurise.db import Base, TenantScoped


class Entitlement(TenantScoped, Base):
    """The right to enroll in a paid course. A higher capability grants it; enrolling checks it."""

    __tablename__ = "entitlements"
    __table_args__ = (
        CheckConstraint("source IN ('payment')", name="source"),
        UniqueConstraint("tenant_id", "id"),
        UniqueConstraint("tenant_id", "course_id", "person_id"),
        ForeignKeyConstraint(["tenant_id", "course_id"], ["courses.tenant_id", "courses.id"], ondelete="CASCADE"),
    )

    course_id: Mapped[UUID]
    person_id: Mapped[UUID] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), index=True)
    source: Mapped[str]
    source_id: Mapped[UUID]
    granted_at: Mapped[datetime]


class Enrollment(TenantScoped, Base):
    """A person's place in a course; one for each person and course."""

    __tablename__ = "enrollments"
    __table_args__ = (
        CheckConstraint("status IN ('active', 'completed', 'dropped', 'suspended')", name="status"),
        CheckConstraint("progress_percentage BETWEEN 0 AND 100", name="progress_percentage"),
        UniqueConstraint("tenant_id", "id"),
        UniqueConstraint("tenant_id", "course_id", "person_id"),
        ForeignKeyConstraint(["tenant_id", "course_id"], ["courses.tenant_id", "courses.id"], ondelete="CASCADE"),
        Index(None, "person_id", "enrolled_at"),
    )

    course_id: Mapped[UUID]
    person_id: Mapped[UUID] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"))
    status: Mapped[str] = mapped_column(default="active")
    progress_percentage: Mapped[int] = mapped_column(default=0)
    enrolled_at: Mapped[datetime]
    completed_at: Mapped[datetime | None]
    last_accessed: Mapped[datetime]
