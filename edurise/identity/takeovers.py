"""Giving an account to whoever has shown that its address is theirs, where nobody had shown it before.

Somebody can register another's address and wait until its owner signs in elsewhere and is joined to that account
("pre-hijacking", Sudhodanan and Paverd, USENIX Security 2022). So whatever opened it until then opens it no more.
"""

from __future__ import annotations

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from edurise import audit
from edurise.authz import Principal
from edurise.db import moment
from edurise.identity import sessions
from edurise.identity.models import Credential, LoginSession, Person
from edurise.identity.proofs import ExternalIdentity, MailedLink, RecoveryCode, SecondFactor


def reset(session: Session, who: Principal, person: Person, life: sessions.Lifetimes) -> None:
    """Take the password, the second factor, every session, open mailed link and unlinked account elsewhere from an
    account whose address was never verified, and mark the address verified (system role)."""
    now = moment(session)
    for model in (Credential, SecondFactor, RecoveryCode):
        session.execute(delete(model).where(model.person_id == person.id))
    session.execute(
        delete(ExternalIdentity).where(ExternalIdentity.person_id == person.id, ExternalIdentity.linked_at.is_(None))
    )
    session.execute(
        update(MailedLink).where(MailedLink.person_id == person.id, MailedLink.used_at.is_(None)).values(used_at=now)
    )
    open_ones = select(LoginSession.id).where(LoginSession.person_id == person.id, LoginSession.revoked_at.is_(None))
    for session_id in session.scalars(open_ones).all():
        sessions.revoke(session, session_id, life)
    person.token_version += 1
    person.has_second_factor = False
    person.email_verified_at = now
    session.flush()
    audit.write(session, who, "account.reset_by_owner", "person", person.id)
