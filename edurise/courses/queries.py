"""Reads of courses: one course, its price, its modules and lessons. Statements are built once, when this is
imported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, and_, any_, bindparam, or_, select, type_coerce
from sqlalchemy.orm import Session
from sqlalchemy.types import NULLTYPE

from edurise.authz import Grade, Principal
from edurise.courses import views
from edurise.courses.models import Course, Lesson, Module
from edurise.db import first, rows
from edurise.errors import NotFound
from edurise.paging import EVERYTHING, Found

COURSE = (
    Course.id,
    Course.tenant_id,
    Course.instructor_id,
    Course.instructor_first_name,
    Course.instructor_last_name,
    Course.title,
    Course.description,
    Course.category,
    Course.difficulty_level,
    # As the driver returns it: SQLAlchemy's array type would walk every item of every row.
    type_coerce(Course.tags, NULLTYPE).label("tags"),
    Course.price_minor,
    Course.currency,
    Course.duration_weeks,
    Course.max_students,
    Course.thumbnail_url,
    Course.status,
    Course.total_enrollments,
    Course.rating_sum,
    Course.rating_count,
    Course.created_at,
    Course.updated_at,
)
COURSES = select(*COURSE)
_COURSE_BY_ID = COURSES.where(Course.id == bindparam("id"))
_COURSES_BY_ID = COURSES.where(Course.id == any_(bindparam("ids", type_=ARRAY(Uuid()))))

_FACES = (
    select(Module.id, Module.title, Module.description, Module.position)
    .where(Module.tenant_id == bindparam("tenant"), Module.course_id == bindparam("course"), Module.is_published)
    .order_by(Module.position, Module.id)
)


@dataclass(frozen=True)
class Price:
    """What a course costs, by the server's own records; ``face`` is the course as clients see it."""

    amount_minor: int
    currency: str
    title: str
    on_sale: bool
    face: dict[str, Any]


def course(session: Session, _who: Principal, course_id: UUID) -> dict[str, Any]:
    """A course with the public face of its published modules. Raises NotFound."""
    found = first(session, _COURSE_BY_ID, {"id": course_id})
    if found is None:
        raise NotFound
    listed = rows(session, _FACES, {"tenant": found["tenant_id"], "course": course_id})
    return views.course_view(found) | {"modules": [views.module_face(row) for row in listed]}


def faces(session: Session, course_ids: list[UUID]) -> dict[UUID, dict[str, Any]]:
    """Courses by id, as far as the caller may read them; one statement."""
    if not course_ids:
        return {}
    found = rows(session, _COURSES_BY_ID, {"ids": course_ids})
    return {row["id"]: views.course_view(row) for row in found}


_OF_ORGANIZATION = (
    COURSES.where(Course.tenant_id == bindparam("tenant"), or_(bindparam("all"), Course.status == "published"))
    .order_by(Course.created_at.desc(), Course.id.desc())
    .limit(EVERYTHING)
)


def of_organization(session: Session, who: Principal) -> list[dict[str, Any]]:
    """The published courses of the organization at hand, the newest first; all for who administers it. At most
    EVERYTHING, one statement."""
    sees_all = who.stands(Grade.ADMINISTRATOR, Grade.PLATFORM)
    return [views.course_view(row) for row in rows(session, _OF_ORGANIZATION, {"tenant": who.tenant, "all": sees_all})]


def title_of(session: Session, _who: Principal, course_id: UUID) -> str:
    """The title of a course. Raises NotFound."""
    return price_of(session, course_id).title


def price_of(session: Session, course_id: UUID) -> Price:
    """The price of a course and whether it is on sale. Raises NotFound."""
    row = first(session, _COURSE_BY_ID, {"id": course_id})
    if row is None:
        raise NotFound
    return Price(
        row["price_minor"], row["currency"], row["title"], row["status"] == "published", views.course_view(row)
    )


def module(session: Session, who: Principal, module_id: UUID) -> dict[str, Any]:
    """A module as its staff sees it. Raises NotFound."""
    found = first(session, select(*_MODULE).where(Module.tenant_id == who.tenant, Module.id == module_id))
    if found is None:
        raise NotFound
    return views.module_view(found, _lessons(session, who, Lesson.module_id == module_id))


def modules(session: Session, who: Principal, course_id: UUID) -> Found:
    """The modules of a course in order: to the public titles and descriptions of published ones, to learners and staff
    with lessons."""
    query = select(*_MODULE).where(Module.tenant_id == who.tenant, Module.course_id == course_id)
    if not who.stands(Grade.STAFF, Grade.ADMINISTRATOR, Grade.PLATFORM):
        query = query.where(Module.is_published)
    found = rows(session, query.order_by(Module.position, Module.id))
    if not who.stands(Grade.LEARNER, Grade.STAFF, Grade.ADMINISTRATOR, Grade.PLATFORM):
        return Found(len(found), [views.public_module_view(row) for row in found])
    lessons = _lessons(session, who, Lesson.course_id == course_id)
    return Found(len(found), [views.module_view(row, lessons) for row in found])


def lessons_of_module(session: Session, who: Principal, module_id: UUID) -> Found:
    """The lessons of a module in order."""
    found = _lessons(session, who, Lesson.module_id == module_id)
    return Found(len(found), [views.lesson_view(row) for row in found])


def lesson(session: Session, who: Principal, lesson_id: UUID) -> dict[str, Any]:
    """One lesson. Raises NotFound."""
    found = _lessons(session, who, Lesson.id == lesson_id)
    if not found:
        raise NotFound
    return views.lesson_view(found[0])


_MODULE = (
    Module.id,
    Module.course_id,
    Module.title,
    Module.description,
    Module.content,
    Module.position,
    Module.is_published,
    Module.video_url,
    Module.materials,
    Module.created_at,
    Module.updated_at,
)


def _lessons(session: Session, who: Principal, condition: Any) -> list[dict[str, Any]]:
    """Lessons in order; to learners those of published modules only, as modules() does."""
    if not who.stands(Grade.STAFF, Grade.ADMINISTRATOR, Grade.PLATFORM):
        published = select(Module.id).where(Module.tenant_id == who.tenant, Module.is_published)
        condition = and_(condition, Lesson.module_id.in_(published))
    query = (
        select(
            Lesson.id,
            Lesson.course_id,
            Lesson.module_id,
            Lesson.title,
            Lesson.kind,
            Lesson.description,
            Lesson.content,
            Lesson.video_url,
            Lesson.duration_minutes,
            Lesson.questions,
            Lesson.position,
            Lesson.created_at,
            Lesson.updated_at,
        )
        .where(Lesson.tenant_id == who.tenant, condition)
        .order_by(Lesson.position, Lesson.id)
    )
    return rows(session, query)
