"""The identity providers of an organization, for its administrators."""

from __future__ import annotations

from uuid import UUID

from edurise.identity import providers
from edurise.identity.flows import providers as flows
from edurise.identity.permissions import Providers
from edurise.identity.providers import Installation
from edurise.texts.catalogue import text
from handlers.base import RestHandler
from handlers.callers import public_base
from handlers.guards import describe, permit
from schemas.base import EmptyIn
from schemas.elsewhere import CheckOut, ProviderIn, ProviderOut, ProviderPatch

TAGS = ["identity providers"]


class AtHandler(RestHandler):
    """Base of what deals with providers."""

    @property
    def at(self) -> Installation:
        """What of this installation a provider has to do with."""
        settings = self.c.settings
        return Installation(public_base(self.request, settings), self.c.vault, settings.oidc_private_hosts)


class ProvidersHandler(AtHandler):
    """Those of the acting organization, and new ones."""

    @permit(Providers.SEE)
    @describe(summary="The organization's identity providers", tags=TAGS, out=ProviderOut, shape="array")
    async def get(self) -> None:
        self.reply(200, await self.hop(providers.listing, self.at))

    @permit(Providers.CHANGE)
    @describe(
        summary="Add an OpenID Connect provider that lets people into this organization",
        tags=TAGS,
        body=ProviderIn,
        out=ProviderOut,
        status=201,
        errors=["PROVIDER_TAKEN", "STEP_UP_REQUIRED"],
    )
    async def post(self) -> None:
        self.reply(201, await self.hop(providers.create, self.at, self.body(ProviderIn)))


class ProviderHandler(AtHandler):
    """One of them."""

    @permit(Providers.CHANGE)
    @describe(
        summary="Change an identity provider; one that is switched off ends the sessions that it opened",
        tags=TAGS,
        body=ProviderPatch,
        out=ProviderOut,
        errors=["PROVIDER_TAKEN", "STEP_UP_REQUIRED"],
    )
    async def patch(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        data = self.body(ProviderPatch)
        self.reply(200, await flows.change(self.c, self.who, self.at, id, data))

    @permit(Providers.CHANGE)
    @describe(
        summary="Remove an identity provider, and end the sessions that it opened",
        tags=TAGS,
        shape="none",
        errors=["STEP_UP_REQUIRED"],
    )
    async def delete(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        await flows.remove(self.c, self.who, id)
        self.reply(200)


class CheckHandler(RestHandler):
    """Whether a provider answers as it should."""

    @permit(Providers.SEE)
    @describe(summary="Ask an identity provider for what signing in needs, now", tags=TAGS, body=EmptyIn, out=CheckOut)
    async def post(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.body(EmptyIn)
        found = await flows.check(self.c, self.who, id)
        told = [{"code": code, "message": text(code, self.language)} for code in found["faults"]]
        self.reply(200, {"ok": found["ok"], "faults": told})


_ROOT = "/api/v1/organizations/current/identity-providers"
routes = [
    (f"{_ROOT}/", ProvidersHandler),
    (f"{_ROOT}/{{id:uuid}}/", ProviderHandler),
    (f"{_ROOT}/{{id:uuid}}/check/", CheckHandler),
]
aliases: list[tuple[str, str, str]] = []
