"""Accounts that their people deleted: within the grace a log-in restores one, after it nobody is let in (system
role)."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from edurise import audit, outbox
from edurise.authz import Principal
from edurise.db import moment
from edurise.errors import Conflict, Invalid, Unauthenticated
from edurise.identity import devices, passwords
from edurise.identity.events import AccountDeletionAsked, AccountRestored
from edurise.identity.models import Person
from edurise.identity.sessions import Lifetimes
from edurise.tenants import leaving as tenants


def proofs(session: Session, who: Principal) -> tuple[str | None, bool]:
    """(the hash of the caller's password, None without one; whether they have a second factor)."""
    person = session.get_one(Person, who.person)
    return passwords.encoded(session, person.id), person.has_second_factor


def leave(session: Session, who: Principal, before: str | None, grace: timedelta, life: Lifetimes) -> datetime:
    """Let the caller's account be erased after ``grace`` and end all their sessions; returns when that is. A repeat
    changes nothing.

    ``before`` is the password's hash as it was verified. Raises Invalid (PASSWORD_WRONG) if it was changed since, and
    Conflict: LAST_ADMINISTRATOR with an ``organization`` that would be without one, PLATFORM_ADMINISTRATOR.
    """
    person = session.scalars(select(Person).where(Person.id == who.person).with_for_update()).one()
    if person.erased_at is not None:
        raise Unauthenticated
    if person.erase_after is not None:
        return person.erase_after
    if passwords.encoded(session, person.id) != before:
        raise Invalid("PASSWORD_WRONG")
    if person.is_platform_admin:
        raise Conflict("PLATFORM_ADMINISTRATOR")
    person.erase_after = moment(session) + grace
    session.flush()
    alone = tenants.administered_alone(session, person.id)
    if alone is not None:
        raise Conflict("LAST_ADMINISTRATOR", reason="administers_alone", organization=alone)
    devices.revoke_all(session, person.id, life)
    audit.write(session, who, "account.deletion_asked", "person", person.id, erase_after=person.erase_after)
    outbox.record(session, None, AccountDeletionAsked(person_id=person.id, until=person.erase_after))
    return person.erase_after


def restore_if_leaving(session: Session, person_id: UUID, *, confined: bool = False) -> bool:
    """Keep the account of somebody who logs in before it is erased; returns whether there was anything to keep.

    Raises Invalid: INVALID_CREDENTIALS, as for an account that does not exist, once the grace is over;
    SIGN_IN_REFUSED for a log-in ``confined`` to an organization, whose provider decides nothing about an account. The
    row stays locked, so that a log-in and the erasing of one account never happen both.
    """
    query = select(Person).where(Person.id == person_id).with_for_update()
    person = session.scalars(query.execution_options(populate_existing=True)).one()
    if person.erased_at is not None or (person.erase_after is not None and person.erase_after <= moment(session)):
        raise Invalid("INVALID_CREDENTIALS")
    if person.erase_after is None:
        return False
    if confined:
        raise Invalid("SIGN_IN_REFUSED")
    person.erase_after = None
    audit.write(session, Principal(user_id=person_id), "account.restored", "person", person_id)
    outbox.record(session, None, AccountRestored(person_id=person_id))
    return True


def due(session: Session, after: UUID | None, most: int) -> list[UUID]:
    """The next people by id after ``after`` whose grace is over; those who are being erased this moment are left
    out."""
    query = select(Person.id).where(Person.erase_after <= moment(session))
    if after is not None:
        query = query.where(Person.id > after)
    return list(session.scalars(query.order_by(Person.id).limit(most).with_for_update(skip_locked=True)))


def farewell(session: Session, person_id: UUID) -> dict[str, str] | None:
    """``{email, first_name, language}`` of somebody who is to be erased now, locked until the commit; None where there
    is nobody to erase, or no time has come."""
    query = select(Person).where(Person.id == person_id, Person.erase_after <= moment(session))
    person = session.scalars(query.with_for_update()).one_or_none()
    if person is None:
        return None
    return {"email": person.email, "first_name": person.first_name, "language": person.language}


def end_at_once(session: Session, email: str) -> UUID | None:
    """Let the grace of an address's account be over; returns whose it is, or None for an unknown address."""
    changed = update(Person).where(Person.email_key == func.lower(email), Person.erased_at.is_(None))
    found: UUID | None = session.scalar(changed.values(erase_after=moment(session)).returning(Person.id))
    return found


def owner_of(session: Session, email: str) -> UUID | None:
    """Whose account an address is; None for an unknown one."""
    return session.scalar(select(Person.id).where(Person.email_key == func.lower(email)))
