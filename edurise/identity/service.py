"""Commands on people. Registration and log-in run as the system role, for nobody is logged in yet."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from edurise import outbox
from edurise.db import flush_unique, moment
from edurise.errors import Conflict, Forbidden
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
    the person's id. An organization that does not exist is read as ``main``.

    Raises Forbidden (REGISTRATION_CLOSED) and Conflict (EMAIL_TAKEN, PLAN_LIMIT_REACHED); two registrations of one
    address at once are decided by the unique key.
    """
    now = moment(session)
    organization = tenants.organization(session, tenant_id)
    if organization is None:  # a header may name what does not exist
        tenant_id = tenants.MAIN
    elif not settings.effective(organization["settings"])["allow_self_registration"]:
        raise Forbidden("REGISTRATION_CLOSED")
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
    session.add(Credential(person_id=person.id, password_hash=password_hash, changed_at=now))
    memberships.join(session, tenant_id, person.id)
    if new.teaches:
        session.add(TeacherApplication(id=uuid7(), tenant_id=tenant_id, person_id=person.id, submitted_at=now))
    outbox.record(session, tenant_id, PersonRegistered(person_id=person.id))
    outbox.record(session, None, EmailVerificationAsked(person_id=person.id))
    return person.id


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
