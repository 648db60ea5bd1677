"""Registration and log-in by password: hop, hash, hop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from edurise.errors import Invalid
from edurise.identity import passwords, service
from edurise.identity.flows.sessions import Device, let_in
from edurise.identity.sessions import BY_PASSWORD
from edurise.tenants import queries as tenants

if TYPE_CHECKING:
    from edurise.container import Container


async def log_in(
    c: Container, email: str, password: str, wanted: UUID | None, device: Device, otp: str | None = None
) -> dict[str, Any]:
    """Return ``{user, access, refresh}``.

    Raises Invalid (INVALID_CREDENTIALS, after the same time for a known and an unknown address) and Limited where an
    address is tried too often from wherever; and as ``let_in``, once the password was right.
    """
    await c.limiter.hit("log-in", email.lower())
    account: service.Account | None = await c.db.system(service.account, email)
    if (
        not await c.hasher.verify(account.password_hash if account else None, password)
        or account is None
        or not account.is_active
    ):
        raise Invalid("INVALID_CREDENTIALS")
    entered = await let_in(c, account.person_id, wanted, device, BY_PASSWORD, otp)
    if c.hasher.is_outdated(account.password_hash):
        fresh = await c.hasher.hash(password)
        await c.db.system(passwords.replace_hash, account.person_id, account.password_hash, fresh)
    return entered


async def register(
    c: Container, new: service.NewPerson, password: str, tenant_id: UUID | None, device: Device
) -> dict[str, Any]:
    """Make the account and log it in; returns ``{user, access, refresh}``.

    Raises Conflict (EMAIL_TAKEN) and Invalid for a password that is weak or known.
    """
    passwords.check(await c.judge.fault_of(password, (new.email, new.first_name, new.last_name)))
    encoded = await c.hasher.hash(password)
    person_id: UUID = await c.db.system(service.register, new, encoded, tenant_id or tenants.MAIN)
    return await let_in(c, person_id, tenant_id, device, BY_PASSWORD)
