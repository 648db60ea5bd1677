"""Commands on people. Registration and log-in run as the system role, for nobody is logged in yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from edurise import audit, outbox
from edurise.authz import Principal
from edurise.db import flush_unique, moment
from edurise.errors import Conflict, Forbidden
from edurise.identity import queries
from edurise.identity.events import EmailVerificationAsked, PersonRegistered
from edurise.identity.models import Credential, Person, TeacherApplication
from edurise.tenants import queries as tenants
from edurise.tenants import service as memberships
from edurise.tenants import settings


@dataclass(frozen=True)
class NewPerson:
    """What a registration form says; ``teaches`` asks for a teacher application."""

    email: str
    first_name: str
    last_name: str
    teaches: bool = False
    language: str = "en"


@dataclass(frozen=True)
class Account:
    """A person who may be let in, if the password matches."""

    person_id: UUID
    password_hash: str
    is_active: bool


def register(session: Session, new: NewPerson, password_hash: str, tenant_id: UUID) -> UUID:
    """Make a person, a student membership of the organization and, if wished, a pending teacher application; returns
    the person's id. An organization that does not exist is read as ``main``, for a header may name anything.

    Raises Forbidden (REGISTRATION_CLOSED) and Conflict (EMAIL_TAKEN, PLAN_LIMIT_REACHED); two registrations of one
    address at once are decided by the unique key.
    """
    if tenants.organization(session, tenant_id) is None:
        tenant_id = tenants.MAIN
    if not takes_in(session, tenant_id):
        raise Forbidden("REGISTRATION_CLOSED")
    person_id = found_person(session, new, password_hash)
    memberships.join(session, tenant_id, person_id)
    if new.teaches:
        now = moment(session)
        session.add(TeacherApplication(id=uuid7(), tenant_id=tenant_id, person_id=person_id, submitted_at=now))
    outbox.record(session, tenant_id, PersonRegistered(person_id=person_id))
    outbox.record(session, None, EmailVerificationAsked(person_id=person_id))
    return person_id


def takes_in(session: Session, tenant_id: UUID) -> bool:
    """Whether an organization is there and lets people register by themselves."""
    organization = tenants.organization(session, tenant_id)
    return organization is not None and bool(settings.effective(organization["settings"])["allow_self_registration"])


def found_person(session: Session, new: NewPerson, password_hash: str | None) -> UUID:
    """Make a person who belongs nowhere yet, with a password or (None) without; returns the person's id.

    Raises Conflict (EMAIL_TAKEN).
    """
    now = moment(session)
    person = Person(
        id=uuid7(),
        email=new.email,
        first_name=new.first_name,
        last_name=new.last_name,
        language=new.language,
        created_at=now,
    )
    session.add(person)
    flush_unique(session, on="uq_people_email_key", raises=Conflict("EMAIL_TAKEN"))
    if password_hash is not None:
        session.add(Credential(person_id=person.id, password_hash=password_hash, changed_at=now))
        session.flush()
    return person.id


def verify_address(session: Session, who: Principal) -> None:
    """Take the address as its person's: they opened what was mailed to it."""
    person = session.get_one(Person, who.person)
    if person.email_verified_at is None:
        person.email_verified_at = moment(session)
        audit.write(session, who, "account.address_verified", "person", person.id)


def rename(session: Session, who: Principal, data: Mapping[str, Any]) -> dict[str, Any]:
    """Change the caller's own name; returns the User."""
    changed = {name: data[name] for name in ("first_name", "last_name") if name in data}
    if changed:
        session.execute(update(Person).where(Person.id == who.person).values(**changed))
        audit.write(session, who, "account.renamed", "person", who.person, fields=sorted(changed))
    return queries.me(session, who)


def account(session: Session, email: str) -> Account | None:
    """The account of an address, whatever its case."""
    found = session.execute(
        select(Person.id, Person.is_active, Credential.password_hash)
        .join(Credential, Credential.person_id == Person.id)
        .where(Person.email_key == func.lower(email))  # the database's own lower(), which made the key
    ).one_or_none()
    return None if found is None else Account(found.id, found.password_hash, found.is_active)


def usual_organization(session: Session, person_id: UUID, wanted: UUID | None) -> UUID | None:
    """Where a fresh log-in acts: the organization that was asked for, if it may be entered, else the oldest
    membership's."""
    if wanted is not None and tenants.membership(session, wanted, person_id) is not None:
        return wanted
    return tenants.first_of(session, person_id) or tenants.MAIN
