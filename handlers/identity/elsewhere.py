"""Signing in elsewhere: by an organization's OpenID Connect provider, and by Google."""

from __future__ import annotations

from uuid import UUID

from edurise.identity.flows import elsewhere, oidc
from edurise.identity.sign_ins import AWAY_FOR, callback_path, cookie_name
from edurise.tenants.queries import id_of
from handlers.callers import public_base, tenant_header
from handlers.guards import describe, public
from handlers.identity.accounts import AuthHandler
from schemas.elsewhere import (
    CallbackQuery,
    ConfirmIn,
    FinishIn,
    GoogleIn,
    GoogleOut,
    OfferedOut,
    OfferedQuery,
    StartQuery,
)
from schemas.identity import LoginOut

TAGS = ["sign-in elsewhere"]
LET_IN = ["MEMBERSHIP_SUSPENDED", "PLAN_LIMIT_REACHED"]


class ElsewhereHandler(AuthHandler):
    """Base of the calls by which somebody comes from elsewhere."""

    @property
    def base(self) -> str:
        """Where a provider sends the browser back to."""
        return public_base(self.request, self.c.settings)

    def go(self, url: str) -> None:
        """Send the browser on. The address it comes from holds a code, which the next page need not learn."""
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cache-Control", "no-store")
        self.redirect(url, status=302)


class GoogleHandler(ElsewhereHandler):
    """Google."""

    @public()
    @describe(
        summary="Log in with an access token of Google, made for this platform; registers who is new",
        tags=TAGS,
        body=GoogleIn,
        out=GoogleOut,
        shape="body",
        errors=[
            *("GOOGLE_NOT_OFFERED", "GOOGLE_REFUSED", "PROVIDER_UNAVAILABLE"),
            *("OTP_REQUIRED", "OTP_WRONG", "OTP_LOCKED", "PLAN_LIMIT_REACHED", "REGISTRATION_CLOSED"),
        ],
    )
    async def post(self) -> None:
        data = self.body(GoogleIn)
        host = await self.c.directory.of_host(self.request.host_name)
        wanted = host or tenant_header(self.request, lenient=True)
        given = (data["access_token"], data["otp"], wanted, self.device, self.language)
        self.reply(200, await elsewhere.with_google(self.c, *given))


class StartHandler(ElsewhereHandler):
    """To a provider."""

    @public()
    @describe(
        summary="Send the browser to an organization's identity provider",
        tags=TAGS,
        query=StartQuery,
        status=302,
        shape="headers",
        errors=["PROVIDER_UNAVAILABLE"],
    )
    async def get(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        data = self.query(StartQuery)
        begun = await oidc.begin(self.c, id, data["next"], data["challenge"], self.base)
        self.set_cookie(
            begun.cookie,
            begun.secret,
            path=callback_path(id),
            httponly=True,
            samesite="Lax",
            secure=self.base.startswith("https:"),
            max_age=int(AWAY_FOR.total_seconds()),
        )
        self.go(begun.url)


class CallbackHandler(ElsewhereHandler):
    """Back from a provider."""

    @public()
    @describe(
        summary="Where a provider sends the browser back to; it goes on to the user interface with a code or an error",
        tags=TAGS,
        query=CallbackQuery,
        status=302,
        shape="headers",
    )
    async def get(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        data = self.query(CallbackQuery)
        name = cookie_name(data["state"])
        brought = oidc.Brought(data["state"], data["code"], data["iss"], self.get_cookie(name, ""))
        self.clear_cookie(name, path=callback_path(id))
        self.go(await oidc.answered(self.c, self.who, id, brought, self.base, self.language))


class FinishHandler(ElsewhereHandler):
    """In."""

    @public()
    @describe(
        summary="Exchange the code that the browser came back with for tokens, which count in that organization alone",
        tags=TAGS,
        body=FinishIn,
        out=LoginOut,
        shape="body",
        errors=["SIGN_IN_REFUSED", "MEMBERSHIP_SUSPENDED", "OTP_REQUIRED", "OTP_WRONG", "OTP_LOCKED"],
    )
    async def post(self) -> None:
        data = self.body(FinishIn)
        self.reply(200, await oidc.finish(self.c, data["code"], data["secret"], data["otp"], self.device))


class ConfirmHandler(ElsewhereHandler):
    """The mailed link."""

    @public()
    @describe(
        summary="Join an account elsewhere to one's own, by the link that was mailed",
        tags=TAGS,
        body=ConfirmIn,
        shape="none",
        errors=["MAILED_LINK_INVALID", *LET_IN],
    )
    async def post(self) -> None:
        await elsewhere.confirm(self.c, self.who, self.body(ConfirmIn)["token"])
        self.reply(200)


class OfferedHandler(AuthHandler):
    """Which buttons a log-in page shows."""

    sensitive = False

    @public()
    @describe(
        summary="How one may sign in to an organization beside the password",
        tags=TAGS,
        query=OfferedQuery,
        out=OfferedOut,
        errors=["ORGANIZATION_NOT_FOUND"],
    )
    async def get(self) -> None:
        data = self.query(OfferedQuery)
        named = data["organization"] and id_of(data["organization"])
        self.reply(200, await elsewhere.offered(self.c, named or self.who.wanted, data["subdomain"]))


_ROOT = "/api/v1/accounts/auth"
routes = [
    (f"{_ROOT}/google/", GoogleHandler),
    (f"{_ROOT}/providers/", OfferedHandler),
    (f"{_ROOT}/oidc/{{id:uuid}}/start/", StartHandler),
    (f"{_ROOT}/oidc/{{id:uuid}}/callback/", CallbackHandler),
    (f"{_ROOT}/oidc/finish/", FinishHandler),
    (f"{_ROOT}/identities/confirm/", ConfirmHandler),
]
aliases: list[tuple[str, str, str]] = []
