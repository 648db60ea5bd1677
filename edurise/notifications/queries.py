"""Reads of one's own notifications."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from edurise.authz import Principal
from edurise.db import first
from edurise.errors import NotFound
from edurise.notifications.models import Notification
from edurise.paging import Found, Listing, Orderings, Window

_COLUMNS = (
    Notification.id,
    Notification.type,
    Notification.category,
    Notification.priority,
    Notification.title,
    Notification.message,
    Notification.data,
    Notification.created_at,
    Notification.read_at,
    Notification.source_id,
)
ORDER = Orderings("-created_at", Notification.id, {"created_at": Notification.created_at})


_LISTING = Listing(
    select(*_COLUMNS).where(Notification.user_id == bindparam("person")),
    ORDER,
    {
        "kind": Notification.type == bindparam("kind"),
        "is_read": Notification.read_at.is_not(None) == bindparam("is_read"),
    },
)


def listing(session: Session, who: Principal, kind: str | None, is_read: bool | None, window: Window) -> Found:
    """The caller's notifications, newest first; two statements."""
    found = _LISTING.page(session, {"person": who.person, "kind": kind, "is_read": is_read}, window)
    return Found(found.count, [notification_view(row) for row in found.rows])


def notification(session: Session, who: Principal, notification_id: UUID) -> dict[str, Any]:
    """One of the caller's notifications. Raises NotFound."""
    found = first(
        session, select(*_COLUMNS).where(Notification.id == notification_id, Notification.user_id == who.person)
    )
    if found is None:
        raise NotFound
    return notification_view(found)


def unread_count(session: Session, who: Principal) -> int:
    """How many of the caller's notifications are unread."""
    query = select(func.count()).where(Notification.user_id == who.person, Notification.read_at.is_(None))
    return session.scalar(query) or 0


def unread_everywhere(session: Session) -> int:
    """As ``unread_count`` of a session that is not confined: what the person's channel tells, which no confined one
    follows."""
    return int(session.scalars(select(func.unread_everywhere())).one())


def notification_view(row: dict[str, Any]) -> dict[str, Any]:
    """The contract's Notification, with both spellings of its type."""
    return {
        "id": row["id"],
        "type": row["type"],
        "notification_type": row["type"],
        "category": row["category"],
        "priority": row["priority"],
        "title": row["title"],
        "message": row["message"],
        "data": row["data"],
        "is_read": row["read_at"] is not None,
        "read_at": row["read_at"],
        "created_at": row["created_at"],
        "related_object_id": row["source_id"],
    }
