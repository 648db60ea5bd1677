"""What the audit knows of a person's own acts."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from edurise import audit
from edurise.authz import Principal
from edurise.paging import Found, Window


def own(session: Session, who: Principal, window: Window) -> Found:
    """The caller's acts over all organizations, the newest first: ``{id, action, timestamp, ip_address, user_agent,
    details}``. Asks for the self scope."""
    found = audit.of_person(session, who.person, window)
    return Found(found.count, [_view(row) for row in found.rows])


def _view(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "action": row["action"],
        "timestamp": row["at"],
        "ip_address": row["ip"],
        "user_agent": row["user_agent"],
        "details": row["details"],
    }
