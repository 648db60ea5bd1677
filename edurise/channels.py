"""Durable channels: events numbered and stored in the transaction that makes them, and read back from any position.

A *position* is (offset, epoch): the number of the last event that a reader has, and the numbering that it counts in.
Offsets count from 1 without gaps, in the order of the commits. The epoch changes only when a channel is numbered anew.
A channel that never had an event has no row; its position is (0, None), and stays valid until an event is trimmed.

What follows a commit (``AfterCommit.events``) is only the fast path: whatever it loses is found by comparing offsets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Concatenate, ParamSpec, TypeVar
from uuid import UUID

import orjson
from sqlalchemy import BigInteger, CheckConstraint, Connection, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, Session, mapped_column

from edurise.authz import Principal
from edurise.db import Base, WrongTenant, after_commit, moment
from edurise.personal import Fate, PersonalTable, declare, deleting, running
from edurise.ports import ChannelEvent

P = ParamSpec("P")
T = TypeVar("T")

REPLAY_LIMIT = 1000
"""A reader that missed more events than this is told to load the state anew."""

PERSONAL = frozenset({"notifications"})
"""Kinds of channel that belong to one person, whose id follows the colon. All others belong to an organization."""

_APPEND = "SELECT number, epoch FROM channel_append(%s, %s, %s, %s, %s)"
_HEADS = "SELECT name, head, epoch FROM channels WHERE name = ANY(%s)"
_HEAD = "SELECT head, epoch FROM channels WHERE name = %s"
# One statement, so that position and events are of one snapshot.
_READ = """
SELECT c.head, c.epoch, c.trimmed_to, e."offset", e.type, e.data, e.at
  FROM channels c
  LEFT JOIN LATERAL (
       SELECT "offset", type, data, at FROM channel_events
        WHERE channel = c.name AND "offset" > %(after)s AND "offset" <= c.head
        ORDER BY "offset" LIMIT %(limit)s) e ON %(after)s >= 0
 WHERE c.name = %(channel)s
 ORDER BY e."offset"
"""
_TRIM = """
WITH gone AS (
    DELETE FROM channel_events WHERE (channel, "offset") IN (
        SELECT channel, "offset" FROM channel_events WHERE at < %s ORDER BY at LIMIT %s FOR UPDATE SKIP LOCKED)
    RETURNING channel, "offset"),
moved AS (
    UPDATE channels c SET trimmed_to = greatest(c.trimmed_to, g.top)
      FROM (SELECT channel, max("offset") AS top FROM gone GROUP BY channel) g WHERE c.name = g.channel)
SELECT count(*) FROM gone
"""
# What a class was told names the people in it. Everything in a channel up to the last such event goes, as events do by
# age, so that a reader behind it loads the state anew; a name that somebody else has too costs them no more than that.
_FORGET = """
WITH told AS (
    SELECT e.channel, max(e."offset") AS top
      FROM channel_events e JOIN people p ON p.id = :person
     WHERE e.person_id IS NULL AND (position(p.id::text IN e.data::text) > 0
        OR position(lower(p.email) IN lower(e.data::text)) > 0
        OR length(p.first_name || p.last_name) > 1
           AND position(btrim(p.first_name || ' ' || p.last_name) IN e.data::text) > 0)
     GROUP BY e.channel),
moved AS (
    UPDATE channels c SET trimmed_to = greatest(c.trimmed_to, told.top) FROM told WHERE c.name = told.channel)
DELETE FROM channel_events e USING told WHERE e.channel = told.channel AND e."offset" <= told.top
"""


class Channel(Base):
    """The head of a channel. ``trimmed_to`` is the highest offset that was removed: no older position continues."""

    __tablename__ = "channels"
    __table_args__ = (
        CheckConstraint("num_nonnulls(tenant_id, person_id) = 1", name="owner"),
        CheckConstraint("0 <= trimmed_to AND trimmed_to <= head", name="numbers"),
    )

    name: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID | None] = mapped_column(ForeignKey("organizations.id"), index=True)
    person_id: Mapped[UUID | None] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), index=True)
    epoch: Mapped[UUID]
    head: Mapped[int] = mapped_column(BigInteger)
    trimmed_to: Mapped[int] = mapped_column(BigInteger, default=0)


class StoredEvent(Base):
    """One event of a channel. ``channel_append`` alone writes it, and repeats the owner here for the policies."""

    __tablename__ = "channel_events"
    __table_args__ = (Index(None, "at"),)

    channel: Mapped[str] = mapped_column(ForeignKey("channels.name", ondelete="CASCADE"), primary_key=True)
    offset: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    tenant_id: Mapped[UUID | None]
    person_id: Mapped[UUID | None]
    type: Mapped[str]
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)
    at: Mapped[datetime]


@dataclass(frozen=True)
class Replay:
    """What a reader at a position has to know.

    ``recovered`` says that ``events`` are all that followed its position; otherwise there are none, and the reader
    loads the state anew. ``start`` is the offset from which it goes on in either case, before ``events``; without a
    recovery that is ``head`` in a durable channel.
    """

    recovered: bool
    events: list[ChannelEvent]
    head: int
    epoch: UUID | None
    start: int


def append(
    session: Session,
    channel: str,
    type: str,  # noqa: A002 - the frame's own word
    data: dict[str, object],
    tenant_id: UUID | None = None,
) -> ChannelEvent:
    """Number and store an event in this transaction, and announce it after the commit. One statement.

    The head row is locked until the commit: two hops that append to the same two channels must do so in the same order.
    ``tenant_id``, where given, must be the organization entered. ``data`` is what orjson can write, with string keys.
    """
    if tenant_id is not None and tenant_id != session.info.get("tenant"):
        raise WrongTenant(f"an event for {tenant_id} while acting in {session.info.get('tenant')}")
    at = moment(session)
    owner = owner_of(channel)
    values = (
        channel,
        str(owner) if owner else None,
        type,
        orjson.dumps(data, option=orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC).decode(),
        at,
    )
    number, epoch = session.connection().exec_driver_sql(_APPEND, values).one()
    event = ChannelEvent(channel, number, _uuid(epoch), type, data, at)
    after_commit(session).events.append(event)
    return event


def owner_of(channel: str) -> UUID | None:
    """The person whom the channel belongs to, or None for an organization's. Raises ValueError for what is no name."""
    kind, colon, rest = channel.partition(":")
    if not (kind and colon and rest):
        raise ValueError(f"{channel!r} is no channel name")
    return UUID(rest) if kind in PERSONAL else None


def read(
    session: Session, _who: Principal, channel: str, after: int | None, epoch: UUID | None, limit: int = REPLAY_LIMIT
) -> Replay:
    """What followed a position in a channel that the caller may see; with ``after`` None, where the channel stands now.

    A position is refused (``recovered`` False) when the epoch differs, when something after it was trimmed, when it
    lies past the head or more than ``limit`` behind it. One statement. Under row-level security a channel of somebody
    else looks like one without events.
    """
    found = replay(session, channel, after, epoch, limit)
    if found.recovered and found.head - found.start > limit:
        return Replay(False, [], found.head, found.epoch, found.head)
    return found


def replay(session: Session, channel: str, after: int | None, epoch: UUID | None, limit: int = REPLAY_LIMIT) -> Replay:
    """The same without a caller, for a reader that was admitted before: as the system role, and ``limit`` is a page.

    The next page follows the last event, for as long as that is not yet ``head``.
    """
    values = {"channel": channel, "after": -1 if after is None else after, "limit": limit}
    found = session.connection().exec_driver_sql(_READ, values).all()
    if not found:
        return Replay(after == 0 and epoch is None, [], 0, None, 0)
    head, held, trimmed_to = found[0][0], _uuid(found[0][1]), found[0][2]
    if after is None or not (trimmed_to <= after <= head and (epoch == held or (epoch is None and after == 0))):
        return Replay(False, [], head, held, head)
    events = [
        ChannelEvent(channel, row[3], held, row[4], row[5], row[6].astimezone(UTC))
        for row in found
        if row[3] is not None
    ]
    return Replay(True, events, head, held, after)


def opening(
    session: Session,
    who: Principal,
    /,
    channel: str,
    after: int | None,
    epoch: UUID | None,
    state: Callable[Concatenate[Session, Principal, P], T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> tuple[Replay, T]:
    """Position first, then ``state(session, who, …)``, such that the state is exactly the one at the position's head.

    READ COMMITTED gives each statement a snapshot of its own; if the head moved while the state was read, both are read
    again. In the third round the state may already hold what the first following events say.
    """
    for _ in range(2):
        found, held = read(session, who, channel, after, epoch), state(session, who, *args, **kwargs)
        if _head(session, channel) == (found.head, found.epoch):
            return found, held
    return read(session, who, channel, after, epoch), state(session, who, *args, **kwargs)


def heads(session: Session, channels: Sequence[str]) -> dict[str, tuple[int, UUID]]:
    """Where each of the channels stands, (head, epoch); those without an event are absent. One statement."""
    found = session.connection().exec_driver_sql(_HEADS, (list(channels),))
    return {name: (head, _uuid(epoch)) for name, head, epoch in found}


def trim(session: Session, keep_days: float, limit: int = 5000) -> int:
    """Remove events older than ``keep_days`` days by the hop's clock, at most ``limit``; returns how many went.

    For the system role. A position before what was removed does not continue. Repeat while the answer is ``limit``.
    """
    before = moment(session) - timedelta(days=keep_days)
    removed: int = session.connection().exec_driver_sql(_TRIM, (before, limit)).scalar_one()
    return removed


def _head(session: Session, channel: str) -> tuple[int, UUID | None]:
    connection: Connection = session.connection()
    found = connection.exec_driver_sql(_HEAD, (channel,)).first()
    return (found[0], _uuid(found[1])) if found else (0, None)


def _uuid(value: object) -> UUID:
    return value if isinstance(value, UUID) else UUID(str(value))


declare(
    PersonalTable(
        section="channels",
        table="channel_events",
        person=("person_id",),
        fate=Fate.DELETED,
        export=None,
        erase=running(text(_FORGET)),
        because="Copies of notifications, and of what a class was told, for those whose connection broke.",
    )
)
declare(
    PersonalTable(
        section="channels",
        table="channels",
        person=("person_id",),
        fate=Fate.DELETED,
        export=None,
        erase=deleting(Channel.person_id),
        because="How many events a channel had; those of the person go with it.",
    )
)
