"""What each actor still has to do about each event. This table is the truth; messages only carry it.

``next_at`` says when a delivery is to be sent: at once, after a failure's step, or, while a copy is on its way, when
that copy is to be given up. Whoever sends takes a batch by moving ``next_at`` ahead (SKIP LOCKED, so that relays do not
wait for each other) and confirms it after the broker did; a relay that dies between the two leaves a batch that falls
due again by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NoReturn, TypeVar, cast
from uuid import UUID

from sqlalchemy import CursorResult, Index, text, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from edurise.db import Base, first, moment, rows
from edurise.entering import Opening
from edurise.personal import Fate, PersonalTable, declare
from edurise.ports import Dispatch

T = TypeVar("T")

CLAIM_S = 30.0
"""How long a relay may take between claiming a batch and the broker's confirmation."""

CARRIED_BYTES = 32_768
"""The largest stored payload that travels in the message; a larger one is read from the outbox by the worker."""

ERROR_CHARACTERS = 2_000


class AlreadyDone(Exception):
    """Another copy of this delivery took effect; this one must not."""


class Misplaced(RuntimeError):
    """A programming error: a final hop entered another organization than its event's, or the delivery is not known at
    all.
    """


class Delivery(Base):
    """One event for one actor. ``attempts`` counts failures; at most one of ``done_at`` and ``dead_at`` is set."""

    __tablename__ = "deliveries"
    __table_args__ = (
        Index("ix_deliveries_due", "next_at", postgresql_where=text("done_at IS NULL AND dead_at IS NULL")),
        Index("ix_deliveries_dead", "dead_at", postgresql_where=text("dead_at IS NOT NULL")),
    )

    event_id: Mapped[UUID] = mapped_column(primary_key=True)
    actor: Mapped[str] = mapped_column(primary_key=True)
    topic: Mapped[str]
    tenant_id: Mapped[UUID | None]
    attempts: Mapped[int] = mapped_column(default=0)
    next_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    done_at: Mapped[datetime | None]
    dead_at: Mapped[datetime | None]
    last_error: Mapped[str | None]


@dataclass(frozen=True)
class Batch:
    """Claimed deliveries, oldest event first. ``until`` is when the claim lapses; it marks the claim."""

    dispatches: Sequence[Dispatch]
    until: datetime


@dataclass(frozen=True)
class Failure:
    """What became of a delivery that failed: sent again at ``next_at``, or dead."""

    attempts: int
    next_at: datetime
    dead: bool


# One statement makes the deliveries of new events, already claimed, and returns them to be sent. A topic that nobody
# wants is spread to nobody; a topic that is not known here belongs to a newer relay and stays.
_SPREAD = text("""
WITH fresh AS (
    SELECT id, topic, tenant_id, at, payload FROM outbox
     WHERE spread_at IS NULL AND topic = ANY(:known) ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED
), spread AS (
    UPDATE outbox SET spread_at = :now FROM fresh WHERE outbox.id = fresh.id
), made AS (
    INSERT INTO deliveries (event_id, actor, topic, tenant_id, attempts, next_at)
    SELECT f.id, w.actor, f.topic, f.tenant_id, 0, :until
      FROM fresh f JOIN unnest(CAST(:topics AS text[]), CAST(:actors AS text[])) AS w(topic, actor) ON w.topic = f.topic
    ON CONFLICT DO NOTHING
    RETURNING event_id, actor
)
SELECT made.event_id, made.actor, f.topic, f.tenant_id, f.at, 0 AS attempts, false AS again,
       CASE WHEN pg_column_size(f.payload) <= :carried THEN f.payload END AS payload
  FROM made JOIN fresh f ON f.id = made.event_id
 ORDER BY made.event_id, made.actor
""")

_DUE = text("""
WITH due AS (
    SELECT event_id, actor FROM deliveries
     WHERE next_at <= :now AND done_at IS NULL AND dead_at IS NULL AND actor = ANY(:actors)
     ORDER BY next_at LIMIT :limit FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE deliveries d SET next_at = :until FROM due WHERE d.event_id = due.event_id AND d.actor = due.actor
    RETURNING d.event_id, d.actor, d.topic, d.tenant_id, d.attempts
)
SELECT c.event_id, c.actor, c.topic, c.tenant_id, coalesce(o.at, :now) AS at, c.attempts, true AS again,
       CASE WHEN pg_column_size(o.payload) <= :carried THEN o.payload END AS payload
  FROM claimed c LEFT JOIN outbox o ON o.id = c.event_id
 ORDER BY c.event_id, c.actor
""")

# SKIP LOCKED, because a worker may hold the row in its final hop already; such a row needs no mark.
_SETTLE = text("""
WITH sent AS (
    SELECT d.event_id, d.actor FROM deliveries d
      JOIN unnest(CAST(:ids AS uuid[]), CAST(:actors AS text[])) AS s(event_id, actor)
        ON d.event_id = s.event_id AND d.actor = s.actor
     WHERE d.next_at = :until AND d.done_at IS NULL AND d.dead_at IS NULL FOR UPDATE OF d SKIP LOCKED
)
UPDATE deliveries d SET sent_at = :sent_at, next_at = :next_at
  FROM sent WHERE d.event_id = sent.event_id AND d.actor = sent.actor
""")

# Sent to the driver as it stands: these run once for each delivery.
_DONE = """
UPDATE deliveries SET done_at = %s WHERE event_id = %s AND actor = %s AND done_at IS NULL AND dead_at IS NULL
"""
_SEEN = "SELECT done_at IS NOT NULL OR dead_at IS NOT NULL FROM deliveries WHERE event_id = %s AND actor = %s"


def claim(session: Session, wanted: Mapping[str, Sequence[str]], limit: int, claim_s: float = CLAIM_S) -> Batch:
    """Spread new events and claim what is due, up to ``limit`` events and ``limit`` repeats, for a relay that knows
    ``wanted`` (system role).

    ``wanted`` maps every known topic to the actors that want it. Deliveries of other actors are left alone.
    """
    now = moment(session)
    until = now + timedelta(seconds=claim_s)
    pairs = [(topic, actor) for topic, actors in wanted.items() for actor in actors]
    names = sorted({actor for _, actor in pairs})
    common = {"now": now, "until": until, "limit": limit, "carried": CARRIED_BYTES}
    repeated = [_dispatch(row) for row in rows(session, _DUE, {**common, "actors": names})]
    spread = rows(
        session,
        _SPREAD,
        {
            **common,
            "known": sorted(wanted),
            "topics": [topic for topic, _ in pairs],
            "actors": [actor for _, actor in pairs],
        },
    )
    return Batch([*repeated, *(_dispatch(row) for row in spread)], until)


def mark_sent(session: Session, batch: Batch, sent: Sequence[Dispatch], resend_s: float) -> None:
    """Note that the broker confirmed these: sent again only if they are not done after ``resend_s`` (system role)."""
    now = moment(session)
    _settle(session, batch, sent, now, now + timedelta(seconds=resend_s))


def release(session: Session, batch: Batch, unsent: Sequence[Dispatch], in_s: float) -> None:
    """Give back what the broker did not confirm; it falls due again in ``in_s`` (system role)."""
    _settle(session, batch, unsent, None, moment(session) + timedelta(seconds=in_s))


def recall(session: Session) -> int:
    """Make everything that was sent and is not done due now: for a transport that forgets when its process ends (system
    role).
    """
    statement = update(Delivery).where(
        Delivery.sent_at.is_not(None), Delivery.done_at.is_(None), Delivery.dead_at.is_(None)
    )
    found = session.execute(statement.values(sent_at=None, next_at=moment(session)))
    return cast("CursorResult[Any]", found).rowcount


def is_open(session: Session, event_id: UUID, actor: str) -> bool:
    """Whether the delivery still waits to be done (system role)."""
    found = session.get(Delivery, (event_id, actor))
    return found is not None and found.done_at is None and found.dead_at is None


def mark_done(session: Session, event_id: UUID, actor: str) -> None:
    """Mark the delivery done in this transaction, before the effects: the row lock makes a second copy wait, and then
    find it done.

    Raises AlreadyDone if it is done or dead; Misplaced if this hop cannot see it.
    """
    done = session.connection().exec_driver_sql(_DONE, (moment(session), str(event_id), actor))
    if not done.rowcount:
        _refuse(session, event_id, actor)


def _refuse(session: Session, event_id: UUID, actor: str) -> NoReturn:
    seen = session.connection().exec_driver_sql(_SEEN, (str(event_id), actor)).scalar()
    if seen is None:
        raise Misplaced(f"no delivery of event {event_id} to {actor} in the organization that its final hop entered")
    raise AlreadyDone


def closing(dispatch: Dispatch, now: datetime) -> Opening:
    """``mark_done`` as the opening of a final hop."""

    def touched(session: Session, count: int) -> None:
        if not count:
            _refuse(session, dispatch.event_id, dispatch.actor)

    return Opening(_DONE, (now, str(dispatch.event_id), dispatch.actor), touched)


def finishing(dispatch: Dispatch, fn: Callable[..., T]) -> Callable[..., T]:
    """``fn`` as a final hop: it runs once for the delivery, in the transaction that marks it done. Raises as
    ``mark_done``.
    """

    def finish(session: Session, *args: Any) -> T:
        mark_done(session, dispatch.event_id, dispatch.actor)
        return fn(session, *args)

    return finish


def mark_failed(
    session: Session,
    dispatch: Dispatch,
    error: str,
    steps_s: Sequence[float],
    fatal: bool = False,
    not_before_s: float = 0.0,
) -> Failure | None:
    """Count a failure (system role): the next step of ``steps_s``, or dead after the last one or if ``fatal``.

    ``not_before_s`` is what a limiting or overloaded service asked for. Returns None where there is nothing to count:
    the delivery is done, dead or gone, or the failure is of a stale copy.
    """
    found = session.get(Delivery, (dispatch.event_id, dispatch.actor), with_for_update=True)
    if found is None or found.done_at or found.dead_at or found.attempts != dispatch.attempts:
        return None
    now = moment(session)
    dead = fatal or found.attempts >= len(steps_s)
    found.attempts += 1
    found.sent_at = None
    found.last_error = error[:ERROR_CHARACTERS].replace("\0", "")
    if dead:
        found.dead_at = now
    else:
        found.next_at = now + timedelta(seconds=max(steps_s[found.attempts - 1], not_before_s))
    return Failure(found.attempts, found.next_at, dead)


def dead(session: Session, limit: int = 100) -> list[dict[str, Any]]:
    """The dead deliveries, the latest first (system role)."""
    statement = text("""
        SELECT event_id, actor, topic, tenant_id, attempts, dead_at, last_error FROM deliveries
         WHERE dead_at IS NOT NULL ORDER BY dead_at DESC, event_id DESC LIMIT :limit
    """)
    return rows(session, statement, {"limit": limit})


def show(session: Session, event_id: UUID) -> list[dict[str, Any]]:
    """Every delivery of an event, with the event itself (system role)."""
    statement = text("""
        SELECT d.*, o.at, o.payload FROM deliveries d LEFT JOIN outbox o ON o.id = d.event_id
         WHERE d.event_id = :id ORDER BY d.actor
    """)
    return rows(session, statement, {"id": event_id})


def replay(session: Session, event_id: UUID | None = None, actor: str | None = None) -> int:
    """Make dead deliveries due again, with all their attempts: of an event, of an actor, of both or all (system role).
    Returns how many.
    """
    statement = update(Delivery).where(Delivery.dead_at.is_not(None))
    if event_id is not None:
        statement = statement.where(Delivery.event_id == event_id)
    if actor is not None:
        statement = statement.where(Delivery.actor == actor)
    found = session.execute(statement.values(dead_at=None, attempts=0, next_at=moment(session), sent_at=None))
    return cast("CursorResult[Any]", found).rowcount


def forget_done(session: Session, kept: timedelta, limit: int = 10_000) -> int:
    """Delete deliveries that were done longer than ``kept`` ago, at most ``limit`` (system role); returns how many.

    They are found by their key, which begins with the time of the event: an index of ``done_at`` would cost every
    delivery a write.
    """
    before = moment(session) - kept
    statement = text("""
        DELETE FROM deliveries d USING (
            SELECT event_id, actor FROM deliveries WHERE event_id < :floor AND done_at < :before
             ORDER BY event_id LIMIT :limit FOR UPDATE SKIP LOCKED) AS old
         WHERE d.event_id = old.event_id AND d.actor = old.actor
    """)
    floor = UUID(int=int(before.timestamp() * 1000) << 80)  # the lowest UUIDv7 of that moment
    found = session.execute(statement, {"before": before, "floor": floor, "limit": limit})
    return cast("CursorResult[Any]", found).rowcount


def counts(session: Session, late_s: float = 60.0) -> dict[str, int]:
    """How many deliveries are dead and how many are overdue by more than ``late_s``, for operators (system role)."""
    statement = text("""
        SELECT (SELECT count(*) FROM deliveries WHERE dead_at IS NOT NULL) AS dead,
               (SELECT count(*) FROM deliveries WHERE done_at IS NULL AND dead_at IS NULL AND next_at < :late) AS late
    """)
    found = first(session, statement, {"late": moment(session) - timedelta(seconds=late_s)})
    return cast("dict[str, int]", found)


def _settle(
    session: Session, batch: Batch, chosen: Sequence[Dispatch], sent_at: datetime | None, next_at: datetime
) -> None:
    if not chosen:
        return
    session.execute(
        _SETTLE,
        {
            "ids": [str(one.event_id) for one in chosen],
            "actors": [one.actor for one in chosen],
            "until": batch.until,
            "sent_at": sent_at,
            "next_at": next_at,
        },
    )


def _dispatch(row: Mapping[str, Any]) -> Dispatch:
    return Dispatch(
        event_id=row["event_id"],
        actor=row["actor"],
        topic=row["topic"],
        tenant_id=row["tenant_id"],
        at=row["at"],
        payload=row["payload"],
        attempts=row["attempts"],
        again=row["again"],
    )


declare(
    PersonalTable(
        section="outbox",
        table="deliveries",
        person=("last_error",),
        fate=Fate.KEPT,
        export=None,
        erase=None,
        because="Work under way, which names events and codes of errors; a row goes seven days after it was done.",
    )
)
