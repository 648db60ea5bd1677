"""Invitations: made by administrators, accepted by whoever has the address."""

from __future__ import annotations

from uuid import UUID

from edurise.authz import About
from edurise.identity import people
from edurise.identity.flows import invitations as accepting
from edurise.identity.permissions import Identity, People
from edurise.tenants import invitations
from handlers.base import RestHandler
from handlers.guards import describe, permit, public
from handlers.identity.accounts import AuthHandler
from schemas.base import EmptyIn
from schemas.identity import LoginOut
from schemas.invitations import (
    AcceptIn,
    InvitationOut,
    InvitationQuery,
    InvitationShownOut,
    InvitedRegisterIn,
    JoinedOut,
)
from schemas.people import InviteIn

TAGS = ["invitations"]
REFUSED = ["MAILED_LINK_INVALID", "INVITATION_INVALID", "PLAN_LIMIT_REACHED"]
_KIND = "invitation"


class InvitationsHandler(RestHandler):
    """The invitations of the acting organization."""

    @permit(People.INVITE)
    @describe(summary="The invitations of the acting organization", tags=TAGS, out=InvitationOut, shape="array")
    async def get(self) -> None:
        self.reply(200, await self.hop(invitations.listing))

    @permit(People.INVITE)
    @describe(
        summary="Invite an address; an open invitation of it is renewed",
        tags=TAGS,
        body=InviteIn,
        out=InvitationOut,
        status=201,
        errors=["ALREADY_MEMBER", "STEP_UP_REQUIRED"],
    )
    async def post(self) -> None:
        self.reply(201, await self.hop(people.ask, self.body(InviteIn)))


class InvitationHandler(RestHandler):
    """One invitation."""

    @permit(People.INVITE)
    @describe(summary="Take an invitation back", tags=TAGS, shape="none")
    async def delete(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        await self.hop(invitations.revoke, id, about=About(_KIND, id))
        self.reply(200)


class InvitationResendHandler(RestHandler):
    """The mail again."""

    @permit(People.INVITE)
    @describe(
        summary="Mail an invitation again, good for another seven days",
        tags=TAGS,
        body=EmptyIn,
        out=InvitationOut,
        errors=["INVITATION_INVALID"],
    )
    async def post(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.body(EmptyIn)
        self.reply(200, await self.hop(invitations.resend, id, about=About(_KIND, id)))


class InvitationShownHandler(AuthHandler):
    """What a link is about."""

    @public()
    @describe(
        summary="To what the holder of a link is invited",
        tags=TAGS,
        query=InvitationQuery,
        out=InvitationShownOut,
        errors=["MAILED_LINK_INVALID", "INVITATION_INVALID"],
    )
    async def get(self) -> None:
        self.reply(200, await accepting.show(self.c, self.query(InvitationQuery)["token"]))


class InvitationAcceptHandler(RestHandler):
    """Joining with the account that the address has."""

    lenient = True
    sensitive = True

    @permit(Identity.JOIN)
    @describe(
        summary="Join with one's own account, whose address must be the invited one",
        tags=TAGS,
        body=AcceptIn,
        out=JoinedOut,
        errors=[*REFUSED, "INVITATION_OF_ANOTHER", "SESSION_CONFINED"],
    )
    async def post(self) -> None:
        self.reply(200, await accepting.accept(self.c, self.who, self.body(AcceptIn)["token"]))


class InvitationRegisterHandler(AuthHandler):
    """Joining with a new account."""

    @public()
    @describe(
        summary="Make an account for the invited address and log it in; who has one logs in and accepts",
        tags=TAGS,
        body=InvitedRegisterIn,
        out=LoginOut,
        status=201,
        shape="body",
        errors=[*REFUSED, "EMAIL_TAKEN"],
    )
    async def post(self) -> None:
        data = self.body(InvitedRegisterIn)
        names = (data["first_name"], data["last_name"])
        self.reply(201, await accepting.register(self.c, data["token"], names, data["password"], self.device))


_CURRENT = "/api/v1/organizations/current/invitations"
_LINK = "/api/v1/accounts/invitations"
routes = [
    (f"{_CURRENT}/", InvitationsHandler),
    (f"{_CURRENT}/{{id:uuid}}/", InvitationHandler),
    (f"{_CURRENT}/{{id:uuid}}/resend/", InvitationResendHandler),
    (f"{_LINK}/", InvitationShownHandler),
    (f"{_LINK}/accept/", InvitationAcceptHandler),
    (f"{_LINK}/register/", InvitationRegisterHandler),
]
aliases: list[tuple[str, str, str]] = []
