"""Figures of memberships."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, any_, bindparam, func, select
from sqlalchemy.orm import Session

from edurise.db import rows
from edurise.tenants.models import Membership

_MEMBERS = (
    select(Membership.tenant_id.label("id"), func.count().label("count"))
    .where(Membership.tenant_id == any_(bindparam("ids", type_=ARRAY(Uuid()))), Membership.is_active)
    .group_by(Membership.tenant_id)
)


def members(session: Session, tenant_ids: Collection[UUID]) -> dict[UUID, int]:
    """How many active memberships organizations have; one statement, or none (system role, or the acting one)."""
    if not tenant_ids:
        return {}
    found = {row["id"]: row["count"] for row in rows(session, _MEMBERS, {"ids": list(tenant_ids)})}
    return {one: found.get(one, 0) for one in tenant_ids}
