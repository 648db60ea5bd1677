"""Queries and answers of notifications."""

from __future__ import annotations

from edurise.notifications.queries import ORDER
from schemas.base import (
    Bool,
    Choice,
    Id,
    Ignored,
    Instant,
    Int,
    JsonObject,
    Ordering,
    OutSchema,
    PageQuery,
    QueryBool,
    StrictSchema,
    Text,
)


class NotificationQuery(PageQuery):
    """Filters of one's own notifications."""

    type = Text(max=60)
    is_read = QueryBool()
    ordering = Ordering(list(ORDER.columns))


class MarkReadIn(StrictSchema):
    """Nothing is needed; the bell sends ``is_read: true``."""

    is_read = Ignored()


class NotificationOut(OutSchema):
    """The contract's Notification, with both spellings of its type."""

    id = Id()
    type = Text()
    notification_type = Text()
    category = Text()
    priority = Choice(["low", "normal", "high", "urgent"])
    title = Text(max=1000)
    message = Text(max=5000, lines=True)
    data = JsonObject()
    is_read = Bool()
    read_at = Instant(allow_none=True)
    created_at = Instant()
    related_object_id = Id()


class MarkedOut(OutSchema):
    """How many were marked."""

    marked_count = Int()
