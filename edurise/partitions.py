"""Monthly partitions of outbox, audit and activity. The database's definer functions make and drop them; the scheduler
only asks.
"""

from __future__ import annotations

from datetime import date
from typing import Literal, cast

from sqlalchemy import text
from sqlalchemy.orm import Session

Partitioned = Literal["outbox", "audit_log", "activity"]


def ensure(session: Session, months_ahead: int = 2) -> int:
    """Make the partitions of this month and the next ones where missing; returns how many were made (system role)."""
    return cast("int", session.scalar(text("SELECT ensure_partitions(:ahead)"), {"ahead": months_ahead}))


def drop(session: Session, table: Partitioned, before: date) -> list[str]:
    """Drop the partitions whose whole month lies before ``before``; returns their names (system role).

    A month of the outbox stays while one of its events has an open or dead delivery, or none yet.
    """
    found = session.scalar(text("SELECT drop_partitions(:name, :before)"), {"name": table, "before": before})
    return cast("list[str]", found)
