"""Courses, modules and lessons: the public catalogue and authoring."""

from __future__ import annotations

from uuid import UUID

from edurise.authz import About
from edurise.courses import catalogue, queries, service
from edurise.courses.permissions import Courses
from handlers.base import RestHandler
from handlers.guards import describe, permit, public
from schemas.base import page_of
from schemas.courses import (
    CourseDetailOut,
    CourseIn,
    CourseListQuery,
    CourseOut,
    CoursePatch,
    LessonIn,
    LessonOut,
    MarketplaceQuery,
    ModuleIn,
    ModuleOut,
    OfCourseQuery,
    OfModuleQuery,
    filters_of,
    paged,
)


class CoursesHandler(RestHandler):
    """The course list, and new courses."""

    @public(cache=True)
    @describe(
        summary="Courses: authors see their organization's, drafts included, everybody else what is published. "
        "A page with ?search= or paging, else a bare array",
        tags=["courses"],
        query=CourseListQuery,
        out=CourseOut,
        shape="listed",
    )
    async def get(self) -> None:
        query = self.query(CourseListQuery)
        window = self.window(query)
        self.reply_listed(await self.hop(catalogue.listing, filters_of(query), window), window, as_page=paged(query))

    @permit(Courses.CREATE)
    @describe(
        summary="Create a course",
        tags=["courses"],
        body=CourseIn,
        out=CourseOut,
        status=201,
        also=[200],
        idempotent=True,
        errors=["IDEMPOTENCY_KEY_REUSED"],
    )
    async def post(self) -> None:
        self.reply_made(await self.hop(service.create, self.body(CourseIn), self.idempotency_key()))


class MarketplaceHandler(RestHandler):
    """The public catalogue of all organizations."""

    @public(cache=True)
    @describe(
        summary="Published courses of every organization, by filter and full-text search",
        tags=["courses"],
        query=MarketplaceQuery,
        out=page_of(CourseOut),
        shape="data",
    )
    async def get(self) -> None:
        query = self.query(MarketplaceQuery)
        window = self.window(query | {"page": query["page"] or 1})
        self.reply_page(await self.hop(catalogue.marketplace, filters_of(query), window), window)


class CourseHandler(RestHandler):
    """One course."""

    @public(cache=True)
    @describe(
        summary="A course with the titles of its published modules", tags=["courses"], out=CourseDetailOut, shape="data"
    )
    async def get(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.who = self.who.needing(Courses.READ)
        self.reply(200, await self.hop(queries.course, id, about=About("course", id)))

    @permit(Courses.EDIT)
    @describe(
        summary="Change a course; publish or withdraw it",
        tags=["courses"],
        body=CoursePatch,
        out=CourseOut,
        errors=["COURSE_SUSPENDED"],
    )
    async def patch(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.reply(200, await self.hop(service.change, id, self.body(CoursePatch), about=About("course", id)))


class ModulesHandler(RestHandler):
    """The modules of a course."""

    @public()
    @describe(
        summary="The modules of a course; content and lessons for its learners and staff only",
        tags=["course-modules"],
        query=OfCourseQuery,
        out=ModuleOut,
        shape="page",
    )
    async def get(self) -> None:
        course_id = self.query(OfCourseQuery)["course"]
        self.who = self.who.needing(Courses.READ)
        self.reply_page(await self.hop(queries.modules, course_id, about=About("course", course_id)), self.everything)

    @permit(Courses.EDIT)
    @describe(summary="Add a module", tags=["course-modules"], body=ModuleIn, out=ModuleOut, status=201)
    async def post(self) -> None:
        data = self.body(ModuleIn)
        self.reply(201, await self.hop(service.add_module, data["course"], data, about=About("course", data["course"])))


class LessonsHandler(RestHandler):
    """The lessons of a module."""

    @permit(Courses.STUDY)
    @describe(
        summary="The lessons of a module", tags=["course-lessons"], query=OfModuleQuery, out=LessonOut, shape="page"
    )
    async def get(self) -> None:
        module_id = self.query(OfModuleQuery)["module"]
        self.reply_page(
            await self.hop(queries.lessons_of_module, module_id, about=About("module", module_id)), self.everything
        )

    @permit(Courses.EDIT)
    @describe(summary="Add a lesson", tags=["course-lessons"], body=LessonIn, out=LessonOut, status=201)
    async def post(self) -> None:
        data = self.body(LessonIn)
        self.reply(201, await self.hop(service.add_lesson, data["module"], data, about=About("module", data["module"])))


class LessonHandler(RestHandler):
    """One lesson."""

    @permit(Courses.STUDY)
    @describe(summary="A lesson", tags=["course-lessons"], out=LessonOut)
    async def get(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.reply(200, await self.hop(queries.lesson, id, about=About("lesson", id)))


routes = [
    ("/api/v1/courses/", CoursesHandler),
    ("/api/v1/courses/marketplace/", MarketplaceHandler),
    ("/api/v1/courses/{id:uuid}/", CourseHandler),
    ("/api/v1/course-modules/", ModulesHandler),
    ("/api/v1/course-lessons/", LessonsHandler),
    ("/api/v1/course-lessons/{id:uuid}/", LessonHandler),
]
aliases: list[tuple[str, str, str]] = []
