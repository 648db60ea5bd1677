"""Secrets by which an organization's identity provider knows the platform, sealed. System role."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from edurise.identity.proofs import IdentityProvider
from edurise.sealing import Renewal, Vault


def context_of(provider_id: UUID) -> bytes:
    """What a secret is sealed to: in another provider's row it does not open."""
    return b"identity-provider:" + provider_id.bytes


def reseal(session: Session, vault: Vault, after: UUID | None, most: int) -> tuple[UUID | None, Renewal]:
    """Seal the next ``most`` secrets anew with the newest key; returns (the last one seen, or None at the end; what
    became of them)."""
    renewal = Renewal(vault)
    query = select(IdentityProvider).where(IdentityProvider.sealed_client_secret.is_not(None))
    if after is not None:
        query = query.where(IdentityProvider.id > after)
    found = session.scalars(query.order_by(IdentityProvider.id).limit(most).with_for_update()).all()
    for one in found:
        if one.sealed_client_secret is not None:
            name = f"client secret of provider {one.id}"
            one.sealed_client_secret = renewal.of(one.sealed_client_secret, context_of(one.id), name)
    return (found[-1].id if len(found) == most else None), renewal
