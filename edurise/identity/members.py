"""The members of an organization as its administrators see them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from edurise.authz import Principal
from edurise.db import picture_url, rows
from edurise.identity.models import Person
from edurise.paging import EVERYTHING
from edurise.tenants import queries as tenants

_MEMBERS = (
    select(
        Person.id,
        Person.email,
        Person.first_name,
        Person.last_name,
        Person.is_active.label("person_is_active"),
        Person.avatar_path,
        Person.last_login_at,
        tenants.MEMBERSHIPS.c.role,
        tenants.MEMBERSHIPS.c.is_active,
        tenants.MEMBERSHIPS.c.created_at,
    )
    .join(tenants.MEMBERSHIPS, tenants.MEMBERSHIPS.c.person_id == Person.id)
    .where(tenants.MEMBERSHIPS.c.tenant_id == bindparam("tenant"))
    .order_by(tenants.MEMBERSHIPS.c.created_at.desc(), tenants.MEMBERSHIPS.c.id.desc())
    .limit(EVERYTHING)
)


def of_organization(session: Session, who: Principal) -> list[dict[str, Any]]:
    """The members of the organization at hand, the newest first, at most EVERYTHING; one statement."""
    return [
        {
            "id": row["id"],
            "email": row["email"],
            "full_name": f"{row['first_name']} {row['last_name']}".strip(),
            "first_name": row["first_name"],
            "last_name": row["last_name"],
            "role": row["role"],
            "is_active": row["is_active"] and row["person_is_active"],
            "avatar": picture_url(session, row["avatar_path"]),
            "created_at": row["created_at"],
            "last_seen": row["last_login_at"],
        }
        for row in rows(session, _MEMBERS, {"tenant": who.tenant})
    ]
