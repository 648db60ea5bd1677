"""The life of a session: let in by whatever way, refreshed, moved to another organization, ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy.orm import Session

from edurise import audit
from edurise.authz import About, Principal
from edurise.errors import Unauthenticated
from edurise.identity import leaving, liveness, queries, service, sessions
from edurise.identity.flows.factors import check_at_log_in
from edurise.identity.sessions import Way
from edurise.tenants import queries as tenants

if TYPE_CHECKING:
    from edurise.container import Container


@dataclass(frozen=True)
class Device:
    """Where a call came from."""

    user_agent: str
    ip: str

    @property
    def pair(self) -> tuple[str, str]:
        return (self.user_agent, self.ip)


async def let_in(
    c: Container,
    person_id: UUID,
    wanted: UUID | None,
    device: Device,
    way: Way,
    otp: str | None = None,
    use: Callable[[Session], None] = lambda _: None,
) -> dict[str, Any]:
    """Open a session for somebody who has shown who they are in this ``way``; returns ``{user, access, refresh}``.

    Every way to log in ends here: whoever has a second factor gives a code of it too, and an account that its person
    had deleted is kept. ``use`` uses up what was shown, where that is good once, in the transaction that opens the
    session. Raises Forbidden (OTP_REQUIRED), Limited (OTP_LOCKED), Invalid: OTP_WRONG, INVALID_CREDENTIALS once it is
    too late for keeping, SIGN_IN_REFUSED where an organization's provider would keep it; and what ``use`` raises.
    """
    who = Principal(user_id=person_id, ip=device.ip, user_agent=device.user_agent)
    if await check_at_log_in(c, person_id, otp, who):
        way = replace(way, is_proved=True, by_second_factor=True)
    opened, user = await c.db.system(_open, person_id, wanted, device, c.lifetimes, way, use)
    return {"user": user, "access": access_token(c, opened), "refresh": opened.refresh}


def _open(
    session: Session,
    person_id: UUID,
    wanted: UUID | None,
    device: Device,
    life: sessions.Lifetimes,
    way: Way,
    use: Callable[[Session], None],
) -> tuple[sessions.Opened, dict[str, Any]]:
    use(session)
    leaving.restore_if_leaving(session, person_id, confined=way.confined_to is not None)
    tenant_id = way.confined_to or service.usual_organization(session, person_id, wanted)
    opened = sessions.open_session(session, person_id, tenant_id, device.pair, life, way)
    who = Principal(user_id=person_id, ip=device.ip, user_agent=device.user_agent)
    audit.write(session, who, "session.opened", "session", opened.session_id, method=way.method)
    return opened, queries.user_view(session, person_id, tenant_id, is_confined=opened.confined)


async def refresh(c: Container, token: str, wanted: UUID | None) -> dict[str, Any]:
    """Rotate; returns ``{access, refresh}``. Raises Unauthenticated: TOKEN_INVALID, or TOKEN_REUSED once the family is
    revoked."""
    outcome: sessions.Opened | sessions.Stolen = await c.db.system(sessions.refresh, token, wanted, c.lifetimes)
    if isinstance(outcome, sessions.Stolen):
        await c.announcer.ring("revocations")
        raise Unauthenticated("TOKEN_REUSED")
    return {"access": access_token(c, outcome), "refresh": outcome.refresh}


async def log_out(c: Container, who: Principal, token: str | None) -> None:
    """End the caller's session, by whichever of its refresh tokens, rotated or not."""
    await c.db.system(sessions.log_out, who.person, who.session_id, token, c.lifetimes)
    await c.announcer.ring("revocations")


async def switch(c: Container, who: Principal, tenant_id: UUID) -> dict[str, Any]:
    """Pin the session; returns ``{token, tenant, tokens: {access, refresh}}``. Raises Forbidden
    (TENANT_ACCESS_ERROR)."""
    outcome: sessions.Opened
    outcome, organization = await c.db.system(_switch, who, tenant_id, c.lifetimes)
    access = access_token(c, outcome)
    return {"token": access, "tenant": organization, "tokens": {"access": access, "refresh": outcome.refresh}}


async def unpin(c: Container, who: Principal, tenant_id: UUID) -> dict[str, Any]:
    """Clear what ``switch`` pinned; returns ``{tenant_id, access, refresh}``. Raises as ``enter()`` does for an
    organization that the caller does not belong to, and Forbidden (SESSION_CONFINED)."""
    await c.db.run(who, liveness.admitted, about=About("organization", tenant_id))
    if who.session_id is None:
        raise Unauthenticated
    opened: sessions.Opened = await c.db.system(sessions.unpin, who.session_id, tenant_id, c.lifetimes)
    return {"tenant_id": tenant_id, "access": access_token(c, opened), "refresh": opened.refresh}


def _switch(
    session: Session, who: Principal, tenant_id: UUID, life: sessions.Lifetimes
) -> tuple[sessions.Opened, dict[str, Any]]:
    if who.session_id is None:
        raise Unauthenticated
    outcome = sessions.switch(session, who.session_id, tenant_id, life)
    organization = tenants.organization(session, tenant_id)
    return outcome, tenants.shown(session, organization) if organization else {}


def access_token(c: Container, opened: sessions.Opened) -> str:
    """An access token of a session as it stands."""
    return c.tokens.issue(
        user_id=opened.person_id,
        session_id=opened.session_id,
        tenant_id=opened.tenant_id,
        pinned=opened.pinned,
        version=opened.version,
        confined=opened.confined,
        ends_at=opened.ends_at,
    )
