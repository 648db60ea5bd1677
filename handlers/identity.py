"""Accounts: log-in, registration, refresh, log-out, one's own user, teacher applications."""

from __future__ import annotations

from uuid import UUID

from edurise.authz import About
from edurise.identity import applications, flows, queries
from edurise.identity.flows import Device
from edurise.identity.permissions import Applications, Identity
from edurise.identity.service import NewPerson
from handlers.base import RestHandler
from handlers.callers import tenant_header
from handlers.guards import describe, permit, public
from schemas.identity import LoginIn, LoginOut, LogoutIn, RefreshIn, RegisterIn, TeacherApprovalOut, TokensOut, UserOut
from schemas.payments import EmptyIn


class AuthHandler(RestHandler):
    """Base of the calls that nobody has to be logged in for; a stale token in the header must not stop a log-in."""

    sensitive = True
    reads_token = False

    @property
    def device(self) -> Device:
        """Where the call came from."""
        return Device(self.request.headers.get("User-Agent", ""), self.who.ip or "")


class LoginHandler(AuthHandler):
    """Log in with address and password."""

    @public()
    @describe(
        summary="Log in",
        tags=["auth"],
        body=LoginIn,
        out=LoginOut,
        shape="body",
        errors=["INVALID_CREDENTIALS"],
    )
    async def post(self) -> None:
        data = self.body(LoginIn)
        self.reply(200, await flows.log_in(self.c, data["email"], data["password"], self.who.wanted, self.device))


class RegisterHandler(AuthHandler):
    """Make an account and log it in."""

    @public()
    @describe(
        summary="Register",
        tags=["auth"],
        body=RegisterIn,
        out=LoginOut,
        status=201,
        shape="body",
        errors=["EMAIL_TAKEN"],
    )
    async def post(self) -> None:
        data = self.body(RegisterIn)
        new = NewPerson(data["email"], data["first_name"], data["last_name"], data["is_teacher"], self.language)
        host = await self.c.directory.of_host(self.request.host_name)
        wanted = host or tenant_header(self.request, lenient=True)
        self.reply(201, await flows.register(self.c, new, data["password"], wanted, self.device))


class RefreshHandler(AuthHandler):
    """Exchange a refresh token."""

    @public()
    @describe(
        summary="Refresh the tokens",
        tags=["auth"],
        body=RefreshIn,
        out=TokensOut,
        shape="body",
        errors=["TOKEN_INVALID", "TOKEN_REUSED", "TENANT_ACCESS_ERROR"],
    )
    async def post(self) -> None:
        data = self.body(RefreshIn)
        self.reply(200, await flows.refresh(self.c, data["refresh"], data["tenant_id"]))


class LogoutHandler(RestHandler):
    """End the session."""

    lenient = True

    @permit(Identity.LOGOUT)
    @describe(summary="Log out", tags=["auth"], body=LogoutIn, shape="none")
    async def post(self) -> None:
        data = self.body(LogoutIn)
        await flows.log_out(self.c, self.who, data["refresh_token"])
        self.reply(200)


class MeHandler(RestHandler):
    """The caller."""

    @permit(Identity.ME)
    @describe(summary="One's own user", tags=["users"], out=UserOut, shape="body")
    async def get(self) -> None:
        self.reply(200, await self.hop(queries.me))


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
        self.reply(200, applications.by_reader(await flows.applications_for(self.c, self.who)))


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
    ("/api/v1/accounts/auth/login/", LoginHandler),
    ("/api/v1/accounts/auth/register/", RegisterHandler),
    ("/api/v1/accounts/auth/token/refresh/", RefreshHandler),
    ("/api/v1/accounts/auth/logout/", LogoutHandler),
    ("/api/v1/users/me/", MeHandler),
    ("/api/v1/teacher-approvals/", ApprovalsHandler),
    ("/api/v1/teacher-approvals/{id:uuid}/approve/", ApproveHandler),
]
aliases = [
    ("GET", "/api/v1/accounts/users/me/", "/api/v1/users/me/"),
    ("GET", "/api/v1/accounts/teacher-approvals/", "/api/v1/teacher-approvals/"),
    ("POST", "/api/v1/accounts/teacher-approvals/{id:uuid}/approve/", "/api/v1/teacher-approvals/{id:uuid}/approve/"),
]
