"""Accounts elsewhere as rows, and the people whom they are of. System role."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from edurise import outbox
from edurise.db import flush_unique, moment
from edurise.errors import Conflict, Invalid, Retry
from edurise.identity import mailboxes, service
from edurise.identity.events import PersonRegistered
from edurise.identity.models import Person
from edurise.identity.ports import Vouched
from edurise.identity.proofs import ExternalIdentity
from edurise.tenants import service as memberships


def known(session: Session, tenant_id: UUID | None, vouched: Vouched) -> ExternalIdentity | None:
    """The row of an account that an organization's provider vouches for, or (None) one that the platform trusts;
    locked."""
    query = select(ExternalIdentity).where(
        ExternalIdentity.tenant_id.is_not_distinct_from(tenant_id),
        ExternalIdentity.issuer == vouched.issuer,
        ExternalIdentity.subject == vouched.subject,
    )
    return session.scalars(query.with_for_update()).one_or_none()


def add(
    session: Session, tenant_id: UUID | None, vouched: Vouched, person_id: UUID, *, linked: bool
) -> ExternalIdentity:
    """Make the row of an account, joined to a person at once or later. Raises Retry for who was slower."""
    now = moment(session)
    row = ExternalIdentity(
        id=uuid7(),
        person_id=person_id,
        tenant_id=tenant_id,
        issuer=vouched.issuer,
        subject=vouched.subject,
        email=vouched.email or "",
        linked_at=now if linked else None,
        used_at=now if linked else None,
        created_at=now,
    )
    session.add(row)
    flush_unique(session, on="uq_external_identities_tenant_id_issuer_subject", raises=Retry)
    return row


def address(vouched: Vouched, code: str) -> str:
    """The verified address, as we write it. Raises Invalid with this code where there is none."""
    found = mailboxes.normal(vouched.email) if vouched.email else None
    if found is None:
        raise Invalid(code)
    return found


def person_of(session: Session, email: str) -> Person | None:
    """The person of an address, whatever its case; locked."""
    key = func.lower(email)  # the database's own lower(), which made the key
    return session.scalars(select(Person).where(Person.email_key == key).with_for_update()).one_or_none()


def register(session: Session, vouched: Vouched, email: str, tenant_id: UUID, language: str) -> UUID:
    """Make a person without a password, who joins an organization; returns their id. Raises Retry for who was slower,
    Conflict (PLAN_LIMIT_REACHED)."""
    first_name = vouched.first_name or email.partition("@")[0][:100]
    try:
        person_id = service.found_person(
            session, service.NewPerson(email, first_name, vouched.last_name, language=language), None
        )
    except Conflict as faster:  # a request beside this one made the account: look again
        raise Retry from faster
    memberships.join(session, tenant_id, person_id)
    outbox.record(session, tenant_id, PersonRegistered(person_id=person_id))
    return person_id
