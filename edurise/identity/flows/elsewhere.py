"""Signing in by Google, joining an account elsewhere by a mailed link, and which providers there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from edurise.authz import Principal
from edurise.errors import Conflict
from edurise.identity import identities, providers
from edurise.identity.flows.sessions import Device, let_in
from edurise.identity.sessions import Way
from edurise.tenants.queries import MAIN

if TYPE_CHECKING:
    from edurise.container import Container


async def by_google(
    c: Container, who: Principal, access_token: str, wanted: UUID | None, language: str, device: Device
) -> dict[str, Any]:
    """Let in whom Google vouches for; returns ``{user, access, refresh, tokens: {access, refresh}}``.

    Raises Conflict (GOOGLE_NOT_OFFERED), Invalid (GOOGLE_REFUSED), Upstream (PROVIDER_UNAVAILABLE), and what
    ``identities.by_google`` raises.
    """
    if c.google is None:
        raise Conflict("GOOGLE_NOT_OFFERED")
    vouched = await c.google.vouch(access_token)
    person_id: UUID = await c.db.system(identities.by_google, who, vouched, wanted, language, c.lifetimes)
    await c.announcer.ring("revocations")
    found = await let_in(c, person_id, wanted, device, Way("google"))
    return {**found, "tokens": {"access": found["access"], "refresh": found["refresh"]}}


async def confirm(c: Container, who: Principal, token: str) -> None:
    """Join the account elsewhere that a mailed link is about. Raises what ``identities.confirm`` raises."""
    link_id = c.mail_links.read(identities.PURPOSE, token)
    await c.db.system(identities.confirm, who, link_id, c.lifetimes)
    await c.announcer.ring("revocations")


async def offered(c: Container, wanted: UUID | None, subdomain: str | None) -> dict[str, Any]:
    """``{providers: [{id, name}], google}``: how one may sign in to an organization, beside the password."""
    found = await c.db.system(providers.offered, wanted or MAIN, subdomain)
    return {"providers": found, "google": c.google is not None}


async def check(c: Container, who: Principal, provider_id: UUID) -> dict[str, Any]:
    """``{ok, faults}`` of a provider of the acting organization, by asking it now; ``faults`` are codes of texts.

    Raises NotFound.
    """
    issuer: str = await c.db.run(who, providers.issuer_of, provider_id, about=providers.subject(provider_id))
    faults = await c.openid.faults(issuer)
    return {"ok": not faults, "faults": faults}
