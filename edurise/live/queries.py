"""Reads of live classes and attendance. Statements are built once, when this is imported."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Text, Uuid, any_, bindparam, or_, select
from sqlalchemy.orm import Session

from edurise import channels
from edurise.authz import Grade, Principal
from edurise.channels import Replay
from edurise.courses import queries as courses
from edurise.db import first, moment
from edurise.errors import NotFound
from edurise.live import attendance, figures, telling, views
from edurise.live.models import Attendance, LiveClass
from edurise.paging import Found, Listing, Orderings, Window
from edurise.tenants import queries as tenants

_COLUMNS = (
    LiveClass.id,
    LiveClass.course_id,
    LiveClass.instructor_id,
    LiveClass.instructor_name,
    LiveClass.title,
    LiveClass.description,
    LiveClass.scheduled_at,
    LiveClass.duration_minutes,
    LiveClass.status,
    LiveClass.join_url,
    LiveClass.started_at,
    LiveClass.ended_at,
    LiveClass.attended_count,
    LiveClass.created_at,
    LiveClass.updated_at,
)
CLASS_ORDER = Orderings(
    "-scheduled_at",
    LiveClass.id,
    {"scheduled_at": LiveClass.scheduled_at, "created_at": LiveClass.created_at, "title": LiveClass.title},
)
ATTENDANCE_ORDER = Orderings("created_at", Attendance.id, {"created_at": Attendance.created_at})

_STATUS = {"status": LiveClass.status == bindparam("status", type_=Text())}
_OF_COURSE = Listing(
    select(*_COLUMNS).where(LiveClass.tenant_id == bindparam("tenant"), LiveClass.course_id == bindparam("course")),
    CLASS_ORDER,
    _STATUS,
)
_MINE = Listing(
    select(*_COLUMNS).where(
        or_(
            LiveClass.course_id == any_(bindparam("courses", type_=ARRAY(Uuid()))),
            LiveClass.instructor_id == bindparam("person"),
        )
    ),
    CLASS_ORDER,
    _STATUS,
)
_BY_ID = select(*_COLUMNS).where(LiveClass.tenant_id == bindparam("tenant"), LiveClass.id == bindparam("id"))
_ATTENDANCE = Listing(
    select(Attendance.person_id).where(
        Attendance.tenant_id == bindparam("tenant"), Attendance.class_id == bindparam("class"), Attendance.is_learner
    ),
    ATTENDANCE_ORDER,
    {},
)

_TEACHING = (Grade.STAFF, Grade.ADMINISTRATOR, Grade.PLATFORM, Grade.SERVICE)


@dataclass(frozen=True)
class _Sight:
    """How the caller stands to one class."""

    teaches: bool
    learns: bool


_NEITHER = _Sight(False, False)


def _sight(who: Principal) -> _Sight:
    """In the organization and the course that the hop was entered about."""
    return _Sight(who.stands(*_TEACHING), who.stands(Grade.LEARNER))


def live_class(session: Session, who: Principal, class_id: UUID) -> dict[str, Any]:
    """A class as the caller may see it: links for learners and staff. Raises NotFound."""
    found = first(session, _BY_ID, {"tenant": who.tenant, "id": class_id})
    if found is None:
        raise NotFound
    return _views(session, who, [found], {found["course_id"]: _sight(who)})[0]


def of_course(session: Session, who: Principal, course_id: UUID, status: str | None, window: Window) -> Found:
    """The classes of a course, for anybody who may see it; links for learners and staff. Four statements at most."""
    found = _OF_COURSE.page(session, {"tenant": who.tenant, "course": course_id, "status": status}, window)
    return Found(found.count, _views(session, who, found.rows, {course_id: _sight(who)}))


def mine(session: Session, who: Principal, status: str | None, window: Window) -> Found:
    """The classes that the caller teaches and those of the courses that they stand in, over all organizations.

    Asks for the self scope; five statements. Nobody has none.
    """
    if who.user_id is None:
        return Found(0, [])
    stands = tenants.standings_of(session, who.person)
    given = {"courses": sorted(stands), "person": who.person, "status": status}
    found = _MINE.page(session, given, window)
    sights = {course: _Sight("staff" in kinds, "learner" in kinds) for course, kinds in stands.items()}
    return Found(found.count, _views(session, who, found.rows, sights))


def attendance_of(session: Session, who: Principal, class_id: UUID, window: Window) -> Found:
    """The attendance of a class's learners; four statements. Raises NotFound."""
    if first(session, _BY_ID, {"tenant": who.tenant, "id": class_id}) is None:
        raise NotFound
    found = _ATTENDANCE.page(session, {"tenant": who.tenant, "class": class_id}, window)
    ordered = [row["person_id"] for row in found.rows]
    by_person = {row["person_id"]: row for row in attendance.of_people(session, who, class_id, ordered)}
    now = moment(session)
    return Found(found.count, [views.attendance_view(by_person[one], now) for one in ordered if one in by_person])


def snapshot(session: Session, who: Principal, class_id: UUID) -> dict[str, Any]:
    """What a door says when it opens: ``class``, ``participants`` (how many are in it by what its channel was told) and
    ``attendance``, the caller's own row or None. Raises NotFound."""
    shown = live_class(session, who, class_id)
    return {
        "class": shown,
        "participants": telling.count_told(session, who.tenant, class_id),
        "attendance": attendance.own_view(session, who, class_id),
    }


def entrance(
    session: Session, who: Principal, class_id: UUID, after: int | None, epoch: UUID | None
) -> tuple[Replay, dict[str, Any]]:
    """``channels.opening`` of a class's channel with its ``snapshot``; without a position in one statement, and a
    second one for who has a row of attendance. Raises NotFound."""
    channel = telling.class_channel(class_id)
    if after is not None:
        return channels.opening(session, who, channel, after, epoch, snapshot, class_id)
    values = (str(class_id), str(who.person), channel)
    found = session.connection().exec_driver_sql("SELECT * FROM live_entrance(%s, %s, %s)", values).mappings().first()
    if found is None:
        raise NotFound
    row, now = dict(found), moment(session)
    own = attendance.of_people(session, who, class_id, [who.person]) if row["has_row"] else []
    row_of_own = own[0] if own else None
    face = {"title": row["course_title"], "total_enrollments": row["total_enrollments"]}
    stands = {
        "class": _view(row, face, who, _sight(who), row_of_own, now),
        "participants": row["participants"],
        "attendance": views.attendance_view(row_of_own, now) if row_of_own else None,
    }
    head = row["head"] or 0
    return Replay(False, [], head, row["epoch"], head), stands


def dashboard(session: Session, who: Principal, class_id: UUID) -> dict[str, Any]:
    """The desk's whole state: the rows of ``attendance`` and the ``metrics`` made of them. Raises NotFound."""
    found = first(session, _BY_ID, {"tenant": who.tenant, "id": class_id})
    if found is None:
        raise NotFound
    listed, now = attendance.of_class(session, who, class_id), moment(session)
    total = attendance.total(session, who, found["course_id"], listed)
    return {
        "attendance": [views.attendance_view(row, now) for row in listed],
        "metrics": figures.metrics(listed, total, now),
    }


def learners(session: Session, who: Principal, class_id: UUID) -> list[UUID]:
    """Who is to be told that a class is live, by id; nobody, if it is not live any more."""
    found = first(session, _BY_ID, {"tenant": who.tenant, "id": class_id})
    if found is None or found["status"] != "live":
        return []
    return tenants.learners_of(session, who.tenant, found["course_id"])


def _views(
    session: Session, who: Principal, found: list[dict[str, Any]], sights: dict[UUID, _Sight]
) -> list[dict[str, Any]]:
    """Rows as the contract's LiveClass, with what learners and staff see besides: two statements at most."""
    faces = courses.faces(session, sorted({row["course_id"] for row in found}))
    learning = [row["id"] for row in found if sights.get(row["course_id"], _NEITHER).learns]
    own = attendance.of_one(session, who.person, learning) if learning else {}
    now = moment(session)
    return [
        _view(row, faces.get(row["course_id"]), who, sights.get(row["course_id"], _NEITHER), own.get(row["id"]), now)
        for row in found
    ]


def _view(
    row: dict[str, Any],
    face: dict[str, Any] | None,
    who: Principal,
    sight: _Sight,
    own: dict[str, Any] | None,
    now: datetime,
) -> dict[str, Any]:
    teaches = sight.teaches or row["instructor_id"] == who.user_id
    view = views.class_view(row, face, attends=teaches or sight.learns)
    if teaches:
        view["attendance_count"] = row["attended_count"]
    return view | views.attending(own, now) if sight.learns else view
