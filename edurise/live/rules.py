"""The numbers of the attendance rule, and which interval a join or a reconnect continues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

EARLY = timedelta(minutes=15)
"""How long before its scheduled time a class may be joined."""
LATE = timedelta(minutes=10)
"""Who comes later than this after the start is late."""
CONTINUES = timedelta(seconds=30)
"""How long after its end an interval can be continued, and how long somebody who is gone still counts as present."""
STALE = timedelta(seconds=15)
"""A beat is stored every ten seconds; an interval whose last one is older than this has lost its process."""
CROWD = 100
"""Participants up to whom each of them is told of alone."""
NOTICE = timedelta(milliseconds=250)
"""How often a crowd is told of, at the most."""
MEASURE = timedelta(seconds=10)
"""How often the desk is told the figures, at the most."""


@dataclass(frozen=True)
class Span:
    """One interval of a person, as the rule looks at it."""

    id: UUID
    connection_id: UUID
    beat_at: datetime
    left_at: datetime | None
    ended_by: str | None


def is_open(status: str, scheduled_at: datetime, now: datetime) -> bool:
    """Whether a class may be joined: it is live, or it is scheduled and begins within 15 minutes (or should have)."""
    return status == "live" or (status == "scheduled" and now >= scheduled_at - EARLY)


def continued(spans: Sequence[Span], connection_id: UUID, now: datetime, *, by_itself: bool = False) -> Span | None:
    """The interval that a socket goes on with, or None where it begins one.

    ``spans`` are a person's intervals in one class, open ones first, then by their ends, newest first. In this order:

    1. the one that this socket sits in already, or sat in when a sweeper took it for lost;
    2. an open one whose process is gone: its last beat is older than 15 s;
    3. the one that ended last, if that was not more than 30 s ago. With ``by_itself`` (the door was opened again, and
       nobody asked to join) only if it ended by a closed socket or a crash.
    """
    for one in spans:
        if one.connection_id == connection_id and one.ended_by in (None, "lost"):
            return one
    for one in spans:
        if one.left_at is None and one.beat_at < now - STALE:
            return one
    last = next((one for one in spans if one.left_at is not None), None)
    if last is None or last.left_at is None or last.left_at < now - CONTINUES:
        return None
    may = ("closed", "lost") if by_itself else ("closed", "lost", "left")
    return last if last.ended_by in may else None
