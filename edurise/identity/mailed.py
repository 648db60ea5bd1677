"""Links in mails: made, and used once. System role only."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from edurise.db import moment
from edurise.errors import Invalid
from edurise.identity.proofs import MailedLink


def make(
    session: Session, person_id: UUID, purpose: str, email: str, expires: datetime, identity_id: UUID | None = None
) -> UUID:
    """Add a link; returns its id, of which ``MailLinks`` makes the token."""
    link_id = uuid7()
    session.add(
        MailedLink(
            id=link_id,
            person_id=person_id,
            purpose=purpose,
            email=email,
            identity_id=identity_id,
            created_at=moment(session),
            expires_at=expires,
        )
    )
    session.flush()
    return link_id


def use(session: Session, link_id: UUID, purpose: str) -> MailedLink:
    """Use a link up; of two at once one wins. Raises Invalid (MAILED_LINK_INVALID) for one that was used, has expired
    or has another purpose."""
    now = moment(session)
    found = session.scalars(
        update(MailedLink)
        .where(
            MailedLink.id == link_id,
            MailedLink.purpose == purpose,
            MailedLink.used_at.is_(None),
            MailedLink.expires_at > now,
        )
        .values(used_at=now)
        .returning(MailedLink)
    ).one_or_none()
    if found is None:
        raise Invalid("MAILED_LINK_INVALID")
    return found
