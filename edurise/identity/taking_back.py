"""Accounts that somebody else made for an address and waits in: what is theirs goes. System role."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import delete
from sqlalchemy.orm import Session

from edurise import audit
from edurise.authz import Principal
from edurise.identity import devices, factors, mailed, passwords
from edurise.identity.models import Person
from edurise.identity.proofs import ExternalIdentity
from edurise.identity.sessions import Lifetimes


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
