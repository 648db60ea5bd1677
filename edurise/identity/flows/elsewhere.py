"""Signing in with Google, joining an account elsewhere by a mailed link, and which providers there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from edurise.authz import Principal
from edurise.identity import federation, providers, social
from edurise.identity.flows.sessions import Device, let_in
from edurise.identity.ports import Vouched
from edurise.identity.sessions import Way
from edurise.tenants.queries import MAIN

if TYPE_CHECKING:
    from edurise.container import Container


async def with_google(
    c: Container, access_token: str, otp: str | None, wanted: UUID | None, device: Device, language: str
) -> dict[str, Any]:
    """Let in whom Google vouches for; returns ``{user, access, refresh, tokens: {access, refresh}}``.

    Raises Conflict (GOOGLE_NOT_OFFERED), Invalid (GOOGLE_REFUSED), Upstream (PROVIDER_UNAVAILABLE), and as ``let_in``.
    """
    vouched: Vouched = await c.google.who_is(access_token)
    who = Principal(ip=device.ip, user_agent=device.user_agent)
    args = (who, vouched, wanted or MAIN, language, c.lifetimes)
    person_id: UUID = await c.db.system(social.let_in, *args)
    await c.announcer.ring("revocations")
    entered = await let_in(c, person_id, wanted, device, Way("google"), otp)
    return entered | {"tokens": {"access": entered["access"], "refresh": entered["refresh"]}}


async def confirm(c: Container, who: Principal, token: str) -> None:
    """Join the account elsewhere that a mailed link is about. Raises what ``federation.confirm`` raises."""
    link_id = c.mail_links.read(federation.PURPOSE, token)
    await c.db.system(federation.confirm, who, link_id, c.lifetimes)
    await c.announcer.ring("revocations")


async def offered(c: Container, wanted: UUID | None, subdomain: str | None) -> dict[str, Any]:
    """``{providers: [{id, name}], google}``: how one may sign in to an organization, beside the password."""
    found = await c.db.system(providers.offered, wanted or MAIN, subdomain)
    return {"providers": found, "google": c.google.is_offered}
