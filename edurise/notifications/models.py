"""Notifications: what a person was told."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from edurise.db import Base, PersonScoped


class Notification(PersonScoped, Base):
    """One thing told to one person, in that person's language at the time. ``source_id`` makes telling it twice
    impossible."""

    __tablename__ = "notifications"
    __table_args__ = (
        CheckConstraint("priority IN ('low', 'normal', 'high', 'urgent')", name="priority"),
        UniqueConstraint("tenant_id", "user_id", "type", "source_id"),
        Index(None, "user_id", "created_at", "id"),
        Index("ix_notifications_user_id_unread", "user_id", postgresql_where=text("read_at IS NULL")),
    )

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"))
    type: Mapped[str]
    category: Mapped[str]
    priority: Mapped[str] = mapped_column(default="normal")
    title: Mapped[str]
    message: Mapped[str]
    data: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)
    source_id: Mapped[UUID]
    created_at: Mapped[datetime]
    read_at: Mapped[datetime | None]


class NotificationPreferences(Base):
    """What of ``notifications.preferences`` a person chose otherwise than by default."""

    __tablename__ = "notification_preferences"

    person_id: Mapped[UUID] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), primary_key=True)
    chosen: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)
    updated_at: Mapped[datetime]
