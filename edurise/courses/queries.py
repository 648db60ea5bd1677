"""Reads of courses: the public catalogue, one course, its modules and lessons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, case, func, or_, select
from sqlalchemy.orm import Session

from edurise.authz import Grade, Principal
from edurise.courses import views
from edurise.courses.models import CatalogueEntry, Course, Lesson, Module
from edurise.db import first, rows
from edurise.errors import NotFound
from edurise.money import UNUSUAL
from edurise.paging import Found, Orderings, Window, page
from edurise.tenants import queries as tenants

_CATALOGUE = (
    CatalogueEntry.course_id.label("id"),
    CatalogueEntry.tenant_id,
    CatalogueEntry.organization_name,
    CatalogueEntry.instructor_id,
    CatalogueEntry.instructor_first_name,
    CatalogueEntry.instructor_last_name,
    CatalogueEntry.title,
    CatalogueEntry.description,
    CatalogueEntry.category,
    CatalogueEntry.difficulty_level,
    CatalogueEntry.tags,
    CatalogueEntry.price_minor,
    CatalogueEntry.currency,
    CatalogueEntry.duration_weeks,
    CatalogueEntry.max_students,
    CatalogueEntry.thumbnail_url,
    CatalogueEntry.average_rating,
    CatalogueEntry.total_enrollments,
    CatalogueEntry.created_at,
    CatalogueEntry.updated_at,
)
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
    Course.tags,
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
# Built once: putting twenty columns together costs more than running the statement's where.
_MARKETPLACE = select(*_CATALOGUE)
COURSES = select(*COURSE)
CATALOGUE_ORDER = Orderings(
    "-created_at",
    CatalogueEntry.course_id,
    {
        "created_at": CatalogueEntry.created_at,
        "title": CatalogueEntry.title,
        "price": CatalogueEntry.price_minor,
        "average_rating": CatalogueEntry.average_rating,
        "total_enrollments": CatalogueEntry.total_enrollments,
    },
)
COURSE_ORDER = Orderings(
    "-created_at",
    Course.id,
    {
        "created_at": Course.created_at,
        "title": Course.title,
        "price": Course.price_minor,
        "total_enrollments": Course.total_enrollments,
    },
)


@dataclass(frozen=True)
class Filters:
    """What a list of courses may be narrowed by; None means no filter. Prices are in major units of each course's
    currency."""

    search: str | None = None
    category: str | None = None
    difficulty_level: str | None = None
    instructor: UUID | None = None
    tenant: UUID | None = None
    min_price: float | None = None
    max_price: float | None = None


@dataclass(frozen=True)
class Price:
    """What a course costs, by the server's own records."""

    amount_minor: int
    currency: str
    title: str
    on_sale: bool
    is_full: bool


def marketplace(session: Session, _who: Principal, filters: Filters, window: Window) -> Found:
    """Published courses of every organization; two statements."""
    found = page(session, _narrowed(_MARKETPLACE, filters), window, CATALOGUE_ORDER)
    return Found(found.count, [views.catalogue_view(row) for row in found.rows])


def listing(session: Session, who: Principal, filters: Filters, window: Window) -> Found:
    """Courses as the caller may see them: authors see their organization's, drafts included; everybody else the
    catalogue."""
    if not who.stands(Grade.ADMINISTRATOR, Grade.TEACHER, Grade.PLATFORM) or filters.tenant not in (None, who.tenant):
        return marketplace(session, who, filters, window)
    query = COURSES
    if not who.stands(Grade.ADMINISTRATOR, Grade.PLATFORM):
        query = query.where(or_(Course.instructor_id == who.person, Course.status == "published"))
    found = page(session, _narrowed_own(query, filters), _without_rating(window), COURSE_ORDER)
    owner = {"id": who.tenant, "name": tenants.name_of(session, who)}
    owned = {"organization": owner, "organization_name": owner["name"]}
    return Found(found.count, [views.course_view(row) | owned for row in found.rows])


def course(session: Session, _who: Principal, course_id: UUID) -> dict[str, Any]:
    """A course with the public face of its published modules. Raises NotFound."""
    found = first(session, COURSES.where(Course.id == course_id))
    if found is None:
        raise NotFound
    listed = rows(
        session,
        select(Module.id, Module.title, Module.description, Module.position)
        .where(Module.tenant_id == found["tenant_id"], Module.course_id == course_id, Module.is_published)
        .order_by(Module.position, Module.id),
    )
    return views.course_view(found) | {"modules": [views.module_face(row) for row in listed]}


def faces(session: Session, course_ids: list[UUID]) -> dict[UUID, dict[str, Any]]:
    """Courses by id, as far as the caller may read them; one statement."""
    if not course_ids:
        return {}
    found = rows(session, COURSES.where(Course.id.in_(course_ids)))
    return {row["id"]: views.course_view(row) for row in found}


def title_of(session: Session, _who: Principal, course_id: UUID) -> str:
    """The title of a course. Raises NotFound."""
    return price_of(session, course_id).title


def price_of(session: Session, course_id: UUID) -> Price:
    """The price of a course and whether it is on sale. Raises NotFound."""
    row = session.execute(
        select(
            Course.price_minor,
            Course.currency,
            Course.title,
            Course.status,
            Course.max_students,
            Course.total_enrollments,
        ).where(Course.id == course_id)
    ).one_or_none()
    if row is None:
        raise NotFound
    is_full = row.max_students is not None and row.total_enrollments >= row.max_students
    return Price(row.price_minor, row.currency, row.title, row.status == "published", is_full)


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


def _narrowed(query: Select[*tuple[Any, ...]], filters: Filters) -> Select[*tuple[Any, ...]]:
    entry = CatalogueEntry
    if filters.search:
        words = func.websearch_to_tsquery("simple", filters.search).op("||")(
            func.websearch_to_tsquery("english", filters.search)
        )
        query = query.where(entry.search.op("@@")(words))
    if filters.category:
        query = query.where(entry.category == filters.category)
    if filters.difficulty_level:
        query = query.where(entry.difficulty_level == filters.difficulty_level)
    if filters.instructor:
        query = query.where(entry.instructor_id == filters.instructor)
    if filters.tenant:
        query = query.where(entry.tenant_id == filters.tenant)
    if filters.min_price is not None:
        query = query.where(entry.price_minor >= _minor_of(entry.currency, filters.min_price))
    if filters.max_price is not None:
        query = query.where(entry.price_minor <= _minor_of(entry.currency, filters.max_price))
    return query


def _narrowed_own(query: Select[*tuple[Any, ...]], filters: Filters) -> Select[*tuple[Any, ...]]:
    if filters.search:
        # Inside one organization there are hundreds of courses, not millions: no index could be used under row-level
        # security anyway.
        query = query.where(func.strpos(func.lower(Course.title), filters.search.lower()) > 0)
    if filters.category:
        query = query.where(Course.category == filters.category)
    if filters.difficulty_level:
        query = query.where(Course.difficulty_level == filters.difficulty_level)
    if filters.instructor:
        query = query.where(Course.instructor_id == filters.instructor)
    if filters.min_price is not None:
        query = query.where(Course.price_minor >= _minor_of(Course.currency, filters.min_price))
    if filters.max_price is not None:
        query = query.where(Course.price_minor <= _minor_of(Course.currency, filters.max_price))
    return query


def _minor_of(currency: Any, amount: float) -> Any:
    """``amount`` major units in the minor units of each row's currency."""
    special = [(currency.in_(sorted(names)), round(amount * 10**places)) for places, names in UNUSUAL.items()]
    return case(*special, else_=round(amount * 100))


def _without_rating(window: Window) -> Window:
    """An organization's own list is not ordered by rating; it falls back to its default."""
    return window if window.ordering.removeprefix("-") in COURSE_ORDER.columns else Window(window.number, window.size)
