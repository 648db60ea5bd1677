"""The contract's shapes of courses, modules and lessons, from plain rows."""

from __future__ import annotations

from typing import Any

from edurise.money import to_major


def course_view(row: dict[str, Any]) -> dict[str, Any]:
    """The contract's Course, from a row of ``courses``."""
    count = row["rating_count"]
    return _face(row) | {
        "average_rating": row["rating_sum"] / count if count else 0,
        "status": row["status"],
        "is_public": row["status"] == "published",
    }


def catalogue_view(row: dict[str, Any]) -> dict[str, Any]:
    """The contract's Course, from a row of the public catalogue."""
    return _face(row) | {
        "average_rating": row["average_rating"],
        "status": "published",
        "is_public": True,
        "organization": {"id": row["tenant_id"], "name": row["organization_name"]},
        "organization_name": row["organization_name"],
    }


def _face(row: dict[str, Any]) -> dict[str, Any]:
    first, last, category = row["instructor_first_name"], row["instructor_last_name"], row["category"]
    enrollments = row["total_enrollments"]
    return {
        "id": row["id"],
        "title": row["title"],
        "description": row["description"],
        "instructor": {"id": row["instructor_id"], "first_name": first, "last_name": last},
        "instructor_name": f"{first} {last}",
        "category": category,
        "category_name": category,
        "difficulty_level": row["difficulty_level"],
        "tags": row["tags"],
        "price": to_major(row["price_minor"], row["currency"]),
        "currency": row["currency"],
        "thumbnail": row["thumbnail_url"],
        "total_enrollments": enrollments,
        "enrollment_count": enrollments,
        "duration_weeks": row["duration_weeks"],
        "max_students": row["max_students"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }


def module_face(row: dict[str, Any]) -> dict[str, Any]:
    """A module inside a course: what anybody may see of it."""
    return {"id": row["id"], "title": row["title"], "description": row["description"], "order": row["position"]}


def public_module_view(row: dict[str, Any]) -> dict[str, Any]:
    """A module as a visitor sees it: the contract's CourseModule without content and lessons."""
    return {
        "id": row["id"],
        "course": row["course_id"],
        "title": row["title"],
        "description": row["description"],
        "order": row["position"],
        "is_published": row["is_published"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }


def module_view(row: dict[str, Any], lessons: list[dict[str, Any]]) -> dict[str, Any]:
    """The contract's CourseModule with its lessons, picked out of the course's."""
    return public_module_view(row) | {
        "content": row["content"],
        "video_url": row["video_url"],
        "materials": row["materials"],
        "lessons": [lesson_view(one) for one in lessons if one["module_id"] == row["id"]],
    }


def lesson_view(row: dict[str, Any]) -> dict[str, Any]:
    """The contract's Lesson; ``duration`` is printed by clients as it is. Progress is not recorded yet, so nothing is
    completed."""
    minutes = row["duration_minutes"]
    return {
        "id": row["id"],
        "course": row["course_id"],
        "module": row["module_id"],
        "title": row["title"],
        "type": row["kind"],
        "completed": False,
        "duration": f"{minutes} min" if minutes else "",
        "duration_minutes": minutes,
        "description": row["description"],
        "video_url": row["video_url"],
        "content": row["content"],
        "questions": row["questions"],
        "order": row["position"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }
