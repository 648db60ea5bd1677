"""Log-in, registration, refresh, log-out, and one's own user."""

from __future__ import annotations

from edurise.identity import queries, service
from edurise.identity.flows import accounts, sessions
from edurise.identity.flows.sessions import Device
from edurise.identity.permissions import Identity
from edurise.identity.service import NewPerson
from handlers.base import RestHandler
from handlers.callers import tenant_header
from handlers.guards import describe, permit, public
from schemas.identity import LoginIn, LoginOut, LogoutIn, RefreshIn, RegisterIn, TokensOut, UserOut
from schemas.people import MePatch


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
        errors=["INVALID_CREDENTIALS", "OTP_REQUIRED", "OTP_WRONG", "OTP_LOCKED"],
    )
    async def post(self) -> None:
        data = self.body(LoginIn)
        given = (data["email"], data["password"], self.who.wanted, self.device, data["otp"])
        self.reply(200, await accounts.log_in(self.c, *given))


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
        errors=["EMAIL_TAKEN", "REGISTRATION_CLOSED", "PLAN_LIMIT_REACHED"],
    )
    async def post(self) -> None:
        data = self.body(RegisterIn)
        new = NewPerson(data["email"], data["first_name"], data["last_name"], data["is_teacher"], self.language)
        host = await self.c.directory.of_host(self.request.host_name)
        wanted = host or tenant_header(self.request, lenient=True)
        self.reply(201, await accounts.register(self.c, new, data["password"], wanted, self.device))


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
        self.reply(200, await sessions.refresh(self.c, data["refresh"], data["tenant_id"]))


class LogoutHandler(RestHandler):
    """End the session."""

    lenient = True

    @permit(Identity.LOGOUT)
    @describe(summary="Log out", tags=["auth"], body=LogoutIn, shape="none")
    async def post(self) -> None:
        data = self.body(LogoutIn)
        await sessions.log_out(self.c, self.who, data["refresh_token"])
        self.reply(200)


class MeHandler(RestHandler):
    """The caller."""

    @permit(Identity.ME)
    @describe(summary="One's own user", tags=["users"], out=UserOut, shape="body")
    async def get(self) -> None:
        self.reply(200, await self.hop(queries.me))

    @permit(Identity.RENAME)
    @describe(
        summary="Change one's own name",
        tags=["users"],
        body=MePatch,
        out=UserOut,
        shape="body",
        errors=["SESSION_CONFINED"],
    )
    async def patch(self) -> None:
        self.reply(200, await self.hop(service.rename, self.body(MePatch)))


routes = [
    ("/api/v1/accounts/auth/login/", LoginHandler),
    ("/api/v1/accounts/auth/register/", RegisterHandler),
    ("/api/v1/accounts/auth/token/refresh/", RefreshHandler),
    ("/api/v1/accounts/auth/logout/", LogoutHandler),
    ("/api/v1/users/me/", MeHandler),
]
aliases = [
    ("GET", "/api/v1/accounts/users/me/", "/api/v1/users/me/"),
]
