"""Where socket figures are measured: a live class of a course that a thousand people learn in, and its events."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson

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
            event = [self.offset, self.epoch, "class_announcement", _announcement(), SystemClock().now()]
            found.append([key, orjson.dumps(event, option=orjson.OPT_UTC_Z).decode()])
        return found

    def frames(self, count: int) -> list[str]:
        """What the teacher sends to say as much as often."""
        said = {"type": "send_announcement", "data": {"message": _announcement()["message"]}}
        return [orjson.dumps(said).decode()] * count

    def catch_up(self, stage: Stage) -> None:
        """Take the channel's position from the database: people who joined and what the teacher said were numbered
        there."""
        with _database(stage) as db:
            channel = service.class_channel(self.class_id)
            self.offset, self.epoch = db.system_sync(channels.heads, [channel])[channel]


def open_room(stage: Stage, learners: int) -> Room:
    """Begin a new class of the course that everybody learns in, and log in its teacher and so many learners."""
    bulk = stage.bulk
    teacher, *people = stage.log_in_as([bulk.crowd_teacher, *bulk.students[1 : learners + 1]])
    who = Principal(user_id=teacher.id, wanted=bulk.tenants[0], needs=Live.TEACH)
    told = {
        "course_id": bulk.free[0],
        "title": "Questions and answers",
        "scheduled_at": SystemClock().now(),
        "duration_minutes": 60,
    }
    with _database(stage) as db:
        _, made = db.run_sync(
            who, service.create, told, None, "https://example.org/", about=About("course", bulk.free[0])
        )
        class_id = UUID(str(made["id"]))
        db.run_sync(who, service.start, class_id, about=About("live_class", class_id))
    room = Room(class_id, teacher, people, 0, UUID(int=0))
    room.catch_up(stage)
    return room


@contextlib.contextmanager
def _database(stage: Stage) -> Iterator[Database]:
    db = Database(Urls(stage.urls.application, stage.urls.system), SystemClock())
    try:
        yield db
    finally:
        db.close()


def _announcement() -> dict[str, str]:
    said = {"message": "", "timestamp": "2026-01-01T10:00:00.000Z", "user_name": "Ada Example"}
    return {**said, "message": "m" * (SAID_BYTES - len(orjson.dumps(said)))}
