"""Accounts elsewhere and the people here whom they let in. System role.

An account is linked only on an address that whoever vouches for it has verified. Where the address here was never
shown to be its person's, somebody may have registered it before them and kept the password: linking takes that away,
with every session and second factor of before.
"""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from edurise import audit, outbox
from edurise.authz import Principal
from edurise.db import flush_unique, moment
from edurise.errors import Conflict, Forbidden, Invalid, Retry
from edurise.identity import devices, factors, mailboxes, mailed, passwords, service
from edurise.identity.events import PersonRegistered
from edurise.identity.models import Person
from edurise.identity.ports import Vouched
from edurise.identity.proofs import ExternalIdentity
from edurise.identity.sessions import Lifetimes
from edurise.tenants import queries as tenants
from edurise.tenants import service as memberships
from edurise.tenants import settings


def let_in(session: Session, who: Principal, vouched: Vouched, tenant_id: UUID, language: str, life: Lifetimes) -> UUID:
    """Whom an account lets in that the platform itself trusts; a person is made where there is none, who joins the
    organization ``tenant_id``. ``who`` is nobody yet: where the call came from.

    Raises Invalid (GOOGLE_REFUSED) for somebody who was switched off, Forbidden (REGISTRATION_CLOSED).
    """
    email = mailboxes.normal(vouched.email or "")
    if email is None:
        raise Invalid("GOOGLE_REFUSED")
    vouched = replace(vouched, email=email)
    known = _known(session, vouched)
    if known is not None and known.linked_at is not None:
        person = session.get_one(Person, known.person_id)
        if not person.is_active:
            raise Invalid("GOOGLE_REFUSED")
        known.used_at = moment(session)
        return person.id
    found = session.scalar(select(Person).where(Person.email_key == func.lower(vouched.email)).with_for_update())
    if found is None:
        person_id = _registered(session, vouched, tenant_id, language)
    elif not found.is_active or (found.email_verified_at is None and found.is_platform_admin):
        raise Invalid("GOOGLE_REFUSED")  # a platform administrator's second factor is not thrown away for an address
    else:
        person_id = found.id
        if found.email_verified_at is None:
            take_back(session, who, found, life)
    _link(session, who, vouched, person_id)
    return person_id


def _known(session: Session, vouched: Vouched) -> ExternalIdentity | None:
    query = select(ExternalIdentity).where(
        ExternalIdentity.tenant_id.is_(None),
        ExternalIdentity.issuer == vouched.issuer,
        ExternalIdentity.subject == vouched.subject,
    )
    return session.scalars(query.with_for_update()).one_or_none()


def _registered(session: Session, vouched: Vouched, tenant_id: UUID, language: str) -> UUID:
    new = service.NewPerson(vouched.email or "", vouched.first_name, vouched.last_name, language=language)
    tenant_id = _taking_in(session, tenant_id)
    try:
        person_id = service.found_person(session, new, None)
    except Conflict as faster:  # a request beside this one made the account: look again
        raise Retry from faster
    memberships.join(session, tenant_id, person_id)
    outbox.record(session, tenant_id, PersonRegistered(person_id=person_id))
    return person_id


def _taking_in(session: Session, tenant_id: UUID) -> UUID:
    """The organization that a new person joins: the wanted one, if it is there and takes people in, else ``main``, if
    that does."""
    for one in (tenant_id, tenants.MAIN):
        organization = tenants.organization(session, one)
        if organization is not None and settings.effective(organization["settings"])["allow_self_registration"]:
            return one
    raise Forbidden("REGISTRATION_CLOSED")


def take_back(session: Session, who: Principal, person: Person, life: Lifetimes, but: UUID | None = None) -> None:
    """Whoever had this account without having shown that the address is theirs, has it no more: password, sessions,
    second factor, open links and accounts elsewhere, except ``but``, are gone.

    They may have registered it to wait for its owner ("pre-hijacking", Sudhodanan and Paverd, USENIX Security 2022).
    """
    acting = Principal(user_id=person.id, ip=who.ip, user_agent=who.user_agent)
    passwords.take_away(session, person.id)
    devices.revoke_all(session, person.id, life)
    factors.take_away(session, acting, person.id)
    mailed.void(session, person.id, "reset_password", "verify_email", "change_email", "link_identity")
    others = (ExternalIdentity.person_id == person.id, ExternalIdentity.id.is_distinct_from(but))
    session.execute(delete(ExternalIdentity).where(*others))
    person.token_version += 1
    audit.write(session, acting, "account.taken_back", "person", person.id)


def _link(session: Session, who: Principal, vouched: Vouched, person_id: UUID) -> None:
    now = moment(session)
    person = session.get_one(Person, person_id)
    person.email_verified_at = person.email_verified_at or now
    session.add(
        ExternalIdentity(
            id=uuid7(),
            person_id=person_id,
            tenant_id=None,
            issuer=vouched.issuer,
            subject=vouched.subject,
            email=vouched.email or "",
            linked_at=now,
            created_at=now,
            used_at=now,
        )
    )
    flush_unique(session, on="uq_external_identities_tenant_id_issuer_subject", raises=Retry)
    acting = Principal(user_id=person_id, ip=who.ip, user_agent=who.user_agent)
    audit.write(session, acting, "account.identity_linked", "person", person_id, issuer=vouched.issuer)
