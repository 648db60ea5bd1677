"""Commands on notifications. Telling somebody the same thing twice is telling it once, by a unique key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from edurise import channels
from edurise.authz import Principal
from edurise.db import insert_missing, moment
from edurise.identity import queries as people
from edurise.notifications import preferences, queries
from edurise.notifications.models import Notification
from edurise.texts import catalogue as texts


@dataclass(frozen=True)
class Kind:
    """The texts of a type of notification, how clients sort it (tab and urgency), and which of
    ``notifications.preferences`` switches it off; None: nothing does."""

    words: str
    category: str
    priority: str = "normal"
    switch: str | None = None


KINDS = {
    "payment_settled": Kind("payment_settled", "course", "high", "payment_notifications"),
    "course_enrollment": Kind("course_enrolled", "course", switch="course_enrollment_notifications"),
    "live_class_starting": Kind("live_class_starting", "live_class", "high", "class_reminder_notifications"),
    "file_failed": Kind("file_failed", "system", "high"),
    "file_quarantined": Kind("file_quarantined", "system", "urgent"),
    "teacher_approved": Kind("teacher_approved", "system", "high", "system_notifications"),
    "teacher_rejected": Kind("teacher_rejected", "system", "high", "system_notifications"),
    "welcome": Kind("welcome", "system", "low", "system_notifications"),
}


def channel_of(person_id: UUID) -> str:
    """The durable channel on which a person's notifications arrive live."""
    return f"notifications:{person_id}"


def notify(
    session: Session,
    who: Principal,
    person_id: UUID,
    kind: str,
    source_id: UUID,
    params: Mapping[str, object],
    data: Mapping[str, Any],
) -> bool:
    """Tell a person something, in their language: a row, and an event on their channel in the same transaction.

    ``source_id`` is the event that it follows from; returns False, and tells nothing, where it was told before, and
    where the person or the organization wants nothing of the kind. The hop must be that person's (row-level security
    shows an actor nobody else's rows). Raises NotFound for who was erased.
    """
    return notify_each(session, who, [person_id], kind, source_id, params, data) == 1


def notify_each(
    session: Session,
    who: Principal,
    person_ids: Sequence[UUID],
    kind: str,
    source_id: UUID,
    params: Mapping[str, object],
    data: Mapping[str, Any],
) -> int:
    """As ``notify``, for members of the acting organization, in a hop that is nobody's; returns how many were told."""
    sort, wanted = KINDS[kind], person_ids
    if sort.switch is not None:
        wanted = preferences.willing(session, who, person_ids, sort.switch, sort.category)
    return sum(_tell(session, who, one, kind, source_id, params, data) for one in wanted)


def _tell(
    session: Session,
    who: Principal,
    person_id: UUID,
    kind: str,
    source_id: UUID,
    params: Mapping[str, object],
    data: Mapping[str, Any],
) -> bool:
    language = people.reachable(session, person_id)["language"]
    sort = KINDS[kind]
    title, message = texts.notification(sort.words, language, params)
    row: dict[str, Any] = {
        "id": uuid7(),
        "type": kind,
        "category": sort.category,
        "priority": sort.priority,
        "title": title,
        "message": message,
        "data": dict(data),
        "source_id": source_id,
        "created_at": moment(session),
        "read_at": None,
    }
    if not insert_missing(session, Notification, tenant_id=who.tenant, user_id=person_id, **row):
        return False
    channels.append(
        session,
        channel_of(person_id),
        "notification",
        {"notification": queries.notification_view(row)},
        who.tenant,
    )
    return True


def mark_read(session: Session, who: Principal, notification_id: UUID) -> dict[str, Any]:
    """Mark one of the caller's notifications read and return it; marking it again keeps the first time. Raises
    NotFound."""
    changed = session.execute(
        update(Notification)
        .where(Notification.id == notification_id, Notification.user_id == who.person, Notification.read_at.is_(None))
        .values(read_at=moment(session))
        .returning(Notification.id)
    ).first()
    found = queries.notification(session, who, notification_id)
    if changed is not None:
        count: dict[str, object] = {"count": queries.unread_everywhere(session)}
        channels.append(session, channel_of(who.person), "unread_count", count, who.tenant)
    return found


def mark_all_read(session: Session, who: Principal) -> dict[str, int]:
    """Mark all of the caller's notifications read that they see in this session; returns ``{marked_count}``."""
    changed = session.execute(
        update(Notification)
        .where(Notification.user_id == who.person, Notification.read_at.is_(None))
        .values(read_at=moment(session))
        .returning(Notification.id)
    ).all()
    if changed:
        left: dict[str, object] = {"count": queries.unread_everywhere(session)}
        channels.append(session, channel_of(who.person), "unread_count", left, who.tenant)
    return {"marked_count": len(changed)}
