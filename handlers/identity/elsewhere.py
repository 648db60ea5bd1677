"""Signing in with an account elsewhere."""

from __future__ import annotations

from edurise.identity.flows import elsewhere
from handlers.callers import tenant_header
from handlers.guards import describe, public
from handlers.identity.accounts import AuthHandler
from schemas.elsewhere import GoogleIn, GoogleOut


class GoogleHandler(AuthHandler):
    """Google."""

    @public()
    @describe(
        summary="Log in with an access token of Google, made for this platform; registers who is new",
        tags=["auth"],
        body=GoogleIn,
        out=GoogleOut,
        shape="body",
        errors=[
            *("GOOGLE_NOT_OFFERED", "GOOGLE_REFUSED", "PROVIDER_UNAVAILABLE"),
            *("OTP_REQUIRED", "OTP_WRONG", "OTP_LOCKED", "PLAN_LIMIT_REACHED"),
        ],
    )
    async def post(self) -> None:
        data = self.body(GoogleIn)
        host = await self.c.directory.of_host(self.request.host_name)
        wanted = host or tenant_header(self.request, lenient=True)
        given = (data["access_token"], data["otp"], wanted, self.device, self.language)
        self.reply(200, await elsewhere.with_google(self.c, *given))


routes = [("/api/v1/accounts/auth/google/", GoogleHandler)]
aliases: list[tuple[str, str, str]] = []
