"""Places for open sockets, of which the plan of an organization allows so many over all processes.

A process holds one reservation for each organization that has sockets open in it. Its amount is what is open there, so
processes never exceed the limit together; what a killed process held is given back when its reservation expires.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy.orm import Session

from edurise.authz import Principal
from edurise.db import quotas
from edurise.tenants.quotas import SOCKETS

LASTS = timedelta(seconds=60)
"""How long a reservation outlives its last renewal."""


def occupy(session: Session, who: Principal, hold_id: UUID, there: int, more: int) -> int:
    """Hold places for ``there`` open sockets of the organization and for as many of ``more`` as its plan leaves;
    returns for how many of those."""
    return quotas(session).occupy(session, who.tenant, SOCKETS, hold_id, there, more, LASTS)


def renew(session: Session, hold_ids: Sequence[UUID]) -> list[UUID]:
    """Let reservations last on; returns those that had expired and are gone (system role)."""
    return quotas(session).renew(session, hold_ids, LASTS)
