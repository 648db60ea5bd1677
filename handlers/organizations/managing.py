"""Members and settings of an organization, and acting in it."""

from __future__ import annotations

from uuid import UUID

from edurise.authz import About
from edurise.identity import members
from edurise.identity.flows import sessions
from edurise.tenants import organizations
from edurise.tenants.permissions import Organizations
from handlers.base import RestHandler
from handlers.guards import describe, permit
from schemas.base import EmptyIn
from schemas.organizations import LimitOut, MemberOut, SettingsIn, SettingsOut, SwitchedOut

TAGS = ["organizations"]
_KIND = "organization"


class OrganizationUsersHandler(RestHandler):
    """The members of an organization."""

    @permit(Organizations.MEMBERS)
    @describe(
        summary="The members of an organization, the newest first, those who are switched off too",
        tags=TAGS,
        out=MemberOut,
        shape="array",
    )
    async def get(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.reply(200, await self.hop(members.of_organization, about=About(_KIND, id)))


class OrganizationSwitchHandler(RestHandler):
    """Act in an organization by the header."""

    lenient = True

    @permit(Organizations.ENTER)
    @describe(
        summary="Let X-Tenant-ID decide again: clears what users/switch_tenant/ pinned, from the next refresh on or"
        " with the tokens of the answer",
        tags=TAGS,
        body=EmptyIn,
        out=SwitchedOut,
        shape="body",
        errors=["SESSION_CONFINED"],
    )
    async def post(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.body(EmptyIn)
        self.reply(200, await sessions.unpin(self.c, self.who, id))


class LimitsHandler(RestHandler):
    """The plan of the acting organization."""

    @permit(Organizations.FURNISH)
    @describe(
        summary="What the plan of the acting organization allows and what is used; downloads and questions to the tutor"
        " count by the day (UTC)",
        tags=TAGS,
        out=LimitOut,
        shape="array",
    )
    async def get(self) -> None:
        self.reply(200, await self.hop(organizations.limits))


class SettingsHandler(RestHandler):
    """The settings of the acting organization."""

    @permit(Organizations.FURNISH)
    @describe(summary="The settings of the acting organization", tags=TAGS, out=SettingsOut, shape="body")
    async def get(self) -> None:
        self.reply(200, await self.hop(organizations.settings_of))

    @permit(Organizations.FURNISH)
    @describe(
        summary="Change settings of the acting organization; both spellings are read",
        tags=TAGS,
        body=SettingsIn,
        out=SettingsOut,
        shape="body",
        errors=["EMAIL_NOT_VERIFIED", "OTP_REQUIRED"],
    )
    async def patch(self) -> None:
        self.reply(200, await self.hop(organizations.change_settings, self.body(SettingsIn)))


_ROOT = "/api/v1/organizations"
_ONE = f"{_ROOT}/{{id:uuid}}"
routes = [
    (f"{_ROOT}/settings/", SettingsHandler),
    (f"{_ROOT}/current/limits/", LimitsHandler),
    (f"{_ONE}/users/", OrganizationUsersHandler),
    (f"{_ONE}/switch/", OrganizationSwitchHandler),
]
aliases: list[tuple[str, str, str]] = []
