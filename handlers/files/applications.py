"""Teacher applications, with the documents that belong to them."""

from __future__ import annotations

from uuid import UUID

from edurise.authz import About
from edurise.files import application_documents
from edurise.files.flows.applications import applications_for
from edurise.identity import applications
from edurise.identity.permissions import Applications
from handlers.files.linking import LinkingHandler
from handlers.guards import describe, permit
from schemas.applications import ApplicationIn, ApplicationPatch, DocumentIn, RejectIn, TeacherApprovalOut
from schemas.base import EmptyIn

TAGS = ["teacher-approvals"]
_KIND = "application"


class ApprovalsHandler(LinkingHandler):
    """Teacher applications, and one's own."""

    @permit(Applications.LIST)
    @describe(
        summary="Teacher applications: a bare array for administrators, a page of one's own for an applicant",
        tags=TAGS,
        out=TeacherApprovalOut,
        shape="listed",
    )
    async def get(self) -> None:
        self.reply(200, applications.by_reader(await applications_for(self.c, self.who, self.links)))

    @permit(Applications.APPLY)
    @describe(
        summary="Apply to teach in the acting organization; a repeat answers with the first application",
        tags=TAGS,
        body=ApplicationIn,
        out=TeacherApprovalOut,
        status=201,
        also=[200],
    )
    async def post(self) -> None:
        self.reply_made(await self.hop(application_documents.apply, self.body(ApplicationIn), self.links))


class ApprovalHandler(LinkingHandler):
    """One application."""

    @permit(Applications.SEE)
    @describe(summary="A teacher application with its documents", tags=TAGS, out=TeacherApprovalOut)
    async def get(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.reply(200, await self.hop(application_documents.one, id, self.links, about=About(_KIND, id)))

    @permit(Applications.CHANGE)
    @describe(
        summary="Decide by a status, as an administrator, or change what is written, as the applicant",
        tags=TAGS,
        body=ApplicationPatch,
        out=TeacherApprovalOut,
        errors=["LAST_ADMINISTRATOR", "PLAN_LIMIT_REACHED", "MEMBERSHIP_SUSPENDED"],
    )
    async def patch(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        data = self.body(ApplicationPatch)
        self.reply(200, await self.hop(application_documents.change, id, data, self.links, about=About(_KIND, id)))


class ApproveHandler(LinkingHandler):
    """Approval."""

    @permit(Applications.DECIDE)
    @describe(
        summary="Approve a teacher application",
        tags=TAGS,
        body=EmptyIn,
        out=TeacherApprovalOut,
        errors=["PLAN_LIMIT_REACHED", "MEMBERSHIP_SUSPENDED"],
    )
    async def post(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.body(EmptyIn)
        self.reply(200, await self.hop(application_documents.approve, id, self.links, about=About(_KIND, id)))


class RejectHandler(LinkingHandler):
    """Rejection."""

    @permit(Applications.DECIDE)
    @describe(
        summary="Reject a teacher application; the notes are told to the applicant",
        tags=TAGS,
        body=RejectIn,
        out=TeacherApprovalOut,
    )
    async def post(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        notes = self.body(RejectIn)["notes"]
        self.reply(200, await self.hop(application_documents.reject, id, notes, self.links, about=About(_KIND, id)))


class DocumentsHandler(LinkingHandler):
    """The documents of one's own application."""

    @permit(Applications.CHANGE)
    @describe(
        summary="Attach a file of one's own to one's own application",
        tags=TAGS,
        body=DocumentIn,
        out=TeacherApprovalOut,
        errors=["TOO_MANY_DOCUMENTS"],
    )
    async def post(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        file_id = self.body(DocumentIn)["file_id"]
        self.reply(200, await self.hop(application_documents.attach, id, file_id, self.links, about=About(_KIND, id)))


class DocumentHandler(LinkingHandler):
    """One document of one's own application."""

    @permit(Applications.CHANGE)
    @describe(summary="Take a file out of one's own application; the file stays", tags=TAGS, shape="none")
    async def delete(self, id: UUID, file_id: UUID) -> None:  # noqa: A002 - the name in the path
        await self.hop(applications.detach, id, file_id, about=About(_KIND, id))
        self.reply(200)


_ROOT = "/api/v1/teacher-approvals"
_ONE = f"{_ROOT}/{{id:uuid}}"
_OLD = "/api/v1/accounts/teacher-approvals"
routes = [
    (f"{_ROOT}/", ApprovalsHandler),
    (f"{_ONE}/", ApprovalHandler),
    (f"{_ONE}/approve/", ApproveHandler),
    (f"{_ONE}/reject/", RejectHandler),
    (f"{_ONE}/documents/", DocumentsHandler),
    (f"{_ONE}/documents/{{file_id:uuid}}/", DocumentHandler),
]
aliases = [
    ("GET", f"{_OLD}/", f"{_ROOT}/"),
    ("GET", "/api/v1/api/v1/teacher-approvals/{id:uuid}/", f"{_ONE}/"),
    ("POST", f"{_OLD}/{{id:uuid}}/approve/", f"{_ONE}/approve/"),
    ("POST", f"{_OLD}/{{id:uuid}}/reject/", f"{_ONE}/reject/"),
]
