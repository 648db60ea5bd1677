"""A person's log-in sessions as they see and end them. System role: the application role has no grant on sessions."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from edurise import audit
from edurise.authz import Principal
from edurise.db import moment, rows
from edurise.errors import NotFound
from edurise.identity.models import LoginSession
from edurise.identity.sessions import Lifetimes, revoke
from edurise.tenants import queries as tenants

_COLUMNS = (
    LoginSession.id,
    LoginSession.user_agent,
    LoginSession.ip,
    LoginSession.method,
    LoginSession.tenant_id,
    LoginSession.created_at,
    LoginSession.used_at,
    LoginSession.expires_at,
)
_MOST = 1000


def listing(session: Session, who: Principal) -> list[dict[str, Any]]:
    """The caller's live sessions, the last used first; ``used_at`` is when one was opened or refreshed last."""
    query = (
        select(*_COLUMNS)
        .where(*_live(session, who.person))
        .order_by(LoginSession.used_at.desc(), LoginSession.id.desc())
        .limit(_MOST)
    )
    found = rows(session, query)
    names = tenants.names(session, {row["tenant_id"] for row in found if row["tenant_id"] is not None})
    return [
        {
            "id": row["id"],
            "user_agent": row["user_agent"],
            "ip_address": row["ip"],
            "method": row["method"],
            "organization_name": names.get(row["tenant_id"], ""),
            "created_at": row["created_at"],
            "last_used_at": row["used_at"],
            "expires_at": row["expires_at"],
            "is_current": row["id"] == who.session_id,
        }
        for row in found
    ]


def end(session: Session, who: Principal, session_id: UUID, life: Lifetimes) -> None:
    """End one of the caller's sessions; the same again changes nothing. Raises NotFound for anybody else's."""
    owner = session.scalar(select(LoginSession.person_id).where(LoginSession.id == session_id))
    if owner != who.person:
        raise NotFound
    revoke(session, session_id, life)
    audit.write(session, who, "session.ended", "session", session_id)


def end_all(session: Session, who: Principal, life: Lifetimes, *, keep_current: bool) -> int:
    """End the caller's sessions, all or all others; returns how many."""
    ended = revoke_all(session, who.person, life, but=who.session_id if keep_current else None)
    audit.write(session, who, "session.all_ended", "person", who.person, count=ended)
    return ended


def revoke_all(session: Session, person_id: UUID, life: Lifetimes, but: UUID | None = None) -> int:
    """Revoke every live session of a person but one; returns how many."""
    found = session.scalars(select(LoginSession.id).where(*_live(session, person_id)).order_by(LoginSession.id)).all()
    ended = [one for one in found if one != but]
    for one in ended:
        revoke(session, one, life)
    return len(ended)


def _live(session: Session, person_id: UUID) -> tuple[Any, ...]:
    return (
        LoginSession.person_id == person_id,
        LoginSession.revoked_at.is_(None),
        LoginSession.expires_at > moment(session),
    )
