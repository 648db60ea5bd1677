"""Whether a person belongs to an organization, suspended memberships included, and whether to another one too."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from edurise.tenants.models import Membership, Organization


def state(session: Session, tenant_id: UUID, person_id: UUID) -> bool | None:
    """True for an active member of an active organization, False for a suspended one, None for who is none."""
    query = (
        select(Membership.is_active)
        .join(Organization, Organization.id == Membership.tenant_id)
        .where(Membership.tenant_id == tenant_id, Membership.person_id == person_id, Organization.is_active)
    )
    return session.scalar(query)


def elsewhere(session: Session, tenant_id: UUID, person_id: UUID) -> bool:
    """Whether the person has a membership of another organization, suspended or not (system role)."""
    other = exists().where(Membership.person_id == person_id, Membership.tenant_id != tenant_id)
    return bool(session.scalar(select(other)))
