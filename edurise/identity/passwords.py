"""Passwords: which are taken, and what a new one ends. System role."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from edurise import audit, outbox
from edurise.authz import Principal
from edurise.db import insert_missing, moment
from edurise.errors import Invalid, Problem, Unauthenticated
from edurise.identity import devices, mailed
from edurise.identity.events import PasswordChanged
from edurise.identity.models import Credential, Person
from edurise.identity.sessions import Lifetimes


def check(fault: str | None, field: str = "password") -> None:
    """Raises Invalid where a judge found a ``fault`` of a password: ``weak_password`` or ``breached_password``."""
    if fault is not None:
        raise Invalid(errors={field: [Problem(fault)]})


def encoded(session: Session, person_id: UUID) -> str | None:
    """The encoded hash of a person's password; None for somebody who has none."""
    return session.scalar(select(Credential.password_hash).where(Credential.person_id == person_id))


def words_about(session: Session, person_id: UUID) -> tuple[str, ...]:
    """What is known of a person and must not make up their password. Raises Unauthenticated for nobody."""
    found = session.get(Person, person_id)
    if found is None or not found.is_active:
        raise Unauthenticated
    return (found.email, found.first_name, found.last_name)


def replace_hash(session: Session, person_id: UUID, before: str, after: str) -> None:
    """Keep the same password under newer parameters, unless it was changed meanwhile."""
    session.execute(
        update(Credential)
        .where(Credential.person_id == person_id, Credential.password_hash == before)
        .values(password_hash=after)
    )


def change(session: Session, who: Principal, before: str | None, after: str, life: Lifetimes) -> None:
    """Set the caller's own new password; their other sessions end.

    Raises Invalid (PASSWORD_WRONG) if it was changed since ``before`` was verified.
    """
    if encoded(session, who.person) != before:
        raise Invalid("PASSWORD_WRONG")
    _set(session, who.person, after)
    devices.revoke_all(session, who.person, life, but=who.session_id)
    mailed.void(session, who.person, "reset_password")
    audit.write(session, who, "account.credential_changed", "person", who.person)
    outbox.record(session, None, PasswordChanged(person_id=who.person))


def reset(session: Session, who: Principal, link_id: UUID, after: str, life: Lifetimes) -> None:
    """Set a new password by a mailed link, which shows that the address is theirs; every session ends.

    Raises Invalid (MAILED_LINK_INVALID).
    """
    link = mailed.use(session, link_id, "reset_password")
    person = session.get_one(Person, link.person_id)
    if person.email != link.email or not person.is_active:
        raise Invalid("MAILED_LINK_INVALID")
    person.email_verified_at = person.email_verified_at or moment(session)
    _set(session, person.id, after)
    devices.revoke_all(session, person.id, life)
    mailed.void(session, person.id, "reset_password", "verify_email")
    audit.write(session, who, "account.credential_reset", "person", person.id)
    outbox.record(session, None, PasswordChanged(person_id=person.id))


def take_away(session: Session, person_id: UUID) -> None:
    """Leave a person without a password: they come in by another way, or ask for a link."""
    session.execute(delete(Credential).where(Credential.person_id == person_id))


def _set(session: Session, person_id: UUID, password_hash: str) -> None:
    values = {"password_hash": password_hash, "changed_at": moment(session)}
    if not insert_missing(session, Credential, person_id=person_id, **values):
        session.execute(update(Credential).where(Credential.person_id == person_id).values(**values))
