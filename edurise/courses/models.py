"""Courses and what they are made of, and the public catalogue."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from edurise.db import Base, TenantScoped


class Category(Base):
    """A subject. The slug is the id: clients read one value as id, as word and as name."""

    __tablename__ = "categories"

    slug: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID | None] = mapped_column(ForeignKey("organizations.id"), index=True)
    name: Mapped[str]
    sort_order: Mapped[int] = mapped_column(default=0)
    is_active: Mapped[bool] = mapped_column(default=True)


class Course(TenantScoped, Base):
    """A course of an organization. ``price_minor`` 0 means free; the price is in the organization's currency.

    The instructor's name is kept here because a learner of another organization may read the course and not the person.
    """

    __tablename__ = "courses"
    __table_args__ = (
        CheckConstraint("difficulty_level IN ('beginner', 'intermediate', 'advanced')", name="difficulty_level"),
        CheckConstraint("status IN ('draft', 'pending', 'published', 'suspended')", name="status"),
        CheckConstraint("price_minor >= 0", name="price_minor"),
        CheckConstraint("duration_weeks > 0", name="duration_weeks"),
        CheckConstraint("max_students > 0", name="max_students"),
        UniqueConstraint("tenant_id", "id"),
        UniqueConstraint("tenant_id", "instructor_id", "idempotency_key"),
        Index(None, "tenant_id", "created_at"),
        Index(None, "tenant_id", "title"),
        Index(None, "tenant_id", "price_minor"),
        Index(None, "tenant_id", "total_enrollments"),
    )

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"))
    instructor_id: Mapped[UUID] = mapped_column(ForeignKey("people.id"), index=True)
    instructor_first_name: Mapped[str]
    instructor_last_name: Mapped[str]
    title: Mapped[str]
    description: Mapped[str] = mapped_column(default="")
    category: Mapped[str] = mapped_column(ForeignKey("categories.slug"), index=True)
    difficulty_level: Mapped[str] = mapped_column(default="beginner")
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text()), default=list)
    price_minor: Mapped[int] = mapped_column(default=0)
    currency: Mapped[str]
    duration_weeks: Mapped[int] = mapped_column(default=1)
    max_students: Mapped[int | None]
    thumbnail_url: Mapped[str | None]
    status: Mapped[str] = mapped_column(default="draft")
    moderation_reason: Mapped[str] = mapped_column(default="")
    total_enrollments: Mapped[int] = mapped_column(default=0)
    rating_sum: Mapped[int] = mapped_column(default=0)
    rating_count: Mapped[int] = mapped_column(default=0)
    idempotency_key: Mapped[str | None]
    idempotency_digest: Mapped[str | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    published_at: Mapped[datetime | None]


class Module(TenantScoped, Base):
    """A chapter of a course. Its title and description are public once both it and the course are published."""

    __tablename__ = "modules"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        ForeignKeyConstraint(["tenant_id", "course_id"], ["courses.tenant_id", "courses.id"], ondelete="CASCADE"),
        Index(None, "tenant_id", "course_id", "position"),
    )

    course_id: Mapped[UUID]
    title: Mapped[str]
    description: Mapped[str] = mapped_column(default="")
    content: Mapped[str] = mapped_column(default="")
    position: Mapped[int] = mapped_column(default=0)
    is_published: Mapped[bool] = mapped_column(default=True)
    video_url: Mapped[str | None]
    materials: Mapped[list[Any]] = mapped_column(JSONB, default=list)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Lesson(TenantScoped, Base):
    """A unit of a module: a video, a text or a quiz. Only staff and learners of the course read it."""

    __tablename__ = "lessons"
    __table_args__ = (
        CheckConstraint("kind IN ('video', 'text', 'quiz')", name="kind"),
        CheckConstraint("duration_minutes >= 0", name="duration_minutes"),
        UniqueConstraint("tenant_id", "id"),
        ForeignKeyConstraint(["tenant_id", "course_id"], ["courses.tenant_id", "courses.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(["tenant_id", "module_id"], ["modules.tenant_id", "modules.id"], ondelete="CASCADE"),
        Index(None, "tenant_id", "course_id", "module_id", "position"),
        Index(None, "tenant_id", "module_id"),
        Index(None, "search", postgresql_using="gin"),
    )
    # What the database makes of the text is read by its search function only, never with the row.
    __mapper_args__ = {"eager_defaults": False}  # noqa: RUF012 - SQLAlchemy's own attribute

    course_id: Mapped[UUID]
    module_id: Mapped[UUID]
    title: Mapped[str]
    kind: Mapped[str] = mapped_column(default="text")
    description: Mapped[str] = mapped_column(default="")
    content: Mapped[str] = mapped_column(default="")
    video_url: Mapped[str | None]
    duration_minutes: Mapped[int] = mapped_column(default=0)
    questions: Mapped[list[Any]] = mapped_column(JSONB, default=list)
    position: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    search: Mapped[Any] = mapped_column(
        TSVECTOR, Computed("lesson_search(title, description, content)", persisted=True), deferred=True
    )


class CatalogueEntry(Base):
    """What anybody may see of a published course. Written by a trigger on ``courses`` only; it has no row-level
    security."""

    __tablename__ = "catalogue"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "course_id"], ["courses.tenant_id", "courses.id"], ondelete="CASCADE"),
        Index(None, "tenant_id", "course_id"),
        Index(None, "created_at", "course_id"),
        Index(None, "title", "course_id"),
        Index(None, "price_minor", "course_id"),
        Index(None, "average_rating", "course_id"),
        Index(None, "total_enrollments", "course_id"),
        Index(None, "search", postgresql_using="gin"),
    )

    course_id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID]
    organization_name: Mapped[str]
    instructor_id: Mapped[UUID] = mapped_column(index=True)
    instructor_first_name: Mapped[str]
    instructor_last_name: Mapped[str]
    title: Mapped[str]
    description: Mapped[str]
    category: Mapped[str] = mapped_column(index=True)
    difficulty_level: Mapped[str]
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text()))
    price_minor: Mapped[int]
    currency: Mapped[str]
    duration_weeks: Mapped[int]
    max_students: Mapped[int | None]
    thumbnail_url: Mapped[str | None]
    average_rating: Mapped[float] = mapped_column(Float())
    total_enrollments: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    search: Mapped[Any] = mapped_column(TSVECTOR)


class CourseDelta(Base):
    """A change of a hot counter, folded into the course every second so that buyers do not queue on one row."""

    __tablename__ = "course_deltas"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "course_id"], ["courses.tenant_id", "courses.id"], ondelete="CASCADE"),
        Index(None, "tenant_id", "course_id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    tenant_id: Mapped[UUID]
    course_id: Mapped[UUID]
    enrollments: Mapped[int] = mapped_column(default=0)
