"""Live classes and attendance."""

from __future__ import annotations

from uuid import UUID

from edurise.authz import MINE, About
from edurise.live import queries, service
from edurise.live.permissions import Live
from edurise.paging import Found, Window
from handlers.base import RestHandler
from handlers.guards import describe, permit, public
from schemas.live import AttendanceOut, AttendanceQuery, LiveClassIn, LiveClassListQuery, LiveClassOut, MarkIn, MomentIn


class LiveClassesHandler(RestHandler):
    """The list of classes, and new classes."""

    @public()
    @describe(
        summary="Live classes of a course, for anybody who sees it; without ?course= the caller's own, over all "
        "organizations. Links are for learners and staff",
        tags=["live-classes"],
        query=LiveClassListQuery,
        out=LiveClassOut,
        shape="page",
    )
    async def get(self) -> None:
        query = self.query(LiveClassListQuery)
        window = self.window(query)
        self.reply_page(await self._listed(query.get("course"), query.get("status"), window), window)

    @permit(Live.TEACH)
    @describe(
        summary="Schedule a live class of a course",
        tags=["live-classes"],
        body=LiveClassIn,
        out=LiveClassOut,
        status=201,
        also=[200],
        idempotent=True,
        errors=["IDEMPOTENCY_KEY_REUSED"],
    )
    async def post(self) -> None:
        data, key = self.body(LiveClassIn), self.idempotency_key()
        page_url = f"{self.c.settings.ui_url.rstrip('/')}/live-classes/"
        about = About("course", data["course_id"])
        self.reply_made(await self.hop(service.create, data, key, page_url, about=about))

    async def _listed(self, course_id: UUID | None, status: str | None, window: Window) -> Found:
        """One's own classes are found in the self scope, a course's in its organization."""
        if course_id is None:
            mine: Found = await self.hop(queries.mine, status, window, about=MINE)
            return mine
        self.who = self.who.needing(Live.READ)
        found: Found = await self.hop(queries.of_course, course_id, status, window, about=About("course", course_id))
        return found


class LiveClassHandler(RestHandler):
    """One class."""

    @permit(Live.READ)
    @describe(
        summary="A live class; its link is for learners and staff",
        tags=["live-classes"],
        out=LiveClassOut,
        shape="data",
    )
    async def get(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.reply(200, await self.hop(queries.live_class, id, about=About("live_class", id)))


class StartHandler(RestHandler):
    """The beginning of a class."""

    @permit(Live.TEACH)
    @describe(
        summary="Start a live class; starting it again changes nothing",
        tags=["live-classes"],
        body=MomentIn,
        out=LiveClassOut,
        errors=["CLASS_OVER", "CLASS_CANCELLED"],
    )
    async def post(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.body(MomentIn)
        self.reply(200, await self.hop(service.start, id, about=About("live_class", id)))


class EndHandler(RestHandler):
    """The end of a class."""

    @permit(Live.TEACH)
    @describe(
        summary="End a live class; who has no attendance is absent. Ending it again changes nothing",
        tags=["live-classes"],
        body=MomentIn,
        out=LiveClassOut,
        errors=["CLASS_NOT_STARTED", "CLASS_CANCELLED"],
    )
    async def post(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.body(MomentIn)
        self.reply(200, await self.hop(service.end, id, about=About("live_class", id)))


class AttendanceHandler(RestHandler):
    """The attendance of a class."""

    @permit(Live.TEACH)
    @describe(
        summary="The attendance of a class, by learner",
        tags=["attendance"],
        query=AttendanceQuery,
        out=AttendanceOut,
        shape="page",
    )
    async def get(self) -> None:
        query = self.query(AttendanceQuery)
        class_id, window = query["live_class_id"], self.window(query)
        about = About("live_class", class_id)
        self.reply_page(await self.hop(queries.attendance_of, class_id, window, about=about), window)


class MarkHandler(RestHandler):
    """A learner's attendance, set by hand."""

    @permit(Live.TEACH)
    @describe(
        summary="Set a learner's status, whatever was measured",
        tags=["attendance"],
        body=MarkIn,
        out=AttendanceOut,
        errors=["CLASS_CANCELLED"],
    )
    async def post(self) -> None:
        data = self.body(MarkIn)
        class_id = data["live_class_id"]
        about = About("live_class", class_id)
        self.reply(200, await self.hop(service.mark, class_id, data["student_id"], data["status"], about=about))


_CLASSES, _ATTENDANCE = "/api/v1/live-classes/", "/api/v1/attendance/"
routes = [
    (_CLASSES, LiveClassesHandler),
    (f"{_CLASSES}{{id:uuid}}/", LiveClassHandler),
    (f"{_CLASSES}{{id:uuid}}/start_class/", StartHandler),
    (f"{_CLASSES}{{id:uuid}}/end_class/", EndHandler),
    (_ATTENDANCE, AttendanceHandler),
    (f"{_ATTENDANCE}mark_attendance/", MarkHandler),
]
_OLD_CLASSES, _OLD_ATTENDANCE = "/api/v1/api/v1/courses/live-classes/", "/api/v1/api/v1/classes/attendance/"
aliases = [
    ("GET", _OLD_CLASSES, _CLASSES),
    ("POST", _OLD_CLASSES, _CLASSES),
    ("GET", f"{_OLD_CLASSES}{{id:uuid}}/", f"{_CLASSES}{{id:uuid}}/"),
    ("POST", f"{_OLD_CLASSES}{{id:uuid}}/start_class/", f"{_CLASSES}{{id:uuid}}/start_class/"),
    ("POST", f"{_OLD_CLASSES}{{id:uuid}}/end_class/", f"{_CLASSES}{{id:uuid}}/end_class/"),
    ("GET", _OLD_ATTENDANCE, _ATTENDANCE),
    ("POST", f"{_OLD_ATTENDANCE}mark_attendance/", f"{_ATTENDANCE}mark_attendance/"),
]
