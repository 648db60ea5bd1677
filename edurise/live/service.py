"""Commands on live classes: scheduling, starting and ending, and what staff and learners do in them."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
from sqlalchemy import select
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from edurise import audit, outbox
from edurise.authz import Principal
from edurise.db import flush_unique, insert_missing, moment
from edurise.errors import Conflict, NotFound, Retry
from edurise.identity import queries as people
from edurise.live import attendance, queries, telling, views
from edurise.live.events import LiveClassStarted
from edurise.live.models import Attendance, LiveClass
from edurise.live.sittings import Joined, beat, closed, join, leave, resume
from edurise.live.sweeping import due, notice, settle
from edurise.live.telling import Held, class_channel, desk_channel
from edurise.notifications import service as notifications
from edurise.tenants import queries as tenants

_STARTED = """
UPDATE live_classes SET status = 'live', started_at = %(now)s, updated_at = %(now)s
 WHERE tenant_id = %(tenant)s AND id = %(class)s
"""
_ENDED = """
UPDATE live_classes SET status = 'completed', ended_at = greatest(started_at, %(now)s), updated_at = %(now)s
 WHERE tenant_id = %(tenant)s AND id = %(class)s
"""
# Ids are made here, because the database makes none in the order of time.
_ABSENT = """
INSERT INTO attendance (id, tenant_id, class_id, person_id, is_learner, created_at, updated_at)
SELECT n.id, %(tenant)s, %(class)s, n.person_id, true, %(now)s, %(now)s
  FROM unnest(%(ids)s::uuid[], %(learners)s::uuid[]) AS n (id, person_id)
ON CONFLICT ON CONSTRAINT uq_attendance_tenant_id_class_id_person_id DO NOTHING
"""
_STIRRED = """
UPDATE attendance SET changed = true
 WHERE tenant_id = %(tenant)s AND class_id = %(class)s AND first_joined_at IS NOT NULL
"""
_EMPTIED = """
UPDATE attendance SET is_present = false, told_present = false, away_since = NULL, changed = true
 WHERE tenant_id = %(tenant)s AND class_id = %(class)s
"""
_ASKED = """
UPDATE attendance SET questions_asked = questions_asked + 1, changed = true, updated_at = %(now)s
 WHERE tenant_id = %(tenant)s AND class_id = %(class)s AND person_id = %(person)s AND is_present RETURNING id
"""
_MARKED = """
UPDATE attendance a SET marked_status = %(status)s, changed = false, updated_at = %(now)s
  FROM (SELECT id, marked_status FROM attendance
         WHERE tenant_id = %(tenant)s AND class_id = %(class)s AND person_id = %(person)s AND is_learner
           FOR UPDATE) before
 WHERE a.id = before.id RETURNING before.marked_status AS previous
"""


_REPEATED = (
    "uq_live_classes_tenant_id_instructor_id_idempotency_key",
    "uq_live_classes_tenant_id_instructor_id_idempotency_digest",
)


def create(
    session: Session, who: Principal, data: dict[str, Any], key: str | None, page_url: str
) -> tuple[bool, dict[str, Any]]:
    """Schedule a class of a course with the caller as its instructor; returns (whether it is new, the class).

    ``data``: course_id, title, description, scheduled_at, duration_minutes, join_url. A naive ``scheduled_at`` is read
    in the time zone of the organization. Without a ``join_url`` the class is joined at its own page, ``page_url`` and
    its id. ``key`` makes a repeat return the first class; without one so does the very same body, for clients repeat
    what timed out and nobody schedules one class twice.

    Raises Conflict (IDEMPOTENCY_KEY_REUSED) for another body under the same key, NotFound.
    """
    digest = hashlib.sha256(orjson.dumps(data, default=str, option=orjson.OPT_SORT_KEYS)).hexdigest()
    repeated = _earlier(session, who, key, digest)
    if repeated is not None:
        if repeated.idempotency_digest != digest:
            raise Conflict("IDEMPOTENCY_KEY_REUSED")
        return False, queries.live_class(session, who, repeated.id)
    now, class_id = moment(session), uuid7()
    author = people.contact(session, who.person)
    session.add(
        LiveClass(
            id=class_id,
            tenant_id=who.tenant,
            course_id=data["course_id"],
            instructor_id=who.person,
            instructor_name=views.name_of(author),
            title=data["title"],
            description=data.get("description", ""),
            scheduled_at=_aware(session, who, data["scheduled_at"]),
            duration_minutes=data["duration_minutes"],
            join_url=data.get("join_url") or f"{page_url}{class_id}",
            idempotency_key=key,
            idempotency_digest=digest,
            created_at=now,
            updated_at=now,
        )
    )
    flush_unique(session, on=_REPEATED, raises=Retry)
    audit.write(session, who, "live_class.created", "live_class", class_id)
    return True, queries.live_class(session, who, class_id)


def start(session: Session, who: Principal, class_id: UUID) -> dict[str, Any]:
    """Let a class begin now; returns it. Starting it again changes nothing.

    Raises NotFound, Conflict: CLASS_OVER, CLASS_CANCELLED.
    """
    held = telling.hold(session, who, class_id, "UPDATE")
    _refuse(held, "completed", "cancelled")
    if held.status == "scheduled":
        values = {**held.key, "now": moment(session)}
        session.connection().exec_driver_sql(_STARTED, values)
        session.connection().exec_driver_sql(_STIRRED, values)
        telling.tell_status(session, held, "live")
        title = session.scalars(select(LiveClass.title).where(LiveClass.id == class_id)).one()
        outbox.record(session, who, LiveClassStarted(class_id=class_id, course_id=held.course_id, title=title))
        audit.write(session, who, "live_class.started", "live_class", class_id)
    return queries.live_class(session, who, class_id)


def end(session: Session, who: Principal, class_id: UUID) -> dict[str, Any]:
    """End a live class now; returns it. Ending it again changes nothing.

    Learners of the course who have no row get one that says absent. Open intervals end by the next beat of the process
    that holds them, which hears of the end, or at the last beat of one that died (``beat``, ``settle``).

    Raises NotFound, Conflict: CLASS_NOT_STARTED, CLASS_CANCELLED.
    """
    held = telling.hold(session, who, class_id, "UPDATE")
    _refuse(held, "scheduled", "cancelled")
    if held.status == "live":
        connection, now = session.connection(), moment(session)
        values = {**held.key, "now": now}
        learners = tenants.learners_of(session, held.tenant_id, held.course_id)
        absent = {"ids": [str(uuid7()) for _ in learners], "learners": [str(one) for one in learners]}
        connection.exec_driver_sql(_ENDED, values)
        connection.exec_driver_sql(_ABSENT, {**values, **absent})
        connection.exec_driver_sql(_EMPTIED, values)
        telling.tell_status(session, held, "completed")
        audit.write(session, who, "live_class.ended", "live_class", class_id)
    return queries.live_class(session, who, class_id)


def announce(session: Session, who: Principal, class_id: UUID, message: str) -> None:
    """Say something to everybody in a class, or waiting for it. Raises NotFound, Conflict: CLASS_OVER,
    CLASS_CANCELLED."""
    held = telling.hold(session, who, class_id, "KEY SHARE")
    _refuse(held, "completed", "cancelled")
    telling.tell_announcement(session, held, views.name_of(people.contact(session, who.person)), message)


def ask_question(session: Session, who: Principal, class_id: UUID, text: str) -> None:
    """Ask the desk something, and count it; the caller must be in the class.

    Raises NotFound, Conflict: CLASS_NOT_OPEN unless the class is live, CLASS_NOT_JOINED.
    """
    held = telling.hold(session, who, class_id, "KEY SHARE")
    if held.status != "live":
        raise Conflict("CLASS_NOT_OPEN")
    values = {**held.key, "person": str(who.person), "now": moment(session)}
    if session.connection().exec_driver_sql(_ASKED, values).first() is None:
        raise Conflict("CLASS_NOT_JOINED")
    telling.tell_question(session, held, people.contact(session, who.person), text)


def mark(session: Session, who: Principal, class_id: UUID, student_id: UUID, status: str) -> dict[str, Any]:
    """Set a learner's status by hand, whatever was measured; returns the row. What was measured is kept beside it.

    Raises NotFound for a class that there is not and for who is no learner of its course, Conflict CLASS_CANCELLED.
    """
    held = telling.hold(session, who, class_id)
    _refuse(held, "cancelled")
    now = moment(session)
    if student_id in tenants.learners_of(session, held.tenant_id, held.course_id):
        fresh = {"id": uuid7(), "tenant_id": held.tenant_id, "class_id": class_id, "person_id": student_id}
        insert_missing(session, Attendance, **fresh, is_learner=True, created_at=now, updated_at=now)
    values = {**held.key, "person": str(student_id), "status": status, "now": now}
    changed = session.connection().exec_driver_sql(_MARKED, values).first()
    if changed is None:
        raise NotFound
    row = views.attendance_view(attendance.of_people(session, who, class_id, [student_id])[0], now)
    telling.tell_desk(session, held, [row])
    details = {"student": student_id, "status": status, "previous": changed.previous}
    audit.write(session, who, "attendance.marked", "live_class", class_id, **details)
    return row


def tell_learners(session: Session, who: Principal, event: LiveClassStarted, learners: list[UUID]) -> None:
    """Notify those of these learners who want it that a class went live, once for each event; for a service
    principal."""
    data = {"live_class_id": str(event.class_id), "course_id": str(event.course_id)}
    notifications.notify_each(session, who, learners, "live_class_starting", event.id, {"title": event.title}, data)


def _refuse(held: Held, *states: str) -> None:
    codes = {"completed": "CLASS_OVER", "scheduled": "CLASS_NOT_STARTED", "cancelled": "CLASS_CANCELLED"}
    if held.status in states:
        raise Conflict(codes[held.status])


def _earlier(session: Session, who: Principal, key: str | None, digest: str) -> LiveClass | None:
    """The class that this request made before: by its key, else by its body."""
    mine = select(LiveClass).where(LiveClass.tenant_id == who.tenant, LiveClass.instructor_id == who.person)
    by_key = session.scalars(mine.where(LiveClass.idempotency_key == key)).one_or_none() if key else None
    return by_key or session.scalars(mine.where(LiveClass.idempotency_digest == digest)).one_or_none()


def _aware(session: Session, who: Principal, at: datetime) -> datetime:
    """A moment in UTC; a naive one is a local time of the organization, the earlier one where the clock repeats."""
    if at.tzinfo is not None:
        return at.astimezone(UTC)
    organization = tenants.organization(session, who.tenant)
    if organization is None:
        raise NotFound("ORGANIZATION_NOT_FOUND")
    return at.replace(tzinfo=ZoneInfo(organization["timezone"])).astimezone(UTC)


__all__ = [
    "Joined",
    "announce",
    "ask_question",
    "beat",
    "class_channel",
    "closed",
    "create",
    "desk_channel",
    "due",
    "end",
    "join",
    "leave",
    "mark",
    "notice",
    "resume",
    "settle",
    "start",
    "tell_learners",
]
