"""Live classes, who attended them, and the intervals of which attendance is made."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from edurise.db import Base, TenantScoped


class LiveClass(TenantScoped, Base):
    """A class of a course. The instructor's name is kept as courses keep it.

    ``noticed_at`` is when a crowd was last told of, ``measured_at`` when the desk was last told the figures;
    ``unmeasured`` says that they changed since. ``attended_count`` is how many learners came, as of the last measuring.
    """

    __tablename__ = "live_classes"
    __table_args__ = (
        CheckConstraint("duration_minutes BETWEEN 1 AND 1440", name="duration_minutes"),
        CheckConstraint("status IN ('scheduled', 'live', 'completed', 'cancelled')", name="status"),
        CheckConstraint(
            "(status NOT IN ('live', 'completed') OR started_at IS NOT NULL)"
            " AND (status <> 'completed' OR ended_at IS NOT NULL)",
            name="times",
        ),
        UniqueConstraint("tenant_id", "id"),
        UniqueConstraint("tenant_id", "instructor_id", "idempotency_key"),
        UniqueConstraint("tenant_id", "instructor_id", "idempotency_digest"),
        ForeignKeyConstraint(["tenant_id", "course_id"], ["courses.tenant_id", "courses.id"], ondelete="CASCADE"),
        Index(None, "course_id", "tenant_id", "scheduled_at"),
        Index(None, "course_id", "tenant_id", "created_at"),
        Index(None, "course_id", "tenant_id", "title"),
        Index("ix_live_classes_unmeasured", "measured_at", postgresql_where=text("unmeasured")),
    )

    course_id: Mapped[UUID]
    instructor_id: Mapped[UUID] = mapped_column(ForeignKey("people.id"), index=True)
    instructor_name: Mapped[str]
    title: Mapped[str]
    description: Mapped[str] = mapped_column(default="")
    scheduled_at: Mapped[datetime]
    duration_minutes: Mapped[int]
    status: Mapped[str] = mapped_column(default="scheduled")
    join_url: Mapped[str]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    noticed_at: Mapped[datetime | None]
    measured_at: Mapped[datetime | None]
    unmeasured: Mapped[bool] = mapped_column(default=False)
    attended_count: Mapped[int] = mapped_column(default=0)
    idempotency_key: Mapped[str | None]
    idempotency_digest: Mapped[str | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Attendance(TenantScoped, Base):
    """One person in one class: one row, however often they come and go.

    ``is_present`` is what the roster says: an interval is open, or one ended not more than 30 s ago; ``away_since`` is
    that end. ``told_present`` is what clients were told, ``changed`` that the desk was not told of the row's last
    change. Who is no learner (staff who look in) counts as a participant and not in attendance.
    """

    __tablename__ = "attendance"
    __table_args__ = (
        CheckConstraint("marked_status IN ('present', 'absent', 'partial', 'late')", name="marked_status"),
        UniqueConstraint("tenant_id", "id"),
        UniqueConstraint("tenant_id", "class_id", "person_id"),
        ForeignKeyConstraint(
            ["tenant_id", "class_id"], ["live_classes.tenant_id", "live_classes.id"], ondelete="CASCADE"
        ),
        Index(None, "tenant_id", "class_id", "created_at"),
        Index("ix_attendance_untold", "class_id", postgresql_where=text("changed OR told_present <> is_present")),
        Index("ix_attendance_away_since", "away_since", postgresql_where=text("is_present AND away_since IS NOT NULL")),
    )

    class_id: Mapped[UUID]
    person_id: Mapped[UUID] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), index=True)
    is_learner: Mapped[bool]
    marked_status: Mapped[str | None]
    questions_asked: Mapped[int] = mapped_column(default=0)
    first_joined_at: Mapped[datetime | None]
    away_since: Mapped[datetime | None]
    is_present: Mapped[bool] = mapped_column(default=False)
    told_present: Mapped[bool] = mapped_column(default=False)
    changed: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Interval(TenantScoped, Base):
    """From a join to its end, on one socket at a time; ``beat_at`` is the last time that the socket was known open."""

    __tablename__ = "attendance_intervals"
    __table_args__ = (
        CheckConstraint("ended_by IN ('left', 'closed', 'lost', 'class_ended')", name="ended_by"),
        CheckConstraint("(left_at IS NULL) = (ended_by IS NULL) AND left_at >= joined_at", name="end"),
        ForeignKeyConstraint(
            ["tenant_id", "class_id", "person_id"],
            ["attendance.tenant_id", "attendance.class_id", "attendance.person_id"],
            ondelete="CASCADE",
        ),
        Index(None, "class_id", "person_id", "tenant_id"),
        Index(
            "uq_attendance_intervals_open",
            "tenant_id",
            "class_id",
            "connection_id",
            unique=True,
            postgresql_where=text("left_at IS NULL"),
        ),
    )

    class_id: Mapped[UUID]
    person_id: Mapped[UUID]
    connection_id: Mapped[UUID]
    joined_at: Mapped[datetime]
    beat_at: Mapped[datetime]
    left_at: Mapped[datetime | None]
    ended_by: Mapped[str | None]
