"""A teacher's own profile with the figures of their courses, as ``courses.figures`` defines them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from edurise.authz import Principal
from edurise.courses import figures as courses
from edurise.identity import profiles


def own(session: Session, who: Principal) -> dict[str, Any]:
    """The caller's profile and ``{total_students, total_courses, average_rating}``."""
    return profiles.own(session, who) | _figures(session, who)


def change(session: Session, who: Principal, data: Mapping[str, Any]) -> dict[str, Any]:
    """As ``profiles.change_own``, with the figures."""
    return profiles.change_own(session, who, data) | _figures(session, who)


def _figures(session: Session, who: Principal) -> dict[str, Any]:
    found = courses.of_instructor(session, who.person)
    return {
        "total_students": found["total_students"],
        "total_courses": found["course_count"],
        "average_rating": found["avg_rating"],
    }
