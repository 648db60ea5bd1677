"""Teacher applications."""

from __future__ import annotations

from uuid import UUID

from edurise.authz import About
from edurise.identity import applications
from edurise.identity.flows.applications import applications_for
from edurise.identity.permissions import Applications
from handlers.base import RestHandler
from handlers.guards import describe, permit
from schemas.identity import TeacherApprovalOut
from schemas.payments import EmptyIn


class ApprovalsHandler(RestHandler):
    """Teacher applications."""

    @permit(Applications.LIST)
    @describe(
        summary="Teacher applications: a bare array for administrators, a page of one's own for an applicant",
        tags=["teacher-approvals"],
        out=TeacherApprovalOut,
        shape="listed",
    )
    async def get(self) -> None:
        self.reply(200, applications.by_reader(await applications_for(self.c, self.who)))


class ApproveHandler(RestHandler):
    """Approval."""

    @permit(Applications.DECIDE)
    @describe(
        summary="Approve a teacher application",
        tags=["teacher-approvals"],
        body=EmptyIn,
        out=TeacherApprovalOut,
        errors=["APPLICATION_DECIDED"],
    )
    async def post(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.body(EmptyIn)
        self.reply(200, await self.hop(applications.approve, id, about=About("application", id)))


routes = [
    ("/api/v1/teacher-approvals/", ApprovalsHandler),
    ("/api/v1/teacher-approvals/{id:uuid}/approve/", ApproveHandler),
]
aliases = [
    ("GET", "/api/v1/accounts/teacher-approvals/", "/api/v1/teacher-approvals/"),
    ("POST", "/api/v1/accounts/teacher-approvals/{id:uuid}/approve/", "/api/v1/teacher-approvals/{id:uuid}/approve/"),
]
