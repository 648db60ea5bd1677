"""Attendance as it is read: what of its intervals lies within the class, computed by the database.

Somebody was there from a join to its end, and through each gap of up to 30 s, whatever made it: the union of a person's
intervals, each longer by 30 s, shortened by as much again, and clipped to the class. Two sockets count once. An open
interval counts up to now, or up to its last beat if that is older than 30 s: then its process is gone.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from edurise.authz import Principal
from edurise.db import moment
from edurise.live import views
from edurise.live.rules import CONTINUES
from edurise.tenants import queries as tenants

_ROWS = """
SELECT a.id, a.class_id, a.person_id, a.is_learner, a.marked_status, a.questions_asked, a.first_joined_at,
       a.is_present, a.created_at, a.updated_at, c.started_at, c.ended_at,
       coalesce(p.first_name, '') AS first_name, coalesce(p.last_name, '') AS last_name,
       coalesce(p.email, '') AS email, sat.left_at, coalesce(sat.sits, false) AS sits,
       stay.first_at, coalesce(stay.attended_s, 0)::float8 AS attended_s
  FROM live_classes c
  JOIN attendance a ON a.tenant_id = c.tenant_id AND a.class_id = c.id
  LEFT JOIN people p ON p.id = a.person_id
  LEFT JOIN LATERAL (
       SELECT max(i.left_at) AS left_at, bool_or(i.left_at IS NULL) AS sits,
              range_agg(tstzrange(i.joined_at, greatest(i.joined_at, coalesce(i.left_at,
                  CASE WHEN i.beat_at < %(now)s - %(gap)s THEN i.beat_at ELSE %(now)s END)) + %(gap)s)) AS spans
         FROM attendance_intervals i
        WHERE i.class_id = a.class_id AND i.person_id = a.person_id AND i.tenant_id = a.tenant_id) sat ON true
  LEFT JOIN LATERAL (
       SELECT min(s.since) AS first_at, extract(epoch FROM sum(s.until - s.since)) AS attended_s
         FROM (SELECT greatest(lower(r.span), c.started_at) AS since,
                      least(upper(r.span) - %(gap)s, c.ended_at, %(now)s) AS until
                 FROM unnest(sat.spans) AS r (span)) s
        WHERE c.started_at IS NOT NULL AND s.since <= s.until) stay ON true
 WHERE {which}
 ORDER BY a.created_at, a.id
"""
_HERE = "c.tenant_id = %(tenant)s AND c.id = %(class)s"
_OF_CLASS = _ROWS.format(which=f"{_HERE} AND a.is_learner")
_OF_PEOPLE = _ROWS.format(which=f"{_HERE} AND a.person_id = ANY(%(people)s::uuid[])")
_OF_ONE = _ROWS.format(which="c.id = ANY(%(classes)s::uuid[]) AND a.person_id = %(person)s")


def of_class(session: Session, who: Principal, class_id: UUID) -> list[dict[str, Any]]:
    """The rows of a class's learners, by age; one statement. ``attended_s`` and ``first_at`` are within the class."""
    return _read(session, _OF_CLASS, {"tenant": str(who.tenant), "class": str(class_id)})


def of_people(session: Session, who: Principal, class_id: UUID, people: Collection[UUID]) -> list[dict[str, Any]]:
    """The rows of some people in a class, learners or not; one statement."""
    values = {"tenant": str(who.tenant), "class": str(class_id), "people": [str(one) for one in people]}
    return _read(session, _OF_PEOPLE, values)


def of_one(session: Session, person_id: UUID, classes: Sequence[UUID]) -> dict[UUID, dict[str, Any]]:
    """One person's rows by class; one statement. In the self scope, over all organizations."""
    found = _read(session, _OF_ONE, {"person": str(person_id), "classes": [str(one) for one in classes]})
    return {row["class_id"]: row for row in found}


def own_view(session: Session, who: Principal, class_id: UUID) -> dict[str, Any] | None:
    """The caller's own row as the contract's ClassAttendance, or None where there is none."""
    found = of_people(session, who, class_id, [who.person])
    return views.attendance_view(found[0], moment(session)) if found else None


def total(session: Session, who: Principal, course_id: UUID, found: Sequence[dict[str, Any]]) -> int:
    """How many students a class has: the learners of its course, and whose rows ``found`` holds besides."""
    return len({*tenants.learners_of(session, who.tenant, course_id), *(row["person_id"] for row in found)})


def _read(session: Session, statement: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    session.flush()
    found = session.connection().exec_driver_sql(statement, {"now": moment(session), "gap": CONTINUES, **values})
    return [dict(row) for row in found.mappings()]
