"""Schools by the thousand, for benchmarks and tests: the same rows from the same scale, whenever and wherever."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

from edurise.platform.keys import Keys
from edurise.platform.seeding import DOMAIN, seed
from edurise.platform.sheets import CURRENCY, Course, Meeting, Organization, Payment, Person, Sheets, Syllabus
from edurise.platform.words import TOPICS, Writer
from edurise.tenants.queries import MAIN

RIVERSIDE = Organization(
    Keys("organizations").next("riverside"),
    "Riverside Academy",
    "riverside",
    "Evening and online courses for adults, taught by people who do the work.",
)
"""The second organization of every generated school."""

PASSWORD = "learning-by-doing-2026"  # noqa: S105 - of generated people, who exist nowhere
DESCRIPTION, MODULE = 500, 1_000
MODULES_PER_COURSE, LESSONS_PER_MODULE = 10, 3
_YEAR = timedelta(days=335)  # payments fall into eleven months
_SHARE_PAID = 0.4


@dataclass(frozen=True)
class Scale:
    """How many of each; enrollments are spread evenly over the students, all of whom share one course."""

    teachers: int
    students: int
    courses: int
    enrollments: int
    payments: int
    notifications: int
    classes: int


SCALES = {
    "0.1x": Scale(teachers=4, students=100, courses=20, enrollments=500, payments=50, notifications=100, classes=20),
    "1x": Scale(
        teachers=20, students=1_000, courses=200, enrollments=5_000, payments=500, notifications=1_000, classes=200
    ),
    "10x": Scale(
        teachers=200,
        students=10_000,
        courses=2_000,
        enrollments=200_000,
        payments=5_000,
        notifications=1_000,
        classes=2_000,
    ),
}


@dataclass(frozen=True)
class Bulk:
    """What was generated, for whoever uses it; everybody's password is ``password``.

    ``students[0]`` has the notifications. ``places`` holds, for each student, the courses they are enrolled in.
    ``crowd`` is a scheduled live class of ``free[0]``, the course that every student is enrolled in, taught by
    ``crowd_teacher``.
    """

    scale: str
    password: str
    tenants: tuple[UUID, UUID]
    platform_administrator: Person
    administrators: tuple[Person, Person]
    teachers: tuple[Person, ...]
    students: tuple[Person, ...]
    published: tuple[UUID, ...]
    free: tuple[UUID, ...]
    paid: tuple[UUID, ...]
    drafts: tuple[UUID, ...]
    places: dict[UUID, frozenset[UUID]]
    classes: tuple[UUID, ...]
    crowd: UUID
    crowd_teacher: Person


def seed_bulk(owner_url: str, scale: str, hash_password: Callable[[str], str], *, force: bool = False) -> Bulk:
    """Write a school of ``scale`` (a key of SCALES) unless it is there already, and describe it.

    Raises SchoolInUse over a database with people of its own, unless ``force`` is given; KeyError for an unknown scale.
    """
    marker = Keys(scale).next("person")
    seed(owner_url, marker, lambda now: _School(scale, now, hash_password(PASSWORD)).sheets, force=force)
    return describe(scale)


def describe(scale: str) -> Bulk:
    """The same description without a database: generated anew, for it is always the same."""
    return _School(scale, datetime(2026, 1, 1, tzinfo=UTC), "").bulk()


class _School:
    """Generates one school. Every choice comes from one seeded generator, in a fixed order."""

    def __init__(self, scale: str, now: datetime, password_hash: str) -> None:
        self._scale, self._size, self._now, self._hash = scale, SCALES[scale], now, password_hash
        self._random = Random(f"edurise {scale}")  # noqa: S311 - repeatable on purpose
        self._writer = Writer(self._random)
        self._tenants = (MAIN, RIVERSIDE.id)
        self._places: dict[UUID, set[UUID]] = {}
        self._classes: dict[UUID, list[UUID]] = {}
        self.sheets = Sheets(scale, (RIVERSIDE,))
        self._people()
        self._courses()
        self._learning()
        self._told()
        self._meetings()

    def bulk(self) -> Bulk:
        shown = [one for one in self.sheets.courses if one.syllabus.status == "published"]
        return Bulk(
            scale=self._scale,
            password=PASSWORD,
            tenants=self._tenants,
            platform_administrator=self._platform,
            administrators=(self._administrators[0], self._administrators[1]),
            teachers=tuple(self._teachers),
            students=tuple(self._students),
            published=tuple(one.id for one in shown),
            free=tuple(one.id for one in shown if one.syllabus.price_minor == 0),
            paid=tuple(one.id for one in shown if one.syllabus.price_minor > 0),
            drafts=tuple(one.id for one in self.sheets.courses if one.syllabus.status == "draft"),
            places={person: frozenset(courses) for person, courses in self._places.items()},
            classes=tuple(one for classes in self._classes.values() for one in classes),
            crowd=self._classes[self._shared.id][0],
            crowd_teacher=self._shared.instructor,
        )

    def _person(self, local: str, *, is_platform_admin: bool = False) -> Person:
        address = f"{local}@{self._scale}.{DOMAIN}"
        return self.sheets.person(
            address,
            self._writer.name(),
            self._hash,
            self._now - timedelta(days=400),
            is_platform_admin=is_platform_admin,
        )

    def _people(self) -> None:
        joined = self._now - timedelta(days=390)
        self._platform = self._person("platform", is_platform_admin=True)
        self._administrators = [self._person(f"administrator-{label}") for label in ("main", RIVERSIDE.subdomain)]
        for tenant, person in zip(self._tenants, self._administrators, strict=True):
            self.sheets.member(tenant, person, "admin", joined)
        self._teachers = [self._person(f"teacher-{number:03}") for number in range(self._size.teachers)]
        for number, person in enumerate(self._teachers):
            self.sheets.teacher(self._tenants[number % 2], person, self._administrators[number % 2], joined)
        self._students = [self._person(f"student-{number:05}") for number in range(self._size.students)]
        for person in self._students:
            self.sheets.member(MAIN, person, "student", joined)
            self._places[person.id] = set()

    def _courses(self) -> None:
        """The public courses, every 20th followed by a draft; two in five cost something."""
        for number in range(self._size.courses):
            self._course(number, "published")
            if number % 20 == 0:
                self._course(number, "draft")

    def _course(self, number: int, status: str) -> None:
        categories = tuple(TOPICS)
        category = categories[number % len(categories)]
        topic = self._writer.topic(category)
        is_paid = (number * 2) % 5 < 5 * _SHARE_PAID
        told = Syllabus(
            title=self._writer.course_title(topic),
            description=self._writer.prose(topic, DESCRIPTION),
            category=category,
            difficulty_level=self._random.choice(("beginner", "intermediate", "advanced")),
            tags=(
                category,
                topic.lower().replace(" ", "-"),
                self._random.choice(("evening", "self-paced", "certificate")),
            ),
            price_minor=self._random.randrange(1_900, 19_900, 500) if is_paid else 0,
            duration_weeks=self._random.randint(2, 12),
            status=status,
        )
        teacher = number % len(self._teachers)
        made = self._now - timedelta(days=380) + timedelta(minutes=number)
        course = self.sheets.course(self._tenants[teacher % 2], self._teachers[teacher], told, made)
        for position in range(MODULES_PER_COURSE):
            title = self._writer.module_title(position)
            about, content = self._writer.prose(topic, 120), self._writer.html(topic, MODULE)
            module_id = self.sheets.module(course, position, title, about, content)
            for step in range(LESSONS_PER_MODULE):
                text = self._writer.html(topic, 400)
                self.sheets.lesson(course, module_id, step, self._writer.lesson_title(topic, step), text, 10)

    def _learning(self) -> None:
        """Payments first, for a place in a paid course follows from one; then free courses up to everybody's share."""
        shown = [one for one in self.sheets.courses if one.syllabus.status == "published"]
        paid = [one for one in shown if one.syllabus.price_minor]
        free = [one for one in shown if not one.syllabus.price_minor]
        for number in range(self._size.payments):
            self._pay(number, paid)
        self._shared, *others = free
        share = self._size.enrollments // self._size.students
        for person in self._students:
            chosen = self._random.sample(others, share - len(self._places[person.id]) - 1)
            for course in (self._shared, *chosen):
                at = course.created_at + timedelta(minutes=self._random.randrange(365 * 1_440))
                self.sheets.enroll(course, person, at, self._random.choice((0, 10, 25, 40, 60, 80, 100)))
                self._places[person.id].add(course.id)

    def _pay(self, number: int, paid: list[Course]) -> None:
        """Four in five payments are completed, and of ten others five failed, three were cancelled and two are open."""
        person = self._students[number % len(self._students)]
        course = paid[number % len(paid)]
        status = "completed"
        if number % 5 == 4:
            status = (
                "failed",
                "cancelled",
                "failed",
                "pending",
                "failed",
                "cancelled",
                "failed",
                "cancelled",
                "failed",
                "pending",
            )[number // 5 % 10]
        at = self._now - _YEAR + _YEAR * number / self._size.payments
        self.sheets.pay(course, person, Payment(status, at))
        if status == "completed":
            self._places[person.id].add(course.id)

    def _meetings(self) -> None:
        """A live class for each course in turn. Every fourth is over, and one learner in five of it was not there."""
        shown = [one for one in self.sheets.courses if one.syllabus.status == "published"]
        learners: dict[UUID, list[Person]] = {}
        for person in self._students:
            for course_id in sorted(self._places[person.id]):
                learners.setdefault(course_id, []).append(person)
        for number in range(self._size.classes):
            course = shown[number % len(shown)]
            there = learners.get(course.id, [])
            title = f"{course.syllabus.title}: questions and answers"
            if number % 4 == 3 and there and course is not self._shared:
                missed = tuple(there[4::5])
                came = tuple(one for one in there if one not in missed)
                meeting = Meeting(title, self._now - timedelta(hours=number + 2), 60, came, missed)
            else:
                meeting = Meeting(title, self._now + timedelta(hours=number), 60)
            self._classes.setdefault(course.id, []).append(self.sheets.meet(course, meeting))

    def _told(self) -> None:
        """One student has been told a great deal, and read every second piece of it."""
        person = self._students[0]
        courses = self.sheets.courses
        for number in range(self._size.notifications):
            course = courses[number % len(courses)]
            at = self._now - timedelta(hours=self._size.notifications - number)
            paid = number % 4 == 0
            params = {
                "course": course.syllabus.title,
                "amount_minor": course.syllabus.price_minor or 4_900,
                "currency": CURRENCY,
            }
            kind = "payment_settled" if paid else "course_enrollment"
            data = {"course_id": str(course.id)}
            self.sheets.notify(course.tenant_id, person, kind, params, data, at, read=number % 2 == 0)
