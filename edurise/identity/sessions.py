"""Log-in sessions and their refresh tokens. System role only: the application role has no grant on these tables.

A refresh token is used once. Clients refresh in parallel with one token, so a rotated token is accepted again within
the grace and gets a successor of its own; later it can only be a stolen copy, and the whole family (the session) is
revoked.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from edurise.db import moment
from edurise.errors import Forbidden, Unauthenticated
from edurise.identity.models import LoginSession, Person, RefreshToken, Revocation
from edurise.tenants import queries as tenants


@dataclass(frozen=True)
class Lifetimes:
    """Seconds that tokens live: access, refresh, and the grace in which a rotated refresh token is still accepted."""

    access_s: int
    refresh_s: int
    grace_s: int


@dataclass(frozen=True)
class Opened:
    """What is needed to issue an access token, beside the new refresh token."""

    person_id: UUID
    session_id: UUID
    tenant_id: UUID | None
    pinned: bool
    version: int
    refresh: str
    confined: bool = False
    ends_at: datetime | None = None


@dataclass(frozen=True)
class Way:
    """How somebody was let in. ``confined_to``: by an organization's provider, so the session counts there alone.
    ``is_proved``: a second factor, or the password, was just given. ``by_second_factor``: a code of it was."""

    method: str = "password"
    confined_to: UUID | None = None
    is_proved: bool = False
    by_second_factor: bool = False


BY_PASSWORD = Way(is_proved=True)


@dataclass(frozen=True)
class Stolen:
    """A refresh token was used long after its rotation. The family is revoked; the caller must be refused after the
    commit."""

    session_id: UUID


def open_session(
    session: Session,
    person_id: UUID,
    tenant_id: UUID | None,
    device: tuple[str, str],
    life: Lifetimes,
    way: Way = BY_PASSWORD,
) -> Opened:
    """Open a session for a person who was just let in. ``device`` is (user agent, address).

    Raises Forbidden (OTP_REQUIRED) for somebody who has a second factor, also since a moment ago, and did not give it:
    the row of the person is locked from here on, so that an enrolment comes before this, or ends this session.
    """
    now = moment(session)
    person = session.execute(
        update(Person)
        .where(Person.id == person_id)
        .values(last_login_at=now)
        .returning(Person.token_version, Person.has_second_factor)
    ).one_or_none()
    if person is None:
        raise Unauthenticated
    if person.has_second_factor and not way.by_second_factor:
        raise Forbidden("OTP_REQUIRED")
    found = LoginSession(
        id=uuid7(),
        person_id=person_id,
        tenant_id=tenant_id,
        user_agent=device[0][:300],
        ip=device[1][:64],
        created_at=now,
        used_at=now,
        expires_at=now + timedelta(seconds=life.refresh_s),
        method=way.method,
        confined_to=way.confined_to,
        is_pinned=way.confined_to is not None,
        proved_at=now if way.is_proved else None,
    )
    session.add(found)
    _bound(session, found, life)
    session.flush()
    return _opened(session, found, person.token_version, life)


def refresh(session: Session, token: str, wanted: UUID | None, life: Lifetimes) -> Opened | Stolen:
    """Rotate a refresh token and return what the next access token says, moved to organization ``wanted`` if given.

    Raises Unauthenticated (TOKEN_INVALID) for an unknown, expired or revoked one, Forbidden for an organization that
    the person may not enter. Returns Stolen instead of raising, because the revocation must be committed.
    """
    now = moment(session)
    used = session.scalar(select(RefreshToken).where(RefreshToken.token_hash == _hash(token)))
    if used is None:
        raise Unauthenticated("TOKEN_INVALID")
    family = session.scalars(select(LoginSession).where(LoginSession.id == used.session_id).with_for_update()).one()
    session.refresh(used)
    if family.revoked_at is not None or min(used.expires_at, family.expires_at) <= now:
        raise Unauthenticated("TOKEN_INVALID")
    if used.rotated_at is not None and now > used.rotated_at + timedelta(seconds=life.grace_s):
        revoke(session, family.id, life)
        return Stolen(family.id)
    used.rotated_at = used.rotated_at or now
    family.used_at = now
    _bound(session, family, life)
    person = session.get_one(Person, family.person_id)
    if not person.is_active:
        raise Unauthenticated("TOKEN_INVALID")
    if wanted is not None and not family.is_pinned:
        family.tenant_id = _enterable(session, person, wanted)
    return _opened(session, family, person.token_version, life)


def switch(session: Session, session_id: UUID, tenant_id: UUID, life: Lifetimes) -> Opened:
    """Pin the session to an organization: from now on the token's organization beats any header.

    Raises Forbidden: TENANT_ACCESS_ERROR, SESSION_CONFINED.
    """
    family = session.scalars(select(LoginSession).where(LoginSession.id == session_id).with_for_update()).one_or_none()
    if family is None or family.revoked_at is not None:
        raise Unauthenticated("TOKEN_INVALID")
    if family.confined_to is not None and family.confined_to != tenant_id:
        raise Forbidden("SESSION_CONFINED")
    person = session.get_one(Person, family.person_id)
    family.tenant_id = _enterable(session, person, tenant_id)
    family.is_pinned = True
    return _opened(session, family, person.token_version, life)


def unpin(session: Session, session_id: UUID, tenant_id: UUID, life: Lifetimes) -> Opened:
    """Let a header move the session again, which goes on in an organization that its person may enter.

    Raises Unauthenticated, and Forbidden: TENANT_ACCESS_ERROR, SESSION_CONFINED.
    """
    switch(session, session_id, tenant_id, life)
    family = session.get_one(LoginSession, session_id)
    family.is_pinned = family.confined_to is not None
    return _opened(session, family, session.get_one(Person, family.person_id).token_version, life)


def log_out(session: Session, person_id: UUID, session_id: UUID, token: str | None, life: Lifetimes) -> None:
    """Revoke the session of the access token and that of the refresh token, which may be rotated already; safe to
    repeat."""
    wanted = {session_id}
    if token is not None:
        owned = session.scalar(
            select(RefreshToken.session_id)
            .join(LoginSession, LoginSession.id == RefreshToken.session_id)
            .where(RefreshToken.token_hash == _hash(token), LoginSession.person_id == person_id)
        )
        if owned is not None:
            wanted.add(owned)
    for one in wanted:
        revoke(session, one, life)


def revoke(session: Session, session_id: UUID, life: Lifetimes) -> None:
    """End a session: refresh tokens at once, access tokens in every process within a second."""
    now = moment(session)
    ended = session.scalar(
        update(LoginSession)
        .where(LoginSession.id == session_id, LoginSession.revoked_at.is_(None))
        .values(revoked_at=now)
        .returning(LoginSession.id)
    )
    if ended is not None:
        # A door accepts an access token up to 24 h past its expiry while the session lives, so the row must outlive
        # that.
        until = now + timedelta(seconds=life.access_s, hours=25)
        session.execute(insert(Revocation).values(session_id=session_id, at=now, expires_at=until))


def revocations(session: Session, after: int) -> list[tuple[int, UUID, datetime]]:
    """(number, session, until) of every live revocation, with an overlap that covers commits out of order."""
    found = session.execute(
        select(Revocation.id, Revocation.session_id, Revocation.expires_at)
        .where(Revocation.id > after - 1000, Revocation.expires_at > moment(session))
        .order_by(Revocation.id)
    )
    return [(row.id, row.session_id, row.expires_at) for row in found]


def forget_expired(session: Session) -> int:
    """Delete sessions and revocations that can matter no more; returns how many sessions went."""
    now = moment(session)
    session.execute(delete(Revocation).where(Revocation.expires_at < now))
    gone = session.execute(
        delete(LoginSession).where(LoginSession.expires_at < now - timedelta(days=1)).returning(LoginSession.id)
    )
    return len(gone.all())


def _enterable(session: Session, person: Person, tenant_id: UUID) -> UUID:
    if tenants.membership(session, tenant_id, person.id) is None and not (
        person.is_platform_admin and tenants.organization(session, tenant_id) is not None
    ):
        raise Forbidden("TENANT_ACCESS_ERROR")
    return tenant_id


def _bound(session: Session, family: LoginSession, life: Lifetimes) -> None:
    """Set when a session ends unused, and when in any case, by the settings and the strictest organization."""
    idle, absolute = tenants.session_limits(session, family.person_id)
    family.ends_at = None if absolute is None else family.created_at + absolute
    unused = moment(session) + min(timedelta(seconds=life.refresh_s), idle or timedelta.max)
    family.expires_at = unused if family.ends_at is None else min(unused, family.ends_at)


def _opened(session: Session, family: LoginSession, version: int, life: Lifetimes) -> Opened:
    return Opened(
        family.person_id,
        family.id,
        family.tenant_id,
        family.is_pinned,
        version,
        _new_refresh(session, family.id, life),
        confined=family.confined_to is not None,
        ends_at=family.ends_at,
    )


def _new_refresh(session: Session, session_id: UUID, life: Lifetimes) -> str:
    now = moment(session)
    token = secrets.token_urlsafe(32)
    session.add(
        RefreshToken(
            id=uuid7(),
            session_id=session_id,
            token_hash=_hash(token),
            created_at=now,
            expires_at=now + timedelta(seconds=life.refresh_s),
        )
    )
    return token


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
