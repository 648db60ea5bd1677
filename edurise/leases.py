"""Leadership as a row: whoever holds the lease leads until it lapses. (An advisory lock would give two leaders behind
PgBouncer.)
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, delete, or_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from edurise.db import Base, moment


class Lease(Base):
    """Who leads ``name``, and until when."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    until: Mapped[datetime]


class JobRun(Base):
    """When a job was last started; a failed run is dated back, so that it is due again sooner."""

    __tablename__ = "job_runs"

    name: Mapped[str] = mapped_column(primary_key=True)
    last_at: Mapped[datetime]


def take(session: Session, name: str, holder: str, ttl_s: float) -> bool:
    """Take the lease, or keep it, for ``ttl_s`` seconds; returns whether ``holder`` holds it now (system role)."""
    now = moment(session)
    fresh = insert(Lease).values(name=name, holder=holder, until=now + timedelta(seconds=ttl_s))
    statement = fresh.on_conflict_do_update(
        index_elements=[Lease.name],
        set_={"holder": fresh.excluded.holder, "until": fresh.excluded.until},
        where=or_(Lease.holder == holder, Lease.until <= now),
    )
    return bool(cast("CursorResult[Any]", session.execute(statement)).rowcount)


def give_up(session: Session, name: str, holder: str) -> None:
    """Release the lease early, if ``holder`` still holds it (system role)."""
    session.execute(delete(Lease).where(Lease.name == name, Lease.holder == holder))


def start_job(session: Session, name: str, every_s: float) -> bool:
    """Claim the run of a job that is due every ``every_s`` seconds; returns whether it is due now (system role)."""
    now = moment(session)
    fresh = insert(JobRun).values(name=name, last_at=now)
    statement = fresh.on_conflict_do_update(
        index_elements=[JobRun.name],
        set_={"last_at": fresh.excluded.last_at},
        where=JobRun.last_at <= now - timedelta(seconds=every_s),
    )
    return bool(cast("CursorResult[Any]", session.execute(statement)).rowcount)


def repeat_job(session: Session, name: str, every_s: float, in_s: float) -> None:
    """Make a job that failed due again in ``in_s`` seconds, at the latest at its next regular run (system role)."""
    last_at = moment(session) - timedelta(seconds=max(every_s - in_s, 0.0))
    fresh = insert(JobRun).values(name=name, last_at=last_at)
    session.execute(fresh.on_conflict_do_update(index_elements=[JobRun.name], set_={"last_at": fresh.excluded.last_at}))
