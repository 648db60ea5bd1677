"""Figures of payments."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, any_, bindparam, func, select
from sqlalchemy.orm import Session

from edurise.db import rows
from edurise.payments.models import Payment

_REVENUE = (
    select(Payment.tenant_id.label("id"), func.sum(Payment.amount_minor).label("minor"))
    .where(Payment.tenant_id == any_(bindparam("ids", type_=ARRAY(Uuid()))), Payment.status == "completed")
    .group_by(Payment.tenant_id)
)


def revenue_minor(session: Session, tenant_ids: Collection[UUID]) -> dict[UUID, int]:
    """What was paid, in minor units of the organization's currency: amounts of completed payments, of which refunded
    ones are none. One statement, or none (system role, or the acting organization)."""
    if not tenant_ids:
        return {}
    found = {row["id"]: int(row["minor"]) for row in rows(session, _REVENUE, {"ids": list(tenant_ids)})}
    return {one: found.get(one, 0) for one in tenant_ids}
