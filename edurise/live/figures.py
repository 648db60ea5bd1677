"""The figures of attendance: how each is made of what was measured. Nothing here asks the database.

A row is one of ``edurise.live.attendance``: with ``attended_s``, the seconds in which the person was in the class while
it ran, and ``first_at``, when they first were.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from edurise.live.rules import LATE

STATUSES = ("present", "late", "partial", "absent")
_WEIGHT_OF_COMING, _WEIGHT_OF_STAYING, _WEIGHT_OF_ASKING = 0.5, 0.3, 0.2


def class_seconds(row: dict[str, Any], now: datetime) -> float:
    """How long the row's class has run: until its end, or until now; 0 before its start."""
    if row["started_at"] is None:
        return 0.0
    started_at: datetime = row["started_at"]
    until: datetime = row["ended_at"] or now
    return max((until - started_at).total_seconds(), 0.0)


def status(row: dict[str, Any], now: datetime) -> str:
    """``present``, ``late``, ``partial`` or ``absent``.

    What staff marked counts. Else, in this order: absent, who was never in the class while it ran (before the start:
    who is not there); partial, who attended less than half of the class's time, which is decided once they are gone or
    the class is over; late, who first came more than 10 minutes after the start; else present.
    """
    if row["marked_status"] is not None:
        return str(row["marked_status"])
    if row["started_at"] is None:
        return "present" if row["is_present"] else "absent"
    if row["first_at"] is None:
        return "absent"
    decided = row["ended_at"] is not None or not row["is_present"]
    if decided and row["attended_s"] < class_seconds(row, now) / 2:
        return "partial"
    return "late" if row["first_at"] - row["started_at"] > LATE else "present"


def score(row: dict[str, Any], now: datetime) -> int:
    """Participation, 0 to 100: the share of the class's time so far that was attended, in per cent, rounded."""
    seconds = class_seconds(row, now)
    return round(100 * min(row["attended_s"] / seconds, 1.0)) if seconds > 0 else 0


def minutes(row: dict[str, Any]) -> int:
    """Whole minutes attended, rounded down."""
    return int(row["attended_s"] // 60)


def metrics(rows: Sequence[dict[str, Any]], total: int, now: datetime) -> dict[str, Any]:
    """The contract's EngagementMetrics of one class, from the rows of its learners and how many learners there are.

    - ``total_students``: the learners of the course, and those who have a row and are no learners any more.
    - ``status_breakdown``: how many have each status; who has no row is absent.
    - ``attendance_rate``: per cent of all students who are not absent.
    - ``average_duration``: minutes attended, the mean over those who came.
    - ``participation_stats``: ``active_participants`` asked a question, ``total_questions`` is how many were asked,
      ``average_participation`` the mean score of those who came.
    - ``engagement_score``: 0 to 100: half of it the attendance rate, three tenths the average participation, two tenths
      the per cent of those who came that asked a question.

    Rates have one decimal. A mean or a share of nobody is 0.
    """
    counts = dict.fromkeys(STATUSES, 0)
    for row in rows:
        counts[status(row, now)] += 1
    counts["absent"] += max(total - len(rows), 0)
    came = [row for row in rows if row["first_at"] is not None]
    asking = [row for row in rows if row["questions_asked"] > 0]
    rate = _share(total - counts["absent"], total)
    participation = _mean([score(row, now) for row in came])
    activity = min(_share(len(asking), len(came)), 100.0)
    engagement = _WEIGHT_OF_COMING * rate + _WEIGHT_OF_STAYING * participation + _WEIGHT_OF_ASKING * activity
    return {
        "total_students": total,
        "attendance_rate": round(rate, 1),
        "average_duration": round(_mean([row["attended_s"] / 60 for row in came]), 1),
        "engagement_score": round(engagement, 1),
        "status_breakdown": counts,
        "participation_stats": {
            "active_participants": len(asking),
            "total_questions": sum(row["questions_asked"] for row in rows),
            "average_participation": round(participation, 1),
        },
    }


def _share(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 0.0


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
