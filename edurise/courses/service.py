"""Commands on courses, modules and lessons."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import nh3
import orjson
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from edurise import audit, outbox
from edurise.authz import Grade, Principal
from edurise.courses import queries, views
from edurise.courses.events import CoursePublished
from edurise.courses.models import Category, Course, CourseDelta, Lesson, Module
from edurise.db import add_row, flush_unique, moment, quotas
from edurise.errors import Conflict, Forbidden, Invalid, NotFound, Problem, Retry
from edurise.identity import queries as people
from edurise.money import exact_minor
from edurise.tenants import queries as tenants
from edurise.tenants import service as memberships
from edurise.tenants.quotas import COURSES

_COPIED = ("title", "description", "category", "difficulty_level", "tags", "duration_weeks", "max_students")
_MODERATED = frozenset({"suspended"})
_PUBLISHING = frozenset({"published", "approved"})
_MOST_MINOR = 2**31 - 1  # what the column holds


def create(session: Session, who: Principal, data: dict[str, Any], key: str | None) -> tuple[bool, dict[str, Any]]:
    """Create a course of the acting organization with the caller as its instructor; returns (whether it is new, the
    course).

    ``key`` makes a repeat return the first course; raises Conflict (IDEMPOTENCY_KEY_REUSED) for another body under the
    same key or where the plan has no course left (PLAN_LIMIT_REACHED), Invalid for an unknown category or a price finer
    than the currency.
    """
    digest = hashlib.sha256(orjson.dumps(data, default=str, option=orjson.OPT_SORT_KEYS)).hexdigest() if key else None
    repeated = _by_key(session, who, key)
    if repeated is not None:
        if repeated.idempotency_digest != digest:
            raise Conflict("IDEMPOTENCY_KEY_REUSED")
        return False, _view(session, repeated.id)
    quotas(session).use(session, who.tenant, COURSES)  # first: while the counter is held no currency is changed
    organization = tenants.organization(session, who.tenant)
    if organization is None:
        raise NotFound("ORGANIZATION_NOT_FOUND")
    author = people.contact(session, who.person)
    now = moment(session)
    course = Course(
        id=uuid7(),
        tenant_id=who.tenant,
        instructor_id=who.person,
        instructor_first_name=author["first_name"],
        instructor_last_name=author["last_name"],
        currency=organization["currency"],
        idempotency_key=key,
        idempotency_digest=digest,
        created_at=now,
        updated_at=now,
        title=data["title"],
        category=data["category"],
        status="draft",
    )
    session.add(course)
    _fill(session, course, data)
    _publication(session, who, course, data, reviewed=organization["course_review"])
    flush_unique(session, on="uq_courses_tenant_id_instructor_id_idempotency_key", raises=Retry)
    memberships.stand(session, who.tenant, course.id, who.person, "staff")
    audit.write(session, who, "course.created", "course", course.id)
    return True, _view(session, course.id)


def change(session: Session, who: Principal, course_id: UUID, data: dict[str, Any]) -> dict[str, Any]:
    """Change a course, publish or withdraw it; returns the whole course. Raises NotFound, Invalid, Forbidden
    (COURSE_SUSPENDED)."""
    course = session.scalars(select(Course).where(Course.id == course_id).with_for_update()).one_or_none()
    organization = tenants.organization(session, who.tenant)
    if course is None or organization is None:
        raise NotFound
    _fill(session, course, data)
    _publication(session, who, course, data, reviewed=organization["course_review"])
    course.updated_at = moment(session)
    session.flush()
    audit.write(session, who, "course.changed", "course", course.id, fields=sorted(data))
    return _view(session, course.id)


def add_module(session: Session, who: Principal, course_id: UUID, data: dict[str, Any]) -> dict[str, Any]:
    """Add a module at ``order``, or at the end; returns it."""
    now = moment(session)
    position = data["order"] if "order" in data else _end(session, Module.position, Module.course_id == course_id)
    module = Module(
        id=uuid7(),
        tenant_id=who.tenant,
        course_id=course_id,
        title=data["title"],
        description=data.get("description", ""),
        content=clean(data.get("content", "")),
        position=position,
        is_published=data.get("is_published", True),
        video_url=data.get("video_url"),
        materials=data.get("materials", []),
        created_at=now,
        updated_at=now,
    )
    session.add(module)
    session.flush()
    return queries.module(session, who, module.id)


def add_lesson(session: Session, who: Principal, module_id: UUID, data: dict[str, Any]) -> dict[str, Any]:
    """Add a lesson to a module at ``order``, or at the end; returns it. Raises NotFound."""
    course_id = session.scalar(select(Module.course_id).where(Module.tenant_id == who.tenant, Module.id == module_id))
    if course_id is None:
        raise NotFound
    now = moment(session)
    position = data["order"] if "order" in data else _end(session, Lesson.position, Lesson.module_id == module_id)
    lesson = Lesson(
        id=uuid7(),
        tenant_id=who.tenant,
        course_id=course_id,
        module_id=module_id,
        title=data["title"],
        kind=data.get("type", "text"),
        description=data.get("description", ""),
        content=clean(data.get("content", "")),
        video_url=data.get("video_url"),
        duration_minutes=data.get("duration_minutes", 0),
        questions=data.get("questions", []),
        position=position,
        created_at=now,
        updated_at=now,
    )
    session.add(lesson)
    session.flush()
    return queries.lesson(session, who, lesson.id)


def reserve_place(session: Session, face: Mapping[str, Any]) -> None:
    """Refuse (Conflict, COURSE_FULL) when a course with a limit has no place left; the course's row decides between
    two who come at once. ``face`` is the course as this transaction has read it: without a limit nothing is locked.

    The counter is folded every second, so the deltas not yet folded count too.
    """
    if face["max_students"] is None:
        return
    course_id = face["id"]
    course = session.scalars(select(Course).where(Course.id == course_id).with_for_update()).one()
    waiting = session.scalar(
        select(func.coalesce(func.sum(CourseDelta.enrollments), 0)).where(CourseDelta.course_id == course_id)
    )
    if course.max_students is not None and course.total_enrollments + (waiting or 0) >= course.max_students:
        raise Conflict("COURSE_FULL")


def count_enrollment(session: Session, tenant_id: UUID, course_id: UUID) -> None:
    """Count one more learner, without a lock on the course."""
    add_row(session, CourseDelta, tenant_id=tenant_id, course_id=course_id, enrollments=1)


def fold_counters(session: Session, limit: int = 5_000) -> int:
    """Fold waiting deltas into their courses (system role); returns how many. A crash folds all of a batch or nothing
    of it."""
    oldest = select(CourseDelta.id).order_by(CourseDelta.id).limit(limit).with_for_update(skip_locked=True)
    folded = session.execute(
        delete(CourseDelta).where(CourseDelta.id.in_(oldest)).returning(CourseDelta.course_id, CourseDelta.enrollments)
    ).all()
    sums: dict[UUID, int] = {}
    for course_id, enrollments in folded:
        sums[course_id] = sums.get(course_id, 0) + enrollments
    for course_id in sorted(sums):
        session.execute(
            update(Course)
            .where(Course.id == course_id)
            .values(total_enrollments=Course.total_enrollments + sums[course_id])
        )
    return len(folded)


def clean(html: str) -> str:
    """HTML that is safe to insert unescaped, as clients do: scripts, handlers, styles and foreign protocols are
    gone."""
    return nh3.clean(html)


def _by_key(session: Session, who: Principal, key: str | None) -> Course | None:
    if key is None:
        return None
    return session.scalars(
        select(Course).where(
            Course.tenant_id == who.tenant, Course.instructor_id == who.person, Course.idempotency_key == key
        )
    ).one_or_none()


def _fill(session: Session, course: Course, data: dict[str, Any]) -> None:
    for name in _COPIED:
        if name in data:
            setattr(course, name, data[name])
    if "price" in data:
        course.price_minor = exact_minor(data["price"] or 0, course.currency, "price")
        if course.price_minor > _MOST_MINOR:  # with three decimals the edge's bound in major units is not enough
            raise Invalid(errors={"price": [Problem("out_of_range", {"min": 0, "max": _MOST_MINOR // 1000})]})
    if "moderation_reason" in data:
        course.moderation_reason = data["moderation_reason"]
    with session.no_autoflush:  # a flush would decide the race for an idempotency key here, outside of flush_unique
        if "category" in data and session.get(Category, data["category"]) is None:
            raise Invalid(errors={"category": [Problem("unknown_category")]})


def _publication(session: Session, who: Principal, course: Course, data: dict[str, Any], *, reviewed: bool) -> None:
    """Both ways of writing it take effect: ``is_public`` and ``status``; ``status`` wins where both are sent."""
    decides = who.stands(Grade.ADMINISTRATOR, Grade.PLATFORM)
    wanted = data.get("status")
    if wanted is None and "is_public" in data:
        wanted = "published" if data["is_public"] else "draft"
    if wanted is None or (wanted == course.status):
        return
    if not decides and (wanted in _MODERATED or course.status in _MODERATED):
        raise Forbidden("COURSE_SUSPENDED")
    if wanted not in _PUBLISHING:
        course.status = wanted
        return
    if course.status == "published":
        return
    if reviewed and not decides:
        course.status = "pending"
        return
    course.status = "published"
    course.published_at = moment(session)
    outbox.record(session, who.tenant, CoursePublished(course_id=course.id))


def _view(session: Session, course_id: UUID) -> dict[str, Any]:
    session.flush()
    found = session.execute(queries.COURSES.where(Course.id == course_id)).mappings().one()
    return views.course_view({str(name): value for name, value in found.items()})


def _end(session: Session, position: Any, condition: Any) -> int:
    return session.scalar(select(func.coalesce(func.max(position) + 1, 0)).where(condition)) or 0
