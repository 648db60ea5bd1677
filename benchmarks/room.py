"""Where socket figures are measured: a live class of a course that a thousand people learn in, and its events."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy.orm import Session

from benchmarks.stage import Person, Stage
from edurise import channels
from edurise.adapters.clock import SystemClock
from edurise.authz import About, Principal
from edurise.db import Database, Urls
from edurise.live import service
from edurise.live.permissions import Live
from tests.harness.machine import redis_prefix

READY = '"connection_established"'
SAID_BYTES = 200
"""The data of an announcement, as JSON."""


@dataclass
class Room:
    """A live class. ``offset`` and ``epoch`` are those of the last event of its channel; ``people`` have tokens."""

    class_id: UUID
    teacher: Person
    people: Sequence[Person]
    offset: int
    epoch: UUID

    def paths(self, count: int) -> list[str]:
        """The learners' door for ``count`` sockets, everybody in turn."""
        people = itertools.islice(itertools.cycle(self.people), count)
        return [f"/ws/live-class/{self.class_id}/?token={one.token}" for one in people]

    @property
    def desk_path(self) -> str:
        """The teacher's door."""
        return f"/ws/live-class/{self.class_id}/instructor/?token={self.teacher.token}"

    def events(self, count: int) -> list[list[str]]:
        """The next events of the channel as the fast path announces them after a commit: [key, body].

        They are not stored. The hub takes them all the same: their numbers follow each other, and those stored in the
        database lie behind.
        """
        found = []
        key = f"{redis_prefix()}ch:{service.class_channel(self.class_id)}"
        for _ in range(count):
            self.offset += 1
            event = [self.offset, self.epoch, "class_announcement", _announcement(), datetime.now(UTC)]
            found.append([key, orjson.dumps(event, option=orjson.OPT_UTC_Z).decode()])
        return found

    def frames(self, count: int) -> list[str]:
        """What the teacher sends to say as much as often."""
        said = {"type": "send_announcement", "data": {"message": _announcement()["message"]}}
        return [orjson.dumps(said).decode()] * count


def open_room(stage: Stage, learners: int) -> Room:
    """Start the class that everybody may come to, and log in its teacher and so many learners."""
    bulk = stage.bulk
    teacher, *people = stage.log_in_as([bulk.crowd_teacher, *bulk.students[1 : learners + 1]])
    who = Principal(user_id=teacher.id, wanted=bulk.tenants[0], needs=Live.TEACH)
    db = Database(Urls(stage.urls.application, stage.urls.system), SystemClock())

    def started(session: Session, who: Principal) -> channels.Replay:
        service.start(session, who, bulk.crowd)
        return channels.read(session, who, service.class_channel(bulk.crowd), None, None)

    try:
        found: Any = db.run_sync(who, started, about=About("live_class", bulk.crowd))
    finally:
        db.close()
    if found.epoch is None:
        raise RuntimeError("the class's channel has no event")
    return Room(bulk.crowd, teacher, people, found.head, found.epoch)


def _announcement() -> dict[str, str]:
    said = {"message": "", "timestamp": "2026-01-01T10:00:00.000Z", "user_name": "Ada Example"}
    return {**said, "message": "m" * (SAID_BYTES - len(orjson.dumps(said)))}
