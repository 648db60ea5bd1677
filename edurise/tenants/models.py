"""Organizations, memberships and standings."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from edurise.db import Base, Keyed, TenantScoped


class Organization(Keyed, Base):
    """A school: a tenant of the platform. ``main`` is the platform's own and exists from the first migration."""

    __tablename__ = "organizations"
    __table_args__ = (
        CheckConstraint("plan IN ('basic', 'pro', 'enterprise')", name="plan"),
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
    )

    name: Mapped[str]
    subdomain: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str] = mapped_column(default="")
    primary_color: Mapped[str] = mapped_column(default="#1F4E79")
    secondary_color: Mapped[str] = mapped_column(default="#F2B134")
    plan: Mapped[str] = mapped_column(default="basic")
    currency: Mapped[str] = mapped_column(default="USD")
    timezone: Mapped[str] = mapped_column(default="UTC")
    language: Mapped[str] = mapped_column(default="en")
    course_review: Mapped[bool] = mapped_column(default=False)
    is_active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Membership(TenantScoped, Base):
    """A person's role in an organization."""

    __tablename__ = "memberships"
    __table_args__ = (
        CheckConstraint("role IN ('student', 'teacher', 'admin')", name="role"),
        UniqueConstraint("tenant_id", "person_id"),
        UniqueConstraint("tenant_id", "id"),
    )

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"))
    person_id: Mapped[UUID] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), index=True)
    role: Mapped[str]
    is_active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime]


class CourseStanding(Base):
    """A person's standing in a course: ``staff`` teaches it, ``learner`` may open it, until a time or for good."""

    __tablename__ = "standings"
    __table_args__ = (
        CheckConstraint("kind IN ('staff', 'learner')", name="kind"),
        ForeignKeyConstraint(["tenant_id", "course_id"], ["courses.tenant_id", "courses.id"], ondelete="CASCADE"),
        Index(None, "person_id", "course_id"),
    )

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"), primary_key=True)
    course_id: Mapped[UUID] = mapped_column(primary_key=True)
    person_id: Mapped[UUID] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    until: Mapped[datetime | None]
