"""The members of an organization as a sheet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy.orm import Session

from edurise import audit
from edurise.authz import Principal
from edurise.identity import people
from edurise.paging import Window

HEADINGS = (
    *("id", "email", "first_name", "last_name", "role", "is_active", "is_verified", "is_approved_teacher"),
    *("teacher_approval_status", "date_joined", "last_login"),
)
MOST = 100_000


def rows(session: Session, who: Principal) -> list[tuple[Any, ...]]:
    """One row for each member of the acting organization, the newest first, at most MOST; that it was taken is
    audited."""
    found = people.listing(session, who, {}, Window(1, MOST))
    audit.write(session, who, "person.exported", "organization", who.tenant, rows=len(found.rows))
    return list(_cells(found.rows))


def _cells(views: list[dict[str, Any]]) -> Iterator[tuple[Any, ...]]:
    for view in views:
        told = view | {"teacher_approval_status": view["current_profile"]["teacher_approval_status"]}
        yield tuple(told[name] for name in HEADINGS)
