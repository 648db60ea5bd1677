"""Whether a person and a log-in session still live, asked of the database and not of a process's memory."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from edurise.authz import Principal
from edurise.db import moment
from edurise.identity.models import LoginSession


def lives(session: Session, session_id: UUID) -> bool:
    """Whether the session is neither revoked nor expired. For the system role, which alone may read sessions."""
    found = session.execute(
        select(LoginSession.revoked_at, LoginSession.expires_at).where(LoginSession.id == session_id)
    ).first()
    return found is not None and found.revoked_at is None and found.expires_at > moment(session)


def admitted(_session: Session, who: Principal) -> Principal:
    """The caller with its standing: for a hop that only asks whether the caller is let in."""
    return who
