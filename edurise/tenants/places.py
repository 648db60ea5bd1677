"""Places of sockets as one process holds them: a reservation of an organization's plan, while it is renewed."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from sqlalchemy.orm import Session

from edurise.authz import Principal
from edurise.db import moment, quotas
from edurise.tenants.quotas import SOCKETS

LASTS = timedelta(seconds=90)
"""How long a reservation outlives the process that held it."""


def hold(session: Session, who: Principal, hold_id: UUID, least: int, spare: int) -> int:
    """Let a reservation of places of the acting organization be of ``least``, and of up to ``spare`` more where much is
    left; returns what it is of, which is less where the plan has less left.

    Raises NotFound where more is wanted of a closed organization.
    """
    return quotas(session).hold(session, who.tenant, SOCKETS, hold_id, least, spare, moment(session) + LASTS)


def prolong(session: Session, hold_ids: Collection[UUID]) -> dict[UUID, int]:
    """Let reservations last; returns what their organizations have left, without those that have expired (system
    role)."""
    return quotas(session).prolong(session, hold_ids, moment(session) + LASTS)


def release(session: Session, hold_ids: Collection[UUID]) -> None:
    """End reservations, as a process does that goes (system role)."""
    for hold_id in sorted(hold_ids):
        quotas(session).release(session, hold_id)
