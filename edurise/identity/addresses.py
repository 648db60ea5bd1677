"""Whether an address is a person's, and another address for them. System role.

An address changes only when its person, logged in, opens the link that was mailed to the new one: neither somebody else
with their session nor an administrator can move an account to another mailbox alone.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from edurise import audit, outbox
from edurise.authz import Principal
from edurise.db import flush_unique, moment
from edurise.errors import Conflict, Forbidden
from edurise.identity import mailed
from edurise.identity.events import EmailChangeAsked, EmailChanged, EmailVerificationAsked
from edurise.identity.models import Person

AGAIN_AFTER = timedelta(minutes=1)
"""How soon somebody is mailed the same kind of link again."""


def ask_verification(session: Session, who: Principal) -> None:
    """Mail the caller a link that shows that the address is theirs; nothing happens for one that is verified."""
    if session.get_one(Person, who.person).email_verified_at is None:
        outbox.record(session, None, EmailVerificationAsked(person_id=who.person))


def verify(session: Session, who: Principal, link_id: UUID) -> None:
    """Take an address as shown by a mailed link. Raises Invalid (MAILED_LINK_INVALID)."""
    link = mailed.use(session, link_id, "verify_email")
    person = session.get_one(Person, link.person_id)
    if person.email == link.email and person.email_verified_at is None:
        person.email_verified_at = moment(session)
        audit.write(session, who, "account.address_verified", "person", person.id)


def ask_change(session: Session, who: Principal, sealed: str) -> None:
    """Mail a link to another address of the caller's, which nobody is told about before they open it."""
    audit.write(session, who, "account.address_change_asked", "person", who.person)
    outbox.record(session, None, EmailChangeAsked(person_id=who.person, sealed_email=sealed))


def change(session: Session, who: Principal, link_id: UUID) -> str:
    """Move the caller's account to the address that the link was mailed to; returns the one before.

    Raises Invalid (MAILED_LINK_INVALID), Forbidden for a link of somebody else, Conflict (EMAIL_TAKEN).
    """
    if mailed.look_up(session, link_id, "change_email").person_id != who.person:
        raise Forbidden
    link = mailed.use(session, link_id, "change_email")
    person = session.get_one(Person, who.person)
    before, person.email = person.email, link.email
    person.email_verified_at = moment(session)
    flush_unique(session, on="uq_people_email_key", raises=Conflict("EMAIL_TAKEN"))
    mailed.void(session, person.id, "change_email", "reset_password", "verify_email")
    audit.write(session, who, "account.address_changed", "person", person.id)
    return before


def tell_changed(session: Session, who: Principal, sealed_before: str) -> None:
    """Tell the old address that the account has moved."""
    outbox.record(session, None, EmailChanged(person_id=who.person, sealed_email=sealed_before))


def reset_link(session: Session, email: str, link_id: UUID) -> UUID | None:
    """Make the link by which whoever has this address resets their password; returns the person, None if there is
    nobody or a link was mailed a moment ago."""
    found = session.scalar(select(Person).where(Person.email_key == func.lower(email), Person.is_active))
    if found is None or mailed.was_made_since(session, found.id, "reset_password", AGAIN_AFTER, but=link_id):
        return None
    mailed.make(session, found.id, "reset_password", found.email, mailed.RESETS_FOR, link_id=link_id)
    return found.id


def verification_link(session: Session, person_id: UUID, link_id: UUID) -> bool:
    """Make the link that verifies a person's present address; False if it is verified, or mailed a moment ago."""
    person = session.get(Person, person_id)
    if person is None or person.email_verified_at is not None:
        return False
    if mailed.was_made_since(session, person_id, "verify_email", AGAIN_AFTER, but=link_id):
        return False
    mailed.make(session, person_id, "verify_email", person.email, mailed.VERIFIES_FOR, link_id=link_id)
    return True


def change_link(session: Session, person_id: UUID, email: str, link_id: UUID) -> bool:
    """Make the link that moves a person to an address; False if somebody has it, who is not told either."""
    if session.scalar(select(Person.id).where(Person.email_key == func.lower(email))) is not None:
        return False
    mailed.void(session, person_id, "change_email")
    mailed.make(session, person_id, "change_email", email, mailed.CHANGES_FOR, link_id=link_id)
    return True
