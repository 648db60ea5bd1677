"""Links that were mailed to somebody (system role): made once, used once, until their time is over."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from edurise.db import insert_missing, moment
from edurise.errors import Invalid
from edurise.identity.proofs import MailedLink

VERIFIES_FOR = timedelta(days=7)
RESETS_FOR = timedelta(hours=1)
CHANGES_FOR = timedelta(hours=24)
_KEPT = timedelta(days=7)


def make(
    session: Session,
    person_id: UUID,
    purpose: str,
    email: str,
    expires: timedelta,
    identity_id: UUID | None = None,
    link_id: UUID | None = None,
) -> UUID:
    """Record that a link for a purpose goes to an address, and return its id. With the ``link_id`` of an earlier call
    nothing new is made: the mail that is sent again is the same mail."""
    now = moment(session)
    link_id = link_id or uuid7()
    insert_missing(
        session,
        MailedLink,
        id=link_id,
        person_id=person_id,
        purpose=purpose,
        email=email,
        identity_id=identity_id,
        created_at=now,
        expires_at=now + expires,
    )
    return link_id


def use(session: Session, link_id: UUID, purpose: str) -> MailedLink:
    """Use a link; of two who use one at once only the first does. Raises Invalid (MAILED_LINK_INVALID) for one that is
    used, expired, unknown or of another purpose."""
    now = moment(session)
    used = session.scalar(
        update(MailedLink)
        .where(
            MailedLink.id == link_id,
            MailedLink.purpose == purpose,
            MailedLink.used_at.is_(None),
            MailedLink.expires_at > now,
        )
        .values(used_at=now)
        .returning(MailedLink.id)
    )
    if used is None:
        raise Invalid("MAILED_LINK_INVALID")
    return session.get_one(MailedLink, link_id, populate_existing=True)


def look_up(session: Session, link_id: UUID, purpose: str) -> MailedLink:
    """As ``use``, without using it: for what must be checked before."""
    now = moment(session)
    found = session.get(MailedLink, link_id)
    if found is None or found.purpose != purpose or found.used_at is not None or found.expires_at <= now:
        raise Invalid("MAILED_LINK_INVALID")
    return found


def was_made_since(session: Session, person_id: UUID, purpose: str, ago: timedelta, but: UUID) -> bool:
    """Whether another link than ``but`` was made for the same so short a time ago."""
    query = select(MailedLink.id).where(
        MailedLink.person_id == person_id,
        MailedLink.purpose == purpose,
        MailedLink.created_at > moment(session) - ago,
        MailedLink.id != but,
    )
    return session.scalar(query.limit(1)) is not None


def void(session: Session, person_id: UUID, *purposes: str) -> None:
    """Make every open link of a person for these purposes worthless."""
    session.execute(
        update(MailedLink)
        .where(MailedLink.person_id == person_id, MailedLink.purpose.in_(purposes), MailedLink.used_at.is_(None))
        .values(used_at=moment(session))
    )


def forget(session: Session) -> int:
    """Delete links a week after they ended; returns how many."""
    gone = delete(MailedLink).where(MailedLink.expires_at < moment(session) - _KEPT).returning(MailedLink.id)
    return len(session.execute(gone).all())
