"""Enrolling, and one's own courses."""

from __future__ import annotations

from uuid import UUID

from edurise.authz import MINE, About
from edurise.enrollments import queries, service
from edurise.enrollments.permissions import Enrollments
from handlers.base import RestHandler
from handlers.guards import describe, permit
from schemas.courses import EnrolledCourseOut
from schemas.enrollments import EnrollIn, EnrollmentOut


class EnrollHandler(RestHandler):
    """A place in a course."""

    @permit(Enrollments.ENROLL)
    @describe(
        summary="Enroll in a free or a paid-for course; a repeat answers 200 with the existing enrollment",
        tags=["enrollments"],
        body=EnrollIn,
        out=EnrollmentOut,
        status=201,
        also=[200],
        errors=["PAYMENT_REQUIRED", "COURSE_FULL", "COURSE_NOT_ON_SALE", "MEMBERSHIP_SUSPENDED", "PLAN_LIMIT_REACHED"],
    )
    async def post(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.body(EnrollIn)
        self.reply_made(await self.hop(service.enroll, id, about=About("course", id)))


class EnrolledCoursesHandler(RestHandler):
    """The caller's courses."""

    @permit(Enrollments.MINE)
    @describe(
        summary="The courses that one is enrolled in, over all organizations",
        tags=["enrollments"],
        out=EnrolledCourseOut,
        shape="array",
    )
    async def get(self) -> None:
        self.reply(200, await self.hop(queries.enrolled_courses, about=MINE))


routes = [
    ("/api/v1/courses/enrolled_courses/", EnrolledCoursesHandler),
    ("/api/v1/courses/{id:uuid}/enroll/", EnrollHandler),
]
aliases: list[tuple[str, str, str]] = []
