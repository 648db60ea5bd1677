"""Changing which providers an organization trusts, and asking them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from edurise.authz import Principal
from edurise.identity import federation, providers
from edurise.identity.providers import Distrusted, Installation, subject

if TYPE_CHECKING:
    from edurise.container import Container


async def change(
    c: Container, who: Principal, at: Installation, provider_id: UUID, data: Mapping[str, Any]
) -> dict[str, Any]:
    """Change a provider. One that is switched off, or becomes another, ends the sessions that it opened; the same call
    again ends what a crash left."""
    found, distrusted = await c.db.run(who, providers.change, at, provider_id, data, about=subject(provider_id))
    if distrusted is not None:
        await _end(c, distrusted)
    changed: dict[str, Any] = found
    return changed


async def remove(c: Container, who: Principal, provider_id: UUID) -> None:
    """Remove a provider, and end the sessions that it opened."""
    await _end(c, await c.db.run(who, providers.remove, provider_id, about=subject(provider_id)))


async def _end(c: Container, distrusted: Distrusted) -> None:
    await c.db.system(federation.end_sessions, distrusted.tenant_id, distrusted.issuer, c.lifetimes)
    await c.announcer.ring("revocations")


async def check(c: Container, who: Principal, provider_id: UUID) -> dict[str, Any]:
    """``{ok, faults}`` of a provider of the acting organization, by asking it now; ``faults`` are codes of texts.

    Raises NotFound.
    """
    issuer: str = await c.db.run(who, providers.issuer_of, provider_id, about=subject(provider_id))
    faults = await c.openid.faults(issuer)
    return {"ok": not faults, "faults": faults}
