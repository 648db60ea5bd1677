"""Where socket figures are measured: one channel that a thousand people may follow, and correctly numbered events."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

import orjson
from sqlalchemy import NullPool, create_engine, text

from benchmarks.stage import Person, Stage
from edurise import channels
from edurise.adapters.clock import SystemClock
from edurise.authz import actor_principal
from edurise.db import Database, Urls
from tests.harness.machine import redis_prefix

READY = '"connection_established"'
DATA_BYTES = 200
_MOST = 999


@dataclass
class Room:
    """A channel and how its door is opened. ``offset`` and ``epoch`` are those of its last event."""

    channel: str
    door: str
    people: Sequence[Person]
    offset: int
    epoch: UUID

    def paths(self, count: int) -> list[str]:
        """The door for ``count`` sockets, everybody in turn."""
        people = itertools.islice(itertools.cycle(self.people), count)
        return [f"{self.door}?token={one.token}" for one in people]

    def events(self, count: int) -> list[list[str]]:
        """The next events as the fast path announces them after a commit: [key, body]. They are not stored, which
        nobody misses: the hub asks the database for what lies between, and nothing does."""
        found = []
        for _ in range(count):
            self.offset += 1
            event = [self.offset, self.epoch, "class_announcement", announcement(), datetime.now(UTC)]
            body = orjson.dumps(event, option=orjson.OPT_UTC_Z)
            found.append([f"{redis_prefix()}ch:{self.channel}", body.decode()])
        return found


def announcement() -> dict[str, str]:
    """What a teacher says: 200 bytes as JSON."""
    said = {"message": "", "timestamp": "2026-01-01T10:00:00.000Z", "user_name": "Ada Example"}
    return {**said, "message": "m" * (DATA_BYTES - len(orjson.dumps(said)))}


def notifications_room(stage: Stage) -> Room:
    """One person's notifications, on however many sockets."""
    one = stage.log_in(1)[0]
    channel = f"notifications:{one.id}"
    db = Database(Urls(stage.urls.application, stage.urls.system), SystemClock())
    who = replace(actor_principal(stage.bulk.tenants[0]), user_id=one.id)
    try:
        first = db.run_sync(who, lambda session, _: channels.append(session, channel, "class_announcement", {}))
    finally:
        db.close()
    return Room(channel, "/ws/notifications/", [one], first.offset, first.epoch)
