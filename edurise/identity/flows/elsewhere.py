"""Signing in with an account elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from edurise.authz import Principal
from edurise.identity import elsewhere
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
    person_id: UUID = await c.db.system(elsewhere.let_in, *args)
    await c.announcer.ring("revocations")
    entered = await let_in(c, person_id, wanted, device, Way("google"), otp)
    return entered | {"tokens": {"access": entered["access"], "refresh": entered["refresh"]}}
