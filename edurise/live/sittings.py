"""Sitting in a class: joins, reconnects, beats and ends. Who holds a person's row of attendance decides a race.

Locks are taken in one order: the class, the person's row, its intervals, the class's channel, the desk's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from edurise.authz import Grade, Principal
from edurise.db import moment
from edurise.errors import Conflict
from edurise.live import attendance, rules, telling, views
from edurise.live.rules import Span
from edurise.live.telling import Held

_PEEK = """
SELECT count(*) FILTER (WHERE told_present) AS told,
       count(*) FILTER (WHERE told_present AND person_id = %(person)s) > 0 AS is_told
  FROM attendance WHERE tenant_id = %(tenant)s AND class_id = %(class)s
"""
_ROW = """
INSERT INTO attendance (id, tenant_id, class_id, person_id, is_learner, changed, created_at, updated_at)
VALUES (%(id)s, %(tenant)s, %(class)s, %(person)s, %(is_learner)s, false, %(now)s, %(now)s)
ON CONFLICT ON CONSTRAINT uq_attendance_tenant_id_class_id_person_id
DO UPDATE SET is_learner = attendance.is_learner OR excluded.is_learner
RETURNING id, told_present
"""
_LOCK = """
SELECT id, told_present FROM attendance
 WHERE tenant_id = %(tenant)s AND class_id = %(class)s AND person_id = %(person)s FOR UPDATE
"""
_SPANS = """
SELECT id, connection_id, beat_at, left_at, ended_by FROM attendance_intervals
 WHERE tenant_id = %(tenant)s AND class_id = %(class)s AND person_id = %(person)s
 ORDER BY left_at DESC NULLS FIRST, id DESC LIMIT 50 FOR UPDATE
"""
_OPEN = """
INSERT INTO attendance_intervals (id, tenant_id, class_id, person_id, connection_id, joined_at, beat_at)
VALUES (%(interval)s, %(tenant)s, %(class)s, %(person)s, %(connection)s, %(now)s, %(now)s)
"""
_CONTINUE = """
UPDATE attendance_intervals
   SET left_at = NULL, ended_by = NULL, connection_id = %(connection)s, beat_at = greatest(beat_at, %(now)s)
 WHERE id = %(interval)s
"""
_PRESENT = """
UPDATE attendance
   SET is_present = true, away_since = NULL, first_joined_at = coalesce(first_joined_at, %(now)s),
       told_present = told_present OR %(alone)s, changed = NOT %(alone)s, updated_at = %(now)s
 WHERE id = %(row)s
"""
_LEAVE = """
UPDATE attendance_intervals i
   SET left_at = greatest(i.joined_at, least(%(now)s, c.ended_at)),
       ended_by = CASE WHEN c.ended_at < %(now)s THEN 'class_ended' ELSE 'left' END
  FROM live_classes c
 WHERE c.tenant_id = i.tenant_id AND c.id = i.class_id AND i.tenant_id = %(tenant)s AND i.class_id = %(class)s
   AND i.person_id = %(person)s
   AND (i.left_at IS NULL OR (i.ended_by = 'lost' AND i.connection_id = %(connection)s))
RETURNING i.id
"""
# Who has no open interval is away since the last one ended.
_AWAY = """
UPDATE attendance a
   SET away_since = CASE WHEN s.sits THEN NULL ELSE s.left_at END, changed = true, updated_at = %(now)s
  FROM (SELECT person_id, bool_or(left_at IS NULL) AS sits, max(left_at) AS left_at FROM attendance_intervals
         WHERE tenant_id = %(tenant)s AND class_id = %(class)s AND person_id = ANY(%(people)s::uuid[])
         GROUP BY person_id) s
 WHERE a.tenant_id = %(tenant)s AND a.class_id = %(class)s AND a.person_id = s.person_id
"""
# A socket that the sweeper had given up closed later, and now it is known when.
_ENDING = """
SELECT DISTINCT person_id FROM attendance_intervals
 WHERE tenant_id = %(tenant)s AND class_id = %(class)s AND connection_id = ANY(%(connections)s::uuid[])
   AND (left_at IS NULL OR ended_by = 'lost')
"""
_LOCK_MANY = """
SELECT id FROM attendance
 WHERE tenant_id = %(tenant)s AND class_id = %(class)s AND person_id = ANY(%(people)s::uuid[]) ORDER BY id FOR UPDATE
"""
_CLOSE = """
UPDATE attendance_intervals i
   SET left_at = greatest(i.joined_at, least(e.at, c.ended_at)),
       ended_by = CASE WHEN c.ended_at < e.at THEN 'class_ended' ELSE 'closed' END
  FROM live_classes c, unnest(%(connections)s::uuid[], %(moments)s::timestamptz[]) AS e (connection_id, at)
 WHERE c.tenant_id = i.tenant_id AND c.id = i.class_id AND i.tenant_id = %(tenant)s AND i.class_id = %(class)s
   AND i.connection_id = e.connection_id AND (i.left_at IS NULL OR i.ended_by = 'lost')
"""
# One statement for all sockets of a process. What a sweeper gave up goes on, for its socket was open all the time; what
# ended otherwise does not; and a class that is over ends what was still open then.
_BEAT = """
WITH held AS (
    SELECT i.id, i.ended_by, c.ended_at
      FROM attendance_intervals i JOIN live_classes c ON c.tenant_id = i.tenant_id AND c.id = i.class_id
     WHERE i.id = ANY(%(intervals)s::uuid[]) AND (i.left_at IS NULL OR i.ended_by = 'lost')
     ORDER BY i.id FOR UPDATE OF i),
beaten AS (
    UPDATE attendance_intervals i
       SET beat_at = greatest(i.beat_at, least(%(now)s, h.ended_at)),
           left_at = CASE WHEN h.ended_at IS NOT NULL THEN greatest(i.joined_at, h.ended_at) END,
           ended_by = CASE WHEN h.ended_at IS NOT NULL THEN 'class_ended' END
      FROM held h WHERE i.id = h.id
    RETURNING i.id, i.tenant_id, i.class_id, i.person_id, h.ended_at, h.ended_by AS was),
noted AS (
    UPDATE attendance a
       SET is_present = a.is_present OR b.ended_at IS NULL, away_since = NULL, changed = true, updated_at = %(now)s
      FROM (SELECT DISTINCT tenant_id, class_id, person_id, ended_at FROM beaten
             WHERE ended_at IS NOT NULL OR was = 'lost') b
     WHERE a.tenant_id = b.tenant_id AND a.class_id = b.class_id AND a.person_id = b.person_id)
SELECT id FROM beaten WHERE ended_at IS NULL
"""


@dataclass(frozen=True)
class Joined:
    """A socket sits in a class: its interval, and the person's own row of attendance.

    ``participants`` is how many clients know of, this person among them unless ``crowded``: then ``notice`` tells of
    them, a quarter of a second later.
    """

    interval_id: UUID
    class_id: UUID
    tenant_id: UUID
    attendance: dict[str, Any]
    participants: int
    crowded: bool


def join(session: Session, who: Principal, class_id: UUID, connection_id: UUID) -> Joined:
    """Sit down in a class with one socket; joining again with it changes nothing.

    Continues an interval that ended not more than 30 s ago, else opens one (``rules.continued``). Raises NotFound, and
    Conflict CLASS_NOT_OPEN unless the class is live, or scheduled and not more than 15 minutes away.
    """
    held, alone = _enter(session, who, class_id)
    if not rules.is_open(held.status, held.scheduled_at, moment(session)):
        raise Conflict("CLASS_NOT_OPEN")
    values = _values(session, who, held)
    is_learner = who.stands(Grade.LEARNER)
    row = session.connection().exec_driver_sql(_ROW, {**values, "id": str(uuid7()), "is_learner": is_learner}).one()
    span = rules.continued(_spans(session, values), connection_id, moment(session))
    return _sit(session, who, held, _Place(row.id, row.told_present, alone, span, connection_id))


def resume(session: Session, who: Principal, class_id: UUID, connection_id: UUID) -> Joined | None:
    """Go on with a socket that a client opened anew and that did not join, for its connection was lost.

    Continues an interval that ended by a closed socket or a crash not more than 30 s ago, or whose process is gone.
    While another socket of the person is in the class, which may be one that nobody knows yet to be dead, this one is
    in the class too. Returns None for who did not join, who left, and a class that is not open.
    """
    held, alone = _enter(session, who, class_id)
    values = _values(session, who, held)
    row = session.connection().exec_driver_sql(_LOCK, values).first()
    if row is None or not rules.is_open(held.status, held.scheduled_at, moment(session)):
        return None
    spans = _spans(session, values)
    span = rules.continued(spans, connection_id, moment(session), by_itself=True)
    if span is None and all(one.left_at is not None for one in spans):
        return None
    return _sit(session, who, held, _Place(row.id, row.told_present, alone, span, connection_id))


def leave(session: Session, who: Principal, class_id: UUID, connection_id: UUID) -> dict[str, Any] | None:
    """Leave a class with every socket; returns the own row, or None for who is not in the class.

    ``connection_id`` is the socket that said so; if a sweeper had taken it for lost, its interval ends only now.
    Nobody is told for 30 s, in which a join goes on with the same interval.
    """
    values = _values(session, who, telling.hold(session, who, class_id, "KEY SHARE"))
    connection = session.connection()
    connection.exec_driver_sql(_LOCK, values)
    if connection.exec_driver_sql(_LEAVE, {**values, "connection": str(connection_id)}).first() is None:
        return None
    note_away(session, values, [values["person"]])
    return attendance.own_view(session, who, class_id)


def closed(session: Session, who: Principal, class_id: UUID, ended: Mapping[UUID, datetime]) -> None:
    """End what these sockets of a class sat in, each at the moment when it closed; for a service principal.

    A socket whose interval another one continues by now, or which had left, ends nothing: repeating is safe, and so is
    coming late.
    """
    connection = session.connection()
    values: dict[str, Any] = {
        "tenant": str(who.tenant),
        "class": str(class_id),
        "now": moment(session),
        "connections": [str(one) for one in ended],
        "moments": list(ended.values()),
    }
    people = [str(row.person_id) for row in connection.exec_driver_sql(_ENDING, values)]
    if not people:
        return
    connection.exec_driver_sql(_LOCK_MANY, {**values, "people": people})
    connection.exec_driver_sql(_CLOSE, values)
    note_away(session, values, people)


def beat(session: Session, interval_ids: Sequence[UUID]) -> list[UUID]:
    """Store that the sockets of these intervals are open (system role); returns the intervals that are over.

    One statement. An interval that a sweeper took for lost goes on; in a class that is over the intervals end with it.
    """
    values = {"intervals": [str(one) for one in interval_ids], "now": moment(session)}
    going_on = {row.id for row in session.connection().exec_driver_sql(_BEAT, values)}
    return [one for one in interval_ids if one not in going_on]


def note_away(session: Session, values: dict[str, Any], people: Sequence[str]) -> None:
    """After intervals of these people ended: since when each of them is away, and that their rows changed.

    ``values`` names the organization, the class and the time.
    """
    session.connection().exec_driver_sql(_AWAY, {**values, "people": list(people)})


def _enter(session: Session, who: Principal, class_id: UUID) -> tuple[Held, bool]:
    """Lock the class; alone, where this join will be told of at once: while the room is small and does not know of the
    person yet. Returns the class and whether it is held alone."""
    values = {"tenant": str(who.tenant), "class": str(class_id), "person": str(who.person)}
    seen = session.connection().exec_driver_sql(_PEEK, values).one()
    alone = not seen.is_told and seen.told < rules.CROWD
    return telling.hold(session, who, class_id, "NO KEY UPDATE" if alone else "KEY SHARE"), alone


def _values(session: Session, who: Principal, held: Held) -> dict[str, Any]:
    return {**held.key, "person": str(who.person), "now": moment(session)}


def _spans(session: Session, values: dict[str, Any]) -> list[Span]:
    return [Span(*row) for row in session.connection().exec_driver_sql(_SPANS, values)]


@dataclass(frozen=True)
class _Place:
    """Where a socket sits down: the person's row, whether clients know of them, whether the class is held alone, and
    the interval that goes on."""

    row_id: UUID
    is_told: bool
    alone: bool
    span: Span | None
    connection_id: UUID


def _sit(session: Session, who: Principal, held: Held, place: _Place) -> Joined:
    span, count = place.span, telling.told(session, held)
    alone = place.alone and not place.is_told and count < rules.CROWD
    if span is None or span.left_at is not None or span.connection_id != place.connection_id:
        interval_id = _open(session, who, held, place)
        values = {**_values(session, who, held), "row": str(place.row_id), "alone": alone}
        session.connection().exec_driver_sql(_PRESENT, values)
    else:
        interval_id, alone = span.id, False
    own = attendance.of_people(session, who, held.id, [who.person])[0]
    view = views.attendance_view(own, moment(session))
    if alone:
        count += 1
        telling.tell_person(session, held, own, joined=True, participants=count)
        if own["is_learner"]:
            telling.tell_desk(session, held, [view])
    crowded = not (place.is_told or alone)
    return Joined(interval_id, held.id, held.tenant_id, view, count, crowded)


def _open(session: Session, who: Principal, held: Held, place: _Place) -> UUID:
    """Begin an interval, or go on with the one that was found; returns its id."""
    interval_id = place.span.id if place.span is not None else uuid7()
    values = {
        **_values(session, who, held),
        "interval": str(interval_id),
        "connection": str(place.connection_id),
    }
    session.connection().exec_driver_sql(_OPEN if place.span is None else _CONTINUE, values)
    return interval_id
