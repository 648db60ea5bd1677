"""Registration and log-in by password: hop, hash, hop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from edurise.errors import Invalid
from edurise.identity import service
from edurise.identity.flows.sessions import Device, let_in
from edurise.identity.sessions import BY_PASSWORD
from edurise.tenants import queries as tenants

if TYPE_CHECKING:
    from edurise.container import Container


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
    return await let_in(c, account.person_id, wanted, device, BY_PASSWORD)


async def register(
    c: Container, new: service.NewPerson, password: str, tenant_id: UUID | None, device: Device
) -> dict[str, Any]:
    """Make the account and log it in; returns ``{user, access, refresh}``. Raises Conflict (EMAIL_TAKEN)."""
    encoded = await c.hasher.hash(password)
    person_id: UUID = await c.db.system(service.register, new, encoded, tenant_id or tenants.MAIN)
    return await let_in(c, person_id, tenant_id, device, BY_PASSWORD)
