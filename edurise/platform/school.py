"""The demo school that ``make run`` shows: two organizations, five people with known passwords, courses to read.

Larger schools of the same make are in ``edurise.platform.bulk``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from edurise.platform.bulk import RIVERSIDE, Bulk, seed_bulk
from edurise.platform.keys import Keys
from edurise.platform.seeding import SchoolInUse, seed
from edurise.platform.sheets import Course, Meeting, Person, Sheets, Syllabus
from edurise.tenants.queries import MAIN

__all__ = ["DEMO_PEOPLE", "RIVERSIDE", "Bulk", "DemoPerson", "SchoolInUse", "seed_bulk", "seed_demo"]


class DemoPerson(NamedTuple):
    """Somebody to log in as. ``role`` is for people to read."""

    role: str
    email: str
    password: str
    first_name: str
    last_name: str


DEMO_PEOPLE = (
    DemoPerson("platform administrator", "platform@example.org", "demo-platform-2026", "Paula", "Lindqvist"),
    DemoPerson(
        "administrator of Riverside Academy", "admin@riverside.example.org", "demo-admin-2026", "Ruth", "Adeyemi"
    ),
    DemoPerson(
        "approved teacher of Riverside Academy",
        "teacher@riverside.example.org",
        "demo-teacher-2026",
        "Tomas",
        "Herrera",
    ),
    DemoPerson(
        "teacher whose application is pending",
        "applicant@riverside.example.org",
        "demo-applicant-2026",
        "Nadia",
        "Brandt",
    ),
    DemoPerson("student", "student@example.org", "demo-student-2026", "Selin", "Kaya"),
)
"""Printed at the start of the embedded mode. Their addresses are on a reserved domain; production is not seeded."""

_SCOPE = "demo"
_SYLLABUS = Path(__file__).with_name("syllabus.toml")


def seed_demo(owner_url: str, hash_password: Callable[[str], str], *, force: bool = False) -> bool:
    """Write the demo school as the owner role; False where it was there already.

    Raises SchoolInUse over a database with people of its own, unless ``force`` is given.
    """
    return seed(owner_url, Keys(_SCOPE).next("person"), lambda now: demo(now, hash_password), force=force)


def demo(now: datetime, hash_password: Callable[[str], str]) -> Sheets:
    """The rows of the demo school; the same ids at every call."""
    sheets = Sheets(_SCOPE, (RIVERSIDE,))
    founded = now - timedelta(days=90)
    platform, administrator, teacher, applicant, student = (
        sheets.person(
            one.email,
            (one.first_name, one.last_name),
            hash_password(one.password),
            founded,
            is_platform_admin=one.role == "platform administrator",
        )
        for one in DEMO_PEOPLE
    )
    sheets.member(MAIN, platform, "admin", founded)
    sheets.member(RIVERSIDE.id, administrator, "admin", founded)
    sheets.teacher(RIVERSIDE.id, teacher, administrator, founded + timedelta(days=1))
    sheets.teacher(MAIN, teacher, platform, founded + timedelta(days=10))
    sheets.teacher(RIVERSIDE.id, applicant, None, now - timedelta(days=1))
    sheets.member(MAIN, student, "student", now - timedelta(days=30))
    for number, told in enumerate(tomllib.loads(_SYLLABUS.read_text(encoding="utf-8"))["courses"]):
        _course(sheets, teacher, told, founded + timedelta(days=11 + number))
    sheets.meet(sheets.courses[0], Meeting("Recall together: a live hour", now + timedelta(minutes=10), 60))
    _first_steps(sheets, student, now)
    return sheets


def _course(sheets: Sheets, teacher: Person, told: dict[str, Any], at: datetime) -> None:
    tenant_id = {"main": MAIN, RIVERSIDE.subdomain: RIVERSIDE.id}[told["organization"]]
    syllabus = Syllabus(
        title=told["title"],
        description=told["description"],
        category=told["category"],
        difficulty_level=told["difficulty_level"],
        tags=tuple(told["tags"]),
        price_minor=told["price_minor"],
        duration_weeks=told["duration_weeks"],
        status=told.get("status", "published"),
    )
    course = sheets.course(tenant_id, teacher, syllabus, at)
    for position, part in enumerate(told["modules"]):
        module_id = sheets.module(course, position, part["title"], part["description"], "")
        for step, lesson in enumerate(part["lessons"]):
            sheets.lesson(course, module_id, step, lesson["title"], lesson["content"], lesson["minutes"])


def _first_steps(sheets: Sheets, student: Person, now: datetime) -> None:
    """The student has begun one free course and has not bought anything yet: that is the tour's first step."""
    course: Course = sheets.courses[0]
    began = now - timedelta(days=29)
    sheets.notify(MAIN, student, "welcome", {}, {}, began - timedelta(days=1), read=True)
    sheets.enroll(course, student, began, progress=25)
    sheets.notify(
        MAIN,
        student,
        "course_enrollment",
        {"course": course.syllabus.title},
        {"course_id": str(course.id)},
        began,
        read=False,
    )
