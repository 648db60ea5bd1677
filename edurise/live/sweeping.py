"""What time does to a class: crowds are told of together, lost sockets end, who is gone has left, figures are told."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.orm import Session

from edurise.authz import Principal
from edurise.db import moment
from edurise.live import sittings, telling
from edurise.live.rules import CONTINUES, MEASURE, NOTICE

# Each part of it reads a partial index that holds only what waits.
_DUE = """
SELECT tenant_id, class_id FROM attendance_intervals WHERE left_at IS NULL AND beat_at < %(since)s
UNION
SELECT tenant_id, class_id FROM attendance WHERE changed OR told_present <> is_present
UNION
SELECT tenant_id, class_id FROM attendance WHERE is_present AND away_since IS NOT NULL AND away_since < %(since)s
UNION
SELECT tenant_id, id FROM live_classes WHERE unmeasured AND (measured_at IS NULL OR measured_at <= %(measured)s)
"""
_NOTICED = """
UPDATE live_classes SET noticed_at = %(now)s
 WHERE tenant_id = %(tenant)s AND id = %(class)s AND (noticed_at IS NULL OR noticed_at <= %(before)s)
RETURNING id
"""
_WAITING = """
SELECT EXISTS (SELECT FROM attendance
                WHERE tenant_id = %(tenant)s AND class_id = %(class)s AND told_present <> is_present)
"""
# Nobody could know that a process was gone when the same person came back by another one and was given an interval
# of its own. Now it is known: who joined within 30 s of the last beat goes on in the interval that was lost.
_CAME_BACK = """
WITH lost AS (
    SELECT id, person_id, joined_at, beat_at FROM attendance_intervals
     WHERE tenant_id = %(tenant)s AND class_id = %(class)s AND left_at IS NULL AND beat_at < %(since)s
     ORDER BY id FOR UPDATE SKIP LOCKED),
back AS (
    SELECT DISTINCT ON (l.id) l.id, l.joined_at, n.id AS heir
      FROM lost l JOIN attendance_intervals n
        ON n.tenant_id = %(tenant)s AND n.class_id = %(class)s AND n.person_id = l.person_id
       AND n.joined_at BETWEEN l.beat_at AND l.beat_at + %(gap)s
     WHERE n.id NOT IN (SELECT id FROM lost)
     ORDER BY l.id, n.joined_at, n.id),
merged AS (DELETE FROM attendance_intervals i USING back WHERE i.id = back.id)
UPDATE attendance_intervals i SET joined_at = h.joined_at
  FROM (SELECT heir, min(joined_at) AS joined_at FROM back GROUP BY heir) h WHERE i.id = h.heir
RETURNING i.person_id
"""
# A row that is being beaten is not lost. Of a person who has another open interval nothing but this interval ends.
_LOST = """
WITH lost AS (
    SELECT id FROM attendance_intervals
     WHERE tenant_id = %(tenant)s AND class_id = %(class)s AND left_at IS NULL AND beat_at < %(since)s
     ORDER BY id FOR UPDATE SKIP LOCKED)
UPDATE attendance_intervals i
   SET left_at = greatest(i.joined_at, least(i.beat_at, %(ended)s)), ended_by = 'lost'
  FROM lost WHERE i.id = lost.id
RETURNING i.person_id
"""
_GONE = """
WITH gone AS (
    SELECT id FROM attendance
     WHERE tenant_id = %(tenant)s AND class_id = %(class)s AND is_present AND away_since IS NOT NULL
       AND away_since < %(since)s
     ORDER BY id FOR UPDATE SKIP LOCKED)
UPDATE attendance a SET is_present = false, changed = true, updated_at = %(now)s FROM gone WHERE a.id = gone.id
"""


def due(session: Session) -> list[tuple[UUID, UUID]]:
    """The classes that ``settle`` has something to do for, as (organization, class); system role, one statement."""
    now = moment(session)
    values = {"since": now - CONTINUES, "measured": now - MEASURE}
    return [(row.tenant_id, row.class_id) for row in session.connection().exec_driver_sql(_DUE, values)]


def notice(session: Session, who: Principal, class_id: UUID) -> bool:
    """Tell of those who came and went in a crowd, at most once in 250 ms over all processes; for a service principal.

    Returns whether somebody is still to be told of: then it is called again, 250 ms later. Raises NotFound.
    """
    held = telling.hold(session, who, class_id)
    now = moment(session)
    connection = session.connection()
    if connection.exec_driver_sql(_NOTICED, {**held.key, "now": now, "before": now - NOTICE}).first() is not None:
        telling.tell_people(session, held)
        telling.tell_rows(session, who, held)
    return bool(connection.exec_driver_sql(_WAITING, held.key).scalar_one())


def settle(session: Session, who: Principal, class_id: UUID) -> None:
    """What is due in one class; for a service principal. Repeatable, and safe beside joins, ends and other sweepers.

    Ends intervals whose last beat is older than 30 s at that beat, or lets them go on in the one by which the person
    came back; takes those off the roster who have been away for 30 s; tells what was not told; and tells the desk the
    figures if they changed and were not told within 10 s.
    """
    held = telling.hold(session, who, class_id)
    now = moment(session)
    connection = session.connection()
    values = {**held.key, "now": now, "since": now - CONTINUES, "gap": CONTINUES, "ended": held.ended_at}
    people = sorted(
        {str(row.person_id) for part in (_CAME_BACK, _LOST) for row in connection.exec_driver_sql(part, values)}
    )
    if people:
        sittings.note_away(session, values, people)
    connection.exec_driver_sql(_GONE, values)
    telling.tell_people(session, held)
    telling.tell_rows(session, who, held)
    held = telling.hold(session, who, class_id)
    if held.unmeasured and (held.measured_at is None or held.measured_at <= now - MEASURE):
        telling.measure(session, who, held)
