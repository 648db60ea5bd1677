"""Organizations, memberships and standings."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from edurise.db import Base, Keyed, TenantScoped


class Organization(Keyed, Base):
    """A school: a tenant of the platform. ``main`` is the platform's own and exists from the first migration.

    ``file_store`` is where its new files go; None: where the settings say. ``settings`` holds what of
    ``tenants.settings`` is not the default. ``logo_path`` is the path of a public picture.
    """

    __tablename__ = "organizations"
    __table_args__ = (
        CheckConstraint("plan IN ('basic', 'pro', 'enterprise')", name="plan"),
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
        CheckConstraint("file_store IN ('local', 's3')", name="file_store"),
        Index(None, "name", "id"),
        Index(None, "created_at", "id"),
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
    file_store: Mapped[str | None]
    settings: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)
    logo_path: Mapped[str | None]
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
    """A person's standing in a course: ``staff`` teaches it, ``learner`` may open it, until a time or for good.

    ``is_suspended`` is the database's: a standing counts only while a membership carries it, and is hidden else.
    """

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
    is_suspended: Mapped[bool] = mapped_column(default=False)


class Invitation(TenantScoped, Base):
    """An address that was asked to join an organization in a role. One is open for an address at a time. Its link is
    made from the id when it is mailed."""

    __tablename__ = "invitations"
    __table_args__ = (
        CheckConstraint("role IN ('student', 'teacher', 'admin')", name="role"),
        UniqueConstraint("tenant_id", "id"),
        Index(
            "uq_invitations_open",
            "tenant_id",
            "email_key",
            unique=True,
            postgresql_where=text("accepted_at IS NULL AND revoked_at IS NULL"),
        ),
        Index(None, "tenant_id", "created_at"),
    )

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"))
    email: Mapped[str]
    email_key: Mapped[str | None] = mapped_column(Computed("lower(email)", persisted=True))
    first_name: Mapped[str] = mapped_column(default="")
    last_name: Mapped[str] = mapped_column(default="")
    language: Mapped[str] = mapped_column(default="en")
    role: Mapped[str]
    invited_by: Mapped[UUID | None] = mapped_column(ForeignKey("people.id", ondelete="SET NULL"), index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    accepted_at: Mapped[datetime | None]
    accepted_by: Mapped[UUID | None] = mapped_column(ForeignKey("people.id", ondelete="SET NULL"), index=True)
    revoked_at: Mapped[datetime | None]


class QuotaUsage(Base):
    """What one organization, course or person uses of a resource, reservations under way included."""

    __tablename__ = "quota_usage"
    __table_args__ = (
        CheckConstraint("scope IN ('organization', 'course', 'person')", name="scope"),
        CheckConstraint("used >= 0", name="used"),
    )

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"), primary_key=True)
    resource: Mapped[str] = mapped_column(primary_key=True)
    scope: Mapped[str] = mapped_column(primary_key=True)
    subject_id: Mapped[UUID] = mapped_column(primary_key=True)
    used: Mapped[int] = mapped_column(BigInteger)


class QuotaHold(TenantScoped, Base):
    """A reservation until ``expires_at``: it counts as used until it is settled or released."""

    __tablename__ = "quota_holds"
    __table_args__ = (CheckConstraint("amount >= 0", name="amount"), Index(None, "expires_at"))

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"), index=True)
    resource: Mapped[str]
    course_id: Mapped[UUID | None]
    person_id: Mapped[UUID | None]
    amount: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[datetime]
