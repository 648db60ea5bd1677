"""The identity providers that an organization trusts with its own members."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from edurise import audit
from edurise.authz import About, Principal
from edurise.db import first, flush_unique, moment, rows
from edurise.errors import Conflict, NotFound
from edurise.identity import issuers
from edurise.identity.client_secrets import context_of
from edurise.identity.proofs import IdentityProvider
from edurise.identity.sign_ins import callback_path
from edurise.sealing import Vault
from edurise.tenants import queries as tenants

_TAKEN = "uq_identity_providers_tenant_id_issuer"
_LISTED = select(
    IdentityProvider.id,
    IdentityProvider.name,
    IdentityProvider.issuer,
    IdentityProvider.client_id,
    IdentityProvider.sealed_client_secret.is_not(None).label("has_client_secret"),
    IdentityProvider.is_active,
    IdentityProvider.created_at,
    IdentityProvider.updated_at,
).order_by(IdentityProvider.name, IdentityProvider.id)


@dataclass(frozen=True)
class Installation:
    """What of this installation a provider has to do with: where it is reached, what seals, which hosts may be."""

    base: str
    vault: Vault
    private_hosts: bool


@dataclass(frozen=True)
class Distrusted:
    """An issuer that an organization trusts no more."""

    tenant_id: UUID
    issuer: str


def subject(provider_id: UUID) -> About:
    """The row that a request about a provider is about."""
    return About("identity_provider", provider_id)


def listing(session: Session, who: Principal, at: Installation) -> list[dict[str, Any]]:
    """Those of the acting organization, by name, those switched off too."""
    return [_view(row, at) for row in rows(session, _LISTED.where(IdentityProvider.tenant_id == who.tenant))]


def create(session: Session, who: Principal, at: Installation, data: Mapping[str, Any]) -> dict[str, Any]:
    """Add a provider: name, issuer, client_id, client_secret (None for a public client), is_active.

    Raises Invalid (``bad_issuer``), Conflict (PROVIDER_TAKEN).
    """
    provider_id, now = uuid7(), moment(session)
    session.add(
        IdentityProvider(
            id=provider_id,
            tenant_id=who.tenant,
            name=data["name"],
            issuer=issuers.checked(data["issuer"], private=at.private_hosts),
            client_id=data["client_id"],
            sealed_client_secret=_sealed(at.vault, provider_id, data["client_secret"]),
            is_active=data["is_active"],
            created_at=now,
            updated_at=now,
        )
    )
    flush_unique(session, on=_TAKEN, raises=Conflict("PROVIDER_TAKEN"))
    audit.write(session, who, "identity_provider.created", "identity_provider", provider_id, issuer=data["issuer"])
    return _one(session, who, at, provider_id)


def change(
    session: Session, who: Principal, at: Installation, provider_id: UUID, data: Mapping[str, Any]
) -> tuple[dict[str, Any], Distrusted | None]:
    """Change what ``data`` names. Another issuer has other subjects: who was linked by the old one begins anew, and
    without a new secret there is none, for the old one is not shown to others.

    Returns the provider, and whose sessions must end because of it. Raises NotFound, Invalid (``bad_issuer``), Conflict
    (PROVIDER_TAKEN).
    """
    found = _own(session, who, provider_id)
    before = Distrusted(who.tenant, found.issuer)
    for name in ("name", "client_id", "is_active"):
        if name in data:
            setattr(found, name, data[name])
    if "issuer" in data:
        issuer = issuers.checked(data["issuer"], private=at.private_hosts)
        if issuer != found.issuer:
            found.issuer, found.sealed_client_secret = issuer, None
    if "client_secret" in data:
        found.sealed_client_secret = _sealed(at.vault, provider_id, data["client_secret"])
    found.updated_at = moment(session)
    flush_unique(session, on=_TAKEN, raises=Conflict("PROVIDER_TAKEN"))
    audit.write(session, who, "identity_provider.changed", "identity_provider", provider_id, fields=sorted(data))
    is_trusted = found.is_active and found.issuer == before.issuer
    return _one(session, who, at, provider_id), None if is_trusted else before


def remove(session: Session, who: Principal, provider_id: UUID) -> Distrusted:
    """Remove a provider; sign-ins that are under way end with it. Returns whose sessions must end. Raises NotFound."""
    found = _own(session, who, provider_id)
    audit.write(session, who, "identity_provider.removed", "identity_provider", provider_id, issuer=found.issuer)
    session.delete(found)
    return Distrusted(who.tenant, found.issuer)


def issuer_of(session: Session, who: Principal, provider_id: UUID) -> str:
    """The issuer of a provider of the acting organization. Raises NotFound."""
    return _own(session, who, provider_id).issuer


def offered(session: Session, tenant_id: UUID | None, subdomain: str | None) -> list[dict[str, Any]]:
    """``{id, name}`` of the active providers of an active organization, by name (system role). Raises NotFound."""
    found = tenants.by_subdomain(session, subdomain) if subdomain else tenant_id
    if found is None or tenants.organization(session, found) is None:
        raise NotFound("ORGANIZATION_NOT_FOUND")
    query = (
        select(IdentityProvider.id, IdentityProvider.name)
        .where(IdentityProvider.tenant_id == found, IdentityProvider.is_active)
        .order_by(IdentityProvider.name, IdentityProvider.id)
    )
    return rows(session, query)


def _own(session: Session, who: Principal, provider_id: UUID) -> IdentityProvider:
    query = select(IdentityProvider).where(IdentityProvider.id == provider_id, IdentityProvider.tenant_id == who.tenant)
    found = session.scalars(query.with_for_update()).one_or_none()
    if found is None:
        raise NotFound
    return found


def _one(session: Session, who: Principal, at: Installation, provider_id: UUID) -> dict[str, Any]:
    found = first(session, _LISTED.where(IdentityProvider.id == provider_id, IdentityProvider.tenant_id == who.tenant))
    if found is None:
        raise NotFound
    return _view(found, at)


def _view(row: dict[str, Any], at: Installation) -> dict[str, Any]:
    return {**row, "redirect_uri": at.base + callback_path(row["id"])}


def _sealed(vault: Vault, provider_id: UUID, secret: str | None) -> bytes | None:
    return vault.seal(secret.encode(), context_of(provider_id)) if secret else None
