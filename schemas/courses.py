"""Bodies, queries and answers of courses, modules and lessons."""

from __future__ import annotations

from typing import Any

from marshmallow import validates_schema

from edurise.courses.catalogue import CATALOGUE_ORDER, Filters
from edurise.tenants.queries import id_of
from schemas.base import (
    Bool,
    Choice,
    Id,
    Instant,
    Int,
    Json,
    ListOf,
    Money,
    Nested,
    Number,
    Ordering,
    OutSchema,
    PageQuery,
    QueryBool,
    QueryNumber,
    QuerySchema,
    Slug,
    StrictSchema,
    Text,
    Url,
    refuse_field,
)

LEVELS = ["beginner", "intermediate", "advanced"]
MOST_TEXT = 100_000
CLEAN_TEXT = 6 * MOST_TEXT
"""Sanitising may write one character as an entity of six."""


class MarketplaceQuery(PageQuery):
    """Filters of the public catalogue. The marketplace is always paged."""

    category = Slug()
    difficulty_level = Choice(LEVELS)
    instructor = Id()
    tenant = Id(words=("main",))
    min_price = QueryNumber(min=0, max=10_000_000)
    max_price = QueryNumber(min=0, max=10_000_000)
    price_min = QueryNumber(min=0, max=10_000_000, deprecated=True)
    price_max = QueryNumber(min=0, max=10_000_000, deprecated=True)
    ordering = Ordering(list(CATALOGUE_ORDER.columns))


class CourseListQuery(MarketplaceQuery):
    """Filters of the course list. ``is_public`` is accepted: what may be seen already depends on who asks."""

    is_public = QueryBool()


class CourseIn(StrictSchema):
    """A new course. ``price`` is in the organization's currency; none, null or 0 is free."""

    title = Text(min=1, max=200, required=True)
    description = Text(max=20_000, lines=True)
    category = Slug(required=True)
    difficulty_level = Choice(LEVELS)
    tags = ListOf(Text(min=1, max=50), max=20)
    price = Money(allow_none=True)
    duration_weeks = Int(min=1, max=520)
    max_students = Int(min=1, max=1_000_000, allow_none=True)
    is_public = Bool()
    status = Choice(["draft", "published", "approved"])


class CoursePatch(StrictSchema):
    """A change of a course: publication is written as ``is_public`` or as ``status``."""

    title = Text(min=1, max=200)
    description = Text(max=20_000, lines=True)
    category = Slug()
    difficulty_level = Choice(LEVELS)
    tags = ListOf(Text(min=1, max=50), max=20)
    price = Money(allow_none=True)
    duration_weeks = Int(min=1, max=520)
    max_students = Int(min=1, max=1_000_000, allow_none=True)
    is_public = Bool()
    status = Choice(["draft", "published", "approved", "suspended"])
    moderation_reason = Text(max=2000, lines=True)


class InstructorOut(OutSchema):
    """Who teaches a course."""

    id = Id()
    first_name = Text()
    last_name = Text()


class OwnerOut(OutSchema):
    """The organization of a course."""

    id = Id()
    name = Text()


class ModuleFaceOut(OutSchema):
    """What anybody may see of a module."""

    id = Id()
    title = Text()
    description = Text(max=20_000, lines=True)
    order = Int()


class CourseOut(OutSchema):
    """The contract's Course. ``category`` is a slug, which clients use as id, word and name."""

    id = Id()
    title = Text()
    description = Text(max=20_000, lines=True)
    instructor = Nested(InstructorOut)
    instructor_name = Text()
    category = Slug()
    category_name = Text()
    difficulty_level = Choice(LEVELS)
    tags = ListOf(Text())
    price = Number(min=0)
    currency = Text(max=3)
    thumbnail = Text(max=2000, allow_none=True)
    average_rating = Number(min=0, max=5)
    total_enrollments = Int()
    enrollment_count = Int()
    duration_weeks = Int()
    max_students = Int(allow_none=True)
    status = Choice(["draft", "pending", "published", "suspended"])
    is_public = Bool()
    organization = Nested(OwnerOut, required=False)
    organization_name = Text(required=False)
    created_at = Instant()
    updated_at = Instant()


class CourseDetailOut(CourseOut):
    """A course with the public face of its published modules."""

    modules = ListOf(Nested(ModuleFaceOut), max=10_000)


class EnrolledCourseOut(CourseOut):
    """A course that the caller is enrolled in."""

    enrollment_id = Id()
    progress_percentage = Int(max=100)
    enrolled_at = Instant()


class OfCourseQuery(QuerySchema):
    """The course whose modules are asked for."""

    course = Id(required=True)


class OfModuleQuery(QuerySchema):
    """The module whose lessons are asked for."""

    module = Id(required=True)


class ModuleIn(StrictSchema):
    """A new module; without ``order`` it goes to the end."""

    course = Id(required=True)
    title = Text(min=1, max=200, required=True)
    description = Text(max=20_000, lines=True)
    content = Text(max=MOST_TEXT, lines=True)
    order = Int(max=100_000)
    is_published = Bool()
    video_url = Url(allow_none=True)
    materials = ListOf(Url(), max=100)


class QuestionIn(StrictSchema):
    """One question of a quiz; ``correct_answer`` is the index of the right option."""

    question = Text(min=1, max=2000, required=True, lines=True)
    options = ListOf(Text(min=1, max=500), min=2, max=10, required=True)
    correct_answer = Int(max=9, required=True)

    @validates_schema
    def answer_is_an_option(self, data: dict[str, Any], **_: object) -> None:
        last = len(data["options"]) - 1
        if data["correct_answer"] > last:
            refuse_field("correct_answer", "out_of_range", min=0, max=last)


class LessonIn(StrictSchema):
    """A new lesson; without ``order`` it goes to the end of its module. ``content`` is HTML and is sanitised."""

    module = Id(required=True)
    title = Text(min=1, max=200, required=True)
    type = Choice(["video", "text", "quiz"])
    description = Text(max=20_000, lines=True)
    content = Text(max=MOST_TEXT, lines=True)
    video_url = Url(allow_none=True)
    duration_minutes = Int(max=100_000)
    questions = ListOf(Nested(QuestionIn), max=200)
    order = Int(max=100_000)


class LessonOut(OutSchema):
    """The contract's Lesson. Progress is not recorded yet: ``completed`` is false."""

    id = Id()
    course = Id()
    module = Id()
    title = Text()
    type = Choice(["video", "text", "quiz"])
    completed = Bool()
    duration = Text()
    duration_minutes = Int()
    description = Text(max=20_000, lines=True)
    video_url = Text(max=2000, allow_none=True)
    content = Text(max=CLEAN_TEXT, lines=True)
    questions = ListOf(Json(max_bytes=100_000), max=200)
    order = Int()
    created_at = Instant()
    updated_at = Instant()


class ModuleOut(OutSchema):
    """The contract's CourseModule. Content, materials and lessons are there for learners and staff only."""

    id = Id()
    course = Id()
    title = Text()
    description = Text(max=20_000, lines=True)
    order = Int()
    is_published = Bool()
    content = Text(max=CLEAN_TEXT, lines=True, required=False)
    video_url = Text(max=2000, allow_none=True, required=False)
    materials = ListOf(Text(max=2000), required=False)
    lessons = ListOf(Nested(LessonOut), max=10_000, required=False)
    created_at = Instant()
    updated_at = Instant()


def filters_of(query: dict[str, Any]) -> Filters:
    """The filters of a loaded query; both spellings of the price bounds count."""
    tenant = query.get("tenant")
    return Filters(
        search=query["search"] or None,
        category=query.get("category"),
        difficulty_level=query.get("difficulty_level"),
        instructor=query.get("instructor"),
        tenant=None if tenant is None else id_of(tenant),
        min_price=query.get("min_price", query.get("price_min")),
        max_price=query.get("max_price", query.get("price_max")),
    )


def paged(query: dict[str, Any]) -> bool:
    """Whether a course list is answered as a page: with a search, an ordering or a page; else it is a bare array."""
    return bool(query["search"] or query["page"] or query.get("ordering"))
