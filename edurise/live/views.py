"""The contract's shapes of live classes and attendance, from plain rows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from edurise.live import figures


def class_view(row: dict[str, Any], face: dict[str, Any] | None, *, attends: bool) -> dict[str, Any]:
    """The contract's LiveClass. ``face`` is the course; links are for who ``attends`` only: learners and staff.

    A meeting of a vendor, its password and its recording there are none of yet. ``enrolled_students`` is the course's
    counter.
    """
    return {
        "id": row["id"],
        "course": row["course_id"],
        "course_id": row["course_id"],
        "course_title": face["title"] if face else "",
        "title": row["title"],
        "description": row["description"],
        "instructor": {"id": row["instructor_id"], "full_name": row["instructor_name"]},
        "instructor_name": row["instructor_name"],
        "scheduled_at": row["scheduled_at"],
        "duration_minutes": row["duration_minutes"],
        "status": row["status"],
        "join_url": row["join_url"] if attends else None,
        "start_url": None,
        "password": None,
        "zoom_meeting_id": None,
        "recording_url": None,
        "started_at": row["started_at"],
        "ended_at": row["ended_at"],
        "enrolled_students": face["total_enrollments"] if face else 0,
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }


def attending(row: dict[str, Any] | None, now: datetime) -> dict[str, Any]:
    """What a learner's own list says of a class: whether they were there, and for how many minutes."""
    if row is None:
        return {"attended": False, "attendance_duration": 0}
    return {"attended": figures.status(row, now) != "absent", "attendance_duration": figures.minutes(row)}


def attendance_view(row: dict[str, Any], now: datetime) -> dict[str, Any]:
    """The contract's ClassAttendance. ``leave_time`` is null while a socket of the person is in the class."""
    left = row["ended_at"] if row["sits"] else row["left_at"]
    return {
        "id": row["id"],
        "live_class": row["class_id"],
        "student": {
            "id": row["person_id"],
            "first_name": row["first_name"],
            "last_name": row["last_name"],
            "email": row["email"],
        },
        "status": figures.status(row, now),
        "join_time": row["first_joined_at"],
        "leave_time": left,
        "duration_minutes": figures.minutes(row),
        "participation_score": figures.score(row, now),
        "questions_asked": row["questions_asked"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }


def name_of(row: dict[str, Any]) -> str:
    """First and last name in one."""
    return f"{row['first_name']} {row['last_name']}".strip()
