"""Passwords: changed by their owner, or replaced by a mailed link."""

from __future__ import annotations

from edurise.identity.flows import passwords
from edurise.identity.permissions import Identity
from handlers.base import RestHandler
from handlers.guards import describe, permit, public
from handlers.identity.accounts import AuthHandler
from schemas.identity import PasswordChangeIn, PasswordResetConfirmIn, PasswordResetIn

TAGS = ["auth"]


class PasswordChangeHandler(RestHandler):
    """The password of whoever is logged in."""

    sensitive = True

    @permit(Identity.CHANGE_PASSWORD)
    @describe(
        summary="Change one's own password; the other sessions end",
        tags=TAGS,
        body=PasswordChangeIn,
        shape="none",
        errors=["PASSWORD_WRONG", "STEP_UP_REQUIRED", "SESSION_CONFINED"],
    )
    async def post(self) -> None:
        data = self.body(PasswordChangeIn)
        await passwords.change(self.c, self.who, data["old_password"], data["new_password1"])
        self.reply(200)


class PasswordResetHandler(AuthHandler):
    """A lost password."""

    @public()
    @describe(
        summary="Mail a link that resets a password; the answer is the same for an address that nobody has",
        tags=TAGS,
        body=PasswordResetIn,
        shape="none",
    )
    async def post(self) -> None:
        await passwords.ask_reset(self.c, self.body(PasswordResetIn)["email"])
        self.reply(200)


class PasswordResetConfirmHandler(AuthHandler):
    """The mailed link."""

    @public()
    @describe(
        summary="Set a new password by a mailed link; every session ends",
        tags=TAGS,
        body=PasswordResetConfirmIn,
        shape="none",
        errors=["MAILED_LINK_INVALID"],
    )
    async def post(self) -> None:
        data = self.body(PasswordResetConfirmIn)
        await passwords.reset(self.c, self.who, data["token"], data["password"])
        self.reply(200)


_AUTH = "/api/v1/accounts/auth"
routes = [
    (f"{_AUTH}/password/change/", PasswordChangeHandler),
    (f"{_AUTH}/password-reset/", PasswordResetHandler),
    (f"{_AUTH}/password-reset-confirm/", PasswordResetConfirmHandler),
]
aliases: list[tuple[str, str, str]] = []
