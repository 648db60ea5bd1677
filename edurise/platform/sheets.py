"""The rows of a school before they are written: who enrolls also stands, belongs and is counted, as in the services.

Bulk rows do not run through the services, whose events would tell ten thousand people something; so this one module
repeats what ``enrollments.service.take_place`` and ``payments.service.settle`` make true together. Tests count it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import orjson
from sqlalchemy import Connection, text

from edurise.notifications.service import KINDS
from edurise.platform.columns import COLUMNS
from edurise.platform.copying import Row, copy
from edurise.platform.keys import Keys
from edurise.texts import catalogue as texts

CURRENCY = "USD"
_PAID_AFTER = timedelta(minutes=2)


@dataclass(frozen=True)
class Organization:
    """A tenant of the school."""

    id: UUID
    name: str
    subdomain: str
    description: str = ""
    plan: str = "pro"


@dataclass(frozen=True)
class Person:
    """Somebody of the school."""

    id: UUID
    email: str
    first_name: str
    last_name: str


@dataclass(frozen=True)
class Syllabus:
    """What a course says about itself."""

    title: str
    description: str
    category: str
    difficulty_level: str
    tags: tuple[str, ...]
    price_minor: int
    duration_weeks: int
    status: str = "published"


@dataclass
class Course:
    """A course of the school; ``learners`` counts as enrollments are made."""

    id: UUID
    tenant_id: UUID
    instructor: Person
    syllabus: Syllabus
    created_at: datetime
    learners: int = 0


@dataclass(frozen=True)
class Payment:
    """A payment as it ended. ``status`` is completed, failed, cancelled or pending."""

    status: str
    at: datetime


@dataclass(frozen=True)
class Meeting:
    """A live class of a course: scheduled, or over if it names who came and who of the course's learners did not."""

    title: str
    at: datetime
    minutes: int
    came: tuple[Person, ...] = ()
    missed: tuple[Person, ...] = ()

    @property
    def is_over(self) -> bool:
        return bool(self.came or self.missed)


@dataclass
class Sheets:
    """Rows by table. ``scope`` seeds the keys; ``organizations`` are those that the rows may name."""

    scope: str
    organizations: tuple[Organization, ...]
    courses: list[Course] = field(default_factory=list)
    _rows: dict[str, list[Row]] = field(default_factory=lambda: {table: [] for table in COLUMNS})
    _members: set[tuple[UUID, UUID]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._keys = Keys(self.scope)

    def person(
        self, email: str, name: tuple[str, str], password_hash: str, at: datetime, *, is_platform_admin: bool = False
    ) -> Person:
        """Add somebody with a password."""
        found = Person(self._keys.next("person"), email, *name)
        self._rows["people"].append((found.id, email, *name, "en", is_platform_admin, at, at))
        self._rows["credentials"].append((found.id, password_hash, at))
        return found

    def member(self, tenant_id: UUID, person: Person, role: str, at: datetime) -> None:
        """Add a membership unless there is one, in whatever role."""
        if (tenant_id, person.id) not in self._members:
            self._members.add((tenant_id, person.id))
            self._rows["memberships"].append((self._keys.next("membership"), tenant_id, person.id, role, at))

    def teacher(self, tenant_id: UUID, person: Person, approved_by: Person | None, at: datetime) -> None:
        """Add an application to teach; approved, it makes a teacher's membership, pending a student's."""
        self.member(tenant_id, person, "teacher" if approved_by else "student", at)
        decision: tuple[str, datetime, datetime | None, UUID | None] = ("pending", at, None, None)
        if approved_by:
            decision = ("approved", at, at + timedelta(days=1), approved_by.id)
        self._rows["teacher_applications"].append((self._keys.next("application"), tenant_id, person.id, *decision))

    def course(self, tenant_id: UUID, instructor: Person, syllabus: Syllabus, at: datetime) -> Course:
        """Add a course, which its instructor teaches."""
        found = Course(self._keys.next("course"), tenant_id, instructor, syllabus, at)
        self.courses.append(found)
        self._rows["standings"].append((tenant_id, found.id, instructor.id, "staff"))
        return found

    def module(self, course: Course, position: int, title: str, description: str, content: str) -> UUID:
        """Add a module; returns its id."""
        key = self._keys.next("module")
        at = course.created_at
        self._rows["modules"].append((key, course.tenant_id, course.id, title, description, content, position, at, at))
        return key

    def lesson(self, course: Course, module_id: UUID, position: int, title: str, content: str, minutes: int) -> None:
        """Add a text lesson."""
        at = course.created_at
        self._rows["lessons"].append(
            (
                self._keys.next("lesson"),
                course.tenant_id,
                course.id,
                module_id,
                title,
                "text",
                "",
                content,
                minutes,
                position,
                at,
                at,
            )
        )

    def enroll(self, course: Course, person: Person, at: datetime, progress: int = 0) -> None:
        """Give a learner a place: enrollment, standing, membership and count. The caller gives each place once."""
        done = progress == 100
        self._rows["enrollments"].append(
            (
                self._keys.next("enrollment"),
                course.tenant_id,
                course.id,
                person.id,
                "completed" if done else "active",
                progress,
                at,
                at + timedelta(days=20) if done else None,
                at + timedelta(days=1),
            )
        )
        self._rows["standings"].append((course.tenant_id, course.id, person.id, "learner"))
        self.member(course.tenant_id, person, "student", at)
        course.learners += 1

    def pay(self, course: Course, person: Person, payment: Payment) -> UUID:
        """Add a payment at the course's price; a completed one entitles and enrolls. Returns its id."""
        key = self._keys.next("payment")
        settled = payment.at + _PAID_AFTER
        ended = payment.status != "pending"
        self._rows["payments"].append(
            (
                key,
                course.tenant_id,
                course.id,
                person.id,
                course.syllabus.price_minor,
                CURRENCY,
                "sandbox",
                "stripe",
                payment.status,
                f"sandbox_seed_{key.hex}" if ended else None,
                payment.at,
                settled if ended else payment.at,
                settled if payment.status == "completed" else None,
                settled if payment.status in ("failed", "cancelled") else None,
            )
        )
        if payment.status == "completed":
            right = (self._keys.next("entitlement"), course.tenant_id, course.id, person.id, "payment", key, settled)
            self._rows["entitlements"].append(right)
            self.enroll(course, person, settled)
        return key

    def meet(self, course: Course, meeting: Meeting) -> UUID:
        """Add a live class; who came to one that is over stayed from its begin to its end. Returns its id."""
        key, teacher = self._keys.next("live_class"), course.instructor
        began, ended = meeting.at, meeting.at + timedelta(minutes=meeting.minutes)
        over = meeting.is_over
        self._rows["live_classes"].append(
            (
                key,
                course.tenant_id,
                course.id,
                teacher.id,
                f"{teacher.first_name} {teacher.last_name}",
                meeting.title,
                began,
                meeting.minutes,
                "completed" if over else "scheduled",
                f"https://meet.example.org/{key}",
                began if over else None,
                ended if over else None,
                len(meeting.came),
                course.created_at,
                ended if over else course.created_at,
            )
        )
        place = (course.tenant_id, key)
        for person in meeting.came:
            row = (self._keys.next("attendance"), *place, person.id, True, began, False, began, ended)
            self._rows["attendance"].append(row)
            sat = (self._keys.next("interval"), *place, person.id, self._keys.next("connection"))
            self._rows["attendance_intervals"].append((*sat, began, ended, ended, "class_ended"))
        for person in meeting.missed:
            self._rows["attendance"].append(
                (self._keys.next("attendance"), *place, person.id, True, None, False, ended, ended)
            )
        return key

    def notify(
        self,
        tenant_id: UUID,
        person: Person,
        kind: str,
        params: Mapping[str, object],
        data: Mapping[str, str],
        at: datetime,
        *,
        read: bool,
    ) -> None:
        """Add a notification in the words that the platform itself uses."""
        sort = KINDS[kind]
        title, message = texts.notification(sort.words, "en", params)
        self._rows["notifications"].append(
            (
                self._keys.next("notification"),
                tenant_id,
                person.id,
                kind,
                sort.category,
                sort.priority,
                title,
                message,
                orjson.dumps(dict(data)).decode(),
                self._keys.next("source"),
                at,
                at + timedelta(hours=1) if read else None,
            )
        )

    def tables(self) -> Iterator[tuple[str, list[Row]]]:
        """Every table with its rows, in the order of writing."""
        for table, rows in self._rows.items():
            yield table, [_course_row(one) for one in self.courses] if table == "courses" else rows

    def write(self, connection: Connection) -> None:
        """Write everything in the connection's transaction; the catalogue follows by its trigger."""
        for one in self.organizations:
            connection.execute(
                _FOUND,
                {
                    "id": one.id,
                    "name": one.name,
                    "subdomain": one.subdomain,
                    "about": one.description,
                    "plan": one.plan,
                },
            )
        for table, rows in self.tables():
            copy(connection, table, COLUMNS[table], rows)


_FOUND = text(
    "INSERT INTO organizations (id, name, subdomain, description, plan) VALUES (:id, :name, :subdomain, :about, :plan) "
    "ON CONFLICT (id) DO NOTHING"
)


def _course_row(course: Course) -> Row:
    told = course.syllabus
    return (
        course.id,
        course.tenant_id,
        course.instructor.id,
        course.instructor.first_name,
        course.instructor.last_name,
        told.title,
        told.description,
        told.category,
        told.difficulty_level,
        told.tags,
        told.price_minor,
        CURRENCY,
        told.duration_weeks,
        told.status,
        course.learners,
        course.created_at,
        course.created_at,
        course.created_at if told.status == "published" else None,
    )
