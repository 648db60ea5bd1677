"""Log-in, registration and the life of a session: hop, port, hop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy.orm import Session

from edurise.authz import Principal
from edurise.errors import Invalid, Unauthenticated
from edurise.identity import applications, queries, service, sessions
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


async def log_in(c: Container, email: str, password: str, wanted: UUID | None, device: Device) -> dict[str, Any]:
    """Return ``{user, access, refresh}``; raises Invalid (INVALID_CREDENTIALS, after the same time for a known and an
    unknown address)."""
    account: service.Account | None = await c.db.system(service.account, email)
    if (
        not await c.hasher.verify(account.password_hash if account else None, password)
        or account is None
        or not account.is_active
    ):
        raise Invalid("INVALID_CREDENTIALS")
    return await _let_in(c, account.person_id, wanted, device)


async def register(
    c: Container, new: service.NewPerson, password: str, tenant_id: UUID | None, device: Device
) -> dict[str, Any]:
    """Make the account and log it in; returns ``{user, access, refresh}``. Raises Conflict (EMAIL_TAKEN)."""
    encoded = await c.hasher.hash(password)
    person_id: UUID = await c.db.system(service.register, new, encoded, tenant_id or tenants.MAIN)
    return await _let_in(c, person_id, tenant_id, device)


async def refresh(c: Container, token: str, wanted: UUID | None) -> dict[str, Any]:
    """Rotate; returns ``{access, refresh}``. Raises Unauthenticated: TOKEN_INVALID, or TOKEN_REUSED once the family is
    revoked."""
    outcome: sessions.Opened | sessions.Stolen = await c.db.system(sessions.refresh, token, wanted, c.lifetimes)
    if isinstance(outcome, sessions.Stolen):
        await c.announcer.ring("revocations")
        raise Unauthenticated("TOKEN_REUSED")
    return {"access": _access(c, outcome), "refresh": outcome.refresh}


async def log_out(c: Container, who: Principal, token: str | None) -> None:
    """End the caller's session, by whichever of its refresh tokens, rotated or not."""
    await c.db.system(sessions.log_out, who.person, who.session_id, token, c.lifetimes)
    await c.announcer.ring("revocations")


async def applications_for(c: Container, who: Principal) -> applications.Listed:
    """Teacher applications as this reader may see them; a platform administrator's reading is audited."""
    found: applications.Listed = await c.db.run(who, applications.listed)
    if found.everywhere:
        found = await c.db.system(applications.of_all, who)
    return found


async def switch(c: Container, who: Principal, tenant_id: UUID) -> dict[str, Any]:
    """Pin the session; returns ``{token, tenant, tokens: {access, refresh}}``. Raises Forbidden
    (TENANT_ACCESS_ERROR)."""
    outcome: sessions.Opened
    outcome, organization = await c.db.system(_switch, who, tenant_id, c.lifetimes)
    access = _access(c, outcome)
    return {"token": access, "tenant": organization, "tokens": {"access": access, "refresh": outcome.refresh}}


def _switch(
    session: Session, who: Principal, tenant_id: UUID, life: sessions.Lifetimes
) -> tuple[sessions.Opened, dict[str, Any]]:
    if who.session_id is None:
        raise Unauthenticated
    outcome = sessions.switch(session, who.session_id, tenant_id, life)
    organization = tenants.organization(session, tenant_id)
    return outcome, tenants.organization_view(organization) if organization else {}


async def _let_in(c: Container, person_id: UUID, wanted: UUID | None, device: Device) -> dict[str, Any]:
    opened, user = await c.db.system(_open, person_id, wanted, device, c.lifetimes)
    return {"user": user, "access": _access(c, opened), "refresh": opened.refresh}


def _open(
    session: Session, person_id: UUID, wanted: UUID | None, device: Device, life: sessions.Lifetimes
) -> tuple[sessions.Opened, dict[str, Any]]:
    tenant_id = service.usual_organization(session, person_id, wanted)
    opened = sessions.open_session(session, person_id, tenant_id, device.pair, life)
    return opened, queries.user_view(session, person_id, tenant_id)


def _access(c: Container, opened: sessions.Opened) -> str:
    return c.tokens.issue(
        user_id=opened.person_id,
        session_id=opened.session_id,
        tenant_id=opened.tenant_id,
        pinned=opened.pinned,
        version=opened.version,
        confined=opened.confined,
        ends_at=opened.ends_at,
    )
