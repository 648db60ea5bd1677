"""Signing in by an organization's provider: out to it, back from it, and in."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import UUID

from sqlalchemy.orm import Session

from edurise.authz import Principal
from edurise.errors import DomainError, Invalid
from edurise.identity import federation, sign_ins
from edurise.identity.flows.sessions import Device, let_in
from edurise.identity.ports import Departure, Relying, Return, Vouched
from edurise.identity.sessions import Way
from edurise.identity.sign_ins import Claimed, callback_path, challenge

if TYPE_CHECKING:
    from edurise.container import Container

UI_PATH = "/auth/oidc"


@dataclass(frozen=True)
class Begun:
    """Where the browser goes, and the cookie that binds the way to it."""

    url: str
    cookie: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Brought:
    """What the browser brought back from a provider."""

    state: str = field(repr=False)
    code: str = field(repr=False)
    issuer: str | None
    browser: str = field(repr=False)


async def begin(c: Container, provider_id: UUID, next_path: str, asked: str, base: str) -> Begun:
    """Begin a way. ``base`` is the public address of this installation; ``asked`` as in ``sign_ins.Ticket``.

    Raises NotFound, Upstream (PROVIDER_UNAVAILABLE).
    """
    made = sign_ins.ticket(next_path, asked)
    relying: Relying = await c.db.system(sign_ins.begin, provider_id, made, c.vault)
    going = Departure(base + callback_path(provider_id), made.state, made.nonce, challenge(made.verifier))
    url = await c.openid.departure(relying, going)
    return Begun(url, sign_ins.cookie_name(made.state), made.browser)


async def answered(c: Container, who: Principal, provider_id: UUID, brought: Brought, base: str, language: str) -> str:
    """The page of the user interface that the browser goes on to: with a code for ``finish``, or with the code of an
    error."""
    try:
        found = await _answered(c, who, provider_id, brought, base, language)
    except DomainError as refused:
        found = {"error": refused.code}
    return f"{c.settings.ui_url.rstrip('/')}{UI_PATH}?{urlencode(found)}"


async def _answered(
    c: Container, who: Principal, provider_id: UUID, brought: Brought, base: str, language: str
) -> dict[str, str]:
    claimed: Claimed = await c.db.system(sign_ins.claim, provider_id, brought.state, brought.browser, c.vault)
    if not brought.code:  # the provider, or the person at it, said no
        raise Invalid("SIGN_IN_REFUSED")
    redirect_uri = base + callback_path(provider_id)
    back = Return(redirect_uri, brought.code, claimed.verifier, claimed.nonce, brought.issuer)
    vouched = await c.openid.arrival(claimed.relying, back)
    code = secrets.token_urlsafe(32)
    if not await c.db.system(_settle, who, claimed, vouched, language, code):
        return {"error": "SIGN_IN_LINK_MAILED"}
    return {"code": code} | ({"next": claimed.next_path} if claimed.next_path else {})


def _settle(session: Session, who: Principal, claimed: Claimed, vouched: Vouched, language: str, code: str) -> bool:
    """Whether the way led to somebody, who is let in for ``code``; else they are asked by mail."""
    person_id = federation.by_provider(session, who, claimed.tenant_id, vouched, language)
    if person_id is None:
        return False
    sign_ins.answer(session, claimed.id, person_id, code)
    return True


async def finish(c: Container, code: str, secret: str, otp: str | None, device: Device) -> dict[str, Any]:
    """Let in who brings the code of an answered way, into that organization alone; returns ``{user, access, refresh}``.

    Raises Invalid (SIGN_IN_REFUSED), Forbidden (MEMBERSHIP_SUSPENDED), and as ``let_in``; the code stays good for who
    is asked for a second factor, or mistypes it.
    """
    person_id, tenant_id = await c.db.system(sign_ins.led_to, code, secret, c.vault)
    way = Way("oidc", confined_to=tenant_id)
    return await let_in(c, person_id, tenant_id, device, way, otp, lambda session: sign_ins.use(session, code))
