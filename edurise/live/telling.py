"""What the channels of a class are told: of people one by one or together, and at the desk rows and figures.

Every function here wants the class's row to be locked (``hold``), so that counts in events are exactly those of what
was told, and appends to the class's channel before it appends to the desk's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from edurise import channels
from edurise.authz import Principal
from edurise.db import moment
from edurise.errors import NotFound
from edurise.live import attendance, figures, views
from edurise.live.rules import CROWD

TOLD_AT_ONCE = 1000
"""People of whom one ``roster_update`` tells."""
ROWS_AT_ONCE = 200
"""Rows of one ``attendance_update``."""

_HOLD = """
SELECT id, tenant_id, course_id, status, scheduled_at, started_at, ended_at, noticed_at, measured_at, unmeasured
  FROM live_classes WHERE tenant_id = %(tenant)s AND id = %(class)s FOR {strength}
"""
# KEY SHARE lets joins pass each other and waits for start and end, which lock for UPDATE; NO KEY UPDATE is for one at a
# time, who tells.
_STRENGTHS = {strength: _HOLD.format(strength=strength) for strength in ("KEY SHARE", "NO KEY UPDATE", "UPDATE")}
_TOLD = "SELECT count(*) FROM attendance WHERE tenant_id = %(tenant)s AND class_id = %(class)s AND told_present"
# Rows that another hop holds are told by that hop, or the next time: nobody waits here while others wait for the class.
_TELL_PEOPLE = """
WITH news AS (
    SELECT id, person_id FROM attendance
     WHERE tenant_id = %(tenant)s AND class_id = %(class)s AND told_present <> is_present
     ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
UPDATE attendance a SET told_present = a.is_present
  FROM news LEFT JOIN people p ON p.id = news.person_id WHERE a.id = news.id
RETURNING a.person_id, a.is_present, coalesce(p.first_name, '') AS first_name, coalesce(p.last_name, '') AS last_name
"""
_TELL_ROWS = """
WITH news AS (
    SELECT id FROM attendance
     WHERE tenant_id = %(tenant)s AND class_id = %(class)s AND changed
     ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
UPDATE attendance a SET changed = false FROM news WHERE a.id = news.id RETURNING a.person_id, a.is_learner
"""
_UNMEASURED = "UPDATE live_classes SET unmeasured = true WHERE tenant_id = %s AND id = %s AND NOT unmeasured"
_MEASURED = """
UPDATE live_classes SET unmeasured = false, measured_at = %s, attended_count = %s WHERE tenant_id = %s AND id = %s
"""


@dataclass(frozen=True)
class Held:
    """A class whose row this hop has locked."""

    id: UUID
    tenant_id: UUID
    course_id: UUID
    status: str
    scheduled_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    noticed_at: datetime | None
    measured_at: datetime | None
    unmeasured: bool

    @property
    def key(self) -> dict[str, Any]:
        return {"tenant": str(self.tenant_id), "class": str(self.id)}


def class_channel(class_id: UUID) -> str:
    """The durable channel of a class, for its learners and staff."""
    return f"class:{class_id}"


def desk_channel(class_id: UUID) -> str:
    """The durable channel of who teaches a class."""
    return f"desk:{class_id}"


def hold(session: Session, who: Principal, class_id: UUID, strength: str = "NO KEY UPDATE") -> Held:
    """Lock a class of the acting organization until the commit, and return it as it is then. Raises NotFound."""
    values = {"tenant": str(who.tenant), "class": str(class_id)}
    found = session.connection().exec_driver_sql(_STRENGTHS[strength], values).mappings().first()
    if found is None:
        raise NotFound
    return Held(**found)


def told(session: Session, held: Held) -> int:
    """How many people are in the class by what its channel was told."""
    return count_told(session, held.tenant_id, held.id)


def count_told(session: Session, tenant_id: UUID, class_id: UUID) -> int:
    """The same of a class that is not held."""
    values = {"tenant": str(tenant_id), "class": str(class_id)}
    found: int = session.connection().exec_driver_sql(_TOLD, values).scalar_one()
    return found


def tell_status(session: Session, held: Held, status: str) -> None:
    """The class's new status, as an event. ``completed`` says too that nobody is in the class any more."""
    _append(
        session,
        class_channel(held.id),
        held,
        "class_status_update",
        {"status": status, "class_id": held.id, "timestamp": moment(session), "previous": held.status},
    )


def tell_person(session: Session, held: Held, person: dict[str, Any], *, joined: bool, participants: int) -> None:
    """One person's coming or going, and how many there are then."""
    name = views.name_of(person)
    told_of: dict[str, object] = {
        "user_id": person["person_id"],
        "user_name": name,
        "timestamp": moment(session),
        "participants": participants,
    }
    if joined:
        told_of["participant"] = {"id": person["person_id"], "name": name}
    _append(session, class_channel(held.id), held, "participant_joined" if joined else "participant_left", told_of)


def tell_people(session: Session, held: Held) -> bool:
    """Tell of everybody whose presence changed since clients were told: one by one, or together in a class of more than
    a hundred. Returns whether more are left than one event holds."""
    news = session.connection().exec_driver_sql(_TELL_PEOPLE, {**held.key, "limit": TOLD_AT_ONCE}).mappings().all()
    if not news:
        return False
    people = [dict(row) for row in news]
    joined = [person for person in people if person["is_present"]]
    left = [person for person in people if not person["is_present"]]
    after = told(session, held)
    before = after - len(joined) + len(left)
    if max(before, after) > CROWD:
        roster: dict[str, object] = {"joined": _faces(joined), "left": _faces(left), "participants": after}
        _append(session, class_channel(held.id), held, "roster_update", roster)
    else:
        for person in (*left, *joined):
            before += 1 if person["is_present"] else -1
            tell_person(session, held, person, joined=person["is_present"], participants=before)
    return len(news) == TOLD_AT_ONCE


def tell_rows(session: Session, who: Principal, held: Held) -> bool:
    """Tell the desk the rows that changed since it was told. Returns whether more are left than one event holds."""
    news = session.connection().exec_driver_sql(_TELL_ROWS, {**held.key, "limit": ROWS_AT_ONCE}).mappings().all()
    learners = [row["person_id"] for row in news if row["is_learner"]]
    if learners:
        now = moment(session)
        found = attendance.of_people(session, who, held.id, learners)
        tell_desk(session, held, [views.attendance_view(row, now) for row in found])
    return len(news) == ROWS_AT_ONCE


def tell_desk(session: Session, held: Held, rows: list[dict[str, Any]]) -> None:
    """Tell the desk these rows, as views, and remember that the figures changed."""
    _append(session, desk_channel(held.id), held, "attendance_update", {"attendance": rows})
    session.connection().exec_driver_sql(_UNMEASURED, (str(held.tenant_id), str(held.id)))


def tell_question(session: Session, held: Held, person: dict[str, Any], question: str) -> None:
    """A question, to the desk alone."""
    asked: dict[str, object] = {
        "user_id": person["id"],
        "user_name": views.name_of(person),
        "question": question,
        "timestamp": moment(session),
    }
    _append(session, desk_channel(held.id), held, "question_asked", asked)


def tell_announcement(session: Session, held: Held, name: str, message: str) -> None:
    """What staff says to everybody in the class."""
    said: dict[str, object] = {"message": message, "timestamp": moment(session), "user_name": name}
    _append(session, class_channel(held.id), held, "class_announcement", said)


def measure(session: Session, who: Principal, held: Held) -> None:
    """Count, tell the desk the figures, and keep how many came with the class."""
    now = moment(session)
    rows = attendance.of_class(session, who, held.id)
    found = figures.metrics(rows, attendance.total(session, who, held.course_id, rows), now)
    _append(session, desk_channel(held.id), held, "engagement_update", {"metrics": found})
    came = sum(figures.status(row, now) != "absent" for row in rows)
    session.connection().exec_driver_sql(_MEASURED, (now, came, str(held.tenant_id), str(held.id)))


def _append(session: Session, channel: str, held: Held, kind: str, data: dict[str, object]) -> None:
    channels.append(session, channel, kind, data, held.tenant_id)


def _faces(people: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"user_id": one["person_id"], "user_name": views.name_of(one)} for one in people]
