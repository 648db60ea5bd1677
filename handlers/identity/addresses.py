"""E-mail addresses: shown to be one's own, and changed."""

from __future__ import annotations

from edurise.identity.flows import addresses
from edurise.identity.permissions import Identity
from handlers.base import RestHandler
from handlers.guards import describe, permit, public
from handlers.identity.accounts import AuthHandler
from schemas.base import EmptyIn
from schemas.identity import AddressChangeIn, MailedTokenIn

TAGS = ["auth"]


class VerificationHandler(RestHandler):
    """The mail that verifies."""

    sensitive = True

    @permit(Identity.VERIFY)
    @describe(
        summary="Mail the link that verifies one's own address; nothing happens for one that is verified",
        tags=TAGS,
        body=EmptyIn,
        shape="none",
        errors=["SESSION_CONFINED"],
    )
    async def post(self) -> None:
        self.body(EmptyIn)
        await addresses.ask_verification(self.c, self.who)
        self.reply(200)


class VerifyHandler(AuthHandler):
    """The mailed link."""

    @public()
    @describe(
        summary="Verify an address by the mailed link",
        tags=TAGS,
        body=MailedTokenIn,
        shape="none",
        errors=["MAILED_LINK_INVALID"],
    )
    async def post(self) -> None:
        await addresses.verify(self.c, self.who, self.body(MailedTokenIn)["token"])
        self.reply(200)


class AddressChangeHandler(RestHandler):
    """Another address."""

    sensitive = True

    @permit(Identity.CHANGE_ADDRESS)
    @describe(
        summary="Mail a link to another address of one's own; the answer is the same for one that somebody has",
        tags=TAGS,
        body=AddressChangeIn,
        shape="none",
        errors=["PASSWORD_WRONG", "STEP_UP_REQUIRED", "SESSION_CONFINED"],
    )
    async def post(self) -> None:
        data = self.body(AddressChangeIn)
        await addresses.ask_change(self.c, self.who, data["email"], data["password"])
        self.reply(200)


class AddressConfirmHandler(RestHandler):
    """The link that was mailed to the other address."""

    sensitive = True

    @permit(Identity.VERIFY)
    @describe(
        summary="Move one's own account to the address that the link was mailed to",
        tags=TAGS,
        body=MailedTokenIn,
        shape="none",
        errors=["MAILED_LINK_INVALID", "EMAIL_TAKEN", "SESSION_CONFINED"],
    )
    async def post(self) -> None:
        await addresses.change(self.c, self.who, self.body(MailedTokenIn)["token"])
        self.reply(200)


_EMAIL = "/api/v1/accounts/auth/email"
routes = [
    (f"{_EMAIL}/verification/", VerificationHandler),
    (f"{_EMAIL}/verify/", VerifyHandler),
    (f"{_EMAIL}/change/", AddressChangeHandler),
    (f"{_EMAIL}/confirm/", AddressConfirmHandler),
]
aliases: list[tuple[str, str, str]] = []
