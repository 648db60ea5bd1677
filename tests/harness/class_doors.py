"""A live class and the sockets of who is in it, at one web process or several."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from edurise.authz import About, actor_principal
from edurise.enrollments import service as enrollments
from edurise.enrollments.permissions import Enrollments
from edurise.live import service as live
from edurise.tenants.queries import MAIN
from tests.harness.waiting import eventually
from tests.harness.world import Someone, World

SOON_S = 5.0
_INTERVALS = "SELECT joined_at, beat_at, left_at, ended_by FROM attendance_intervals WHERE class_id = :id"


@dataclass(frozen=True)
class Interval:
    """A stored interval, times as seconds from the moment that the class was made."""

    joined: float
    beat: float
    left: float | None
    ended_by: str | None


class Room:
    """A course, who teaches it, and one class of it. ``zero`` is the clock when it was made."""

    def __init__(self, world: World, tenant_id: UUID = MAIN, *, draft: bool = False) -> None:
        self.world = world
        self.zero = world.clock.now()
        self.teacher = world.person("teacher", tenant_id)
        self.course_id: UUID = world.course(self.teacher, is_public=not draft)["id"]
        self.id = self.another_class()
        self.path = f"/ws/live-class/{self.id}/"
        self.desk = f"{self.path}instructor/"

    def another_class(self) -> UUID:
        data = {
            "course_id": self.course_id,
            "title": "Knots",
            "scheduled_at": self.world.clock.now(),
            "duration_minutes": 60,
        }
        about = About("course", self.course_id)
        made = self.world.c.db.run_sync(
            self.teacher.principal, live.create, data, None, "http://ui.test/live-classes/", about=about
        )
        found: UUID = made[1]["id"]
        return found

    def learner(self) -> Someone:
        """Somebody new who is enrolled in the course."""
        person = self.world.person()
        who = person.principal.needing(Enrollments.ENROLL)
        self.world.c.db.run_sync(who, enrollments.enroll, self.course_id, about=About("course", self.course_id))
        return person

    def start(self) -> None:
        """Start the class, as its teacher does over HTTP."""
        who = self.teacher.principal
        self.world.c.db.run_sync(who, live.start, self.id, about=About("live_class", self.id))

    def end(self) -> None:
        """End it likewise."""
        who = self.teacher.principal
        self.world.c.db.run_sync(who, live.end, self.id, about=About("live_class", self.id))

    def expel(self, person: Someone) -> None:
        """Take the course away from a learner."""
        gone = text("DELETE FROM standings WHERE person_id = :person AND course_id = :course")
        values = {"person": person.id, "course": self.course_id}
        self.world.c.db.system_sync(lambda session: session.execute(gone, values))

    def roster(self) -> tuple[int, int]:
        """How many are there, and of how many clients were told otherwise than it is."""
        counted = text(
            "SELECT count(*) FILTER (WHERE is_present), count(*) FILTER (WHERE is_present <> told_present)"
            "  FROM attendance WHERE class_id = :id"
        )
        found = self.world.c.db.system_sync(lambda session: session.execute(counted, {"id": self.id}).one())
        return found[0], found[1]

    def pass_time(self, seconds: float) -> None:
        self.world.clock.advance(timedelta(seconds=seconds))

    def intervals(self, person: Someone | None = None) -> list[Interval]:
        """What is stored of the class, or of one person in it, in the order of joining."""
        wanted = " AND person_id = :person" if person else ""
        values = {"id": self.id, "person": person.id if person else None}
        statement = text(f"{_INTERVALS}{wanted} ORDER BY joined_at, id")
        found = self.world.c.db.system_sync(lambda session: session.execute(statement, values).all())
        return [Interval(self._s(row[0]), self._s(row[1]), self._s(row[2]), row[3]) for row in found]

    def _s(self, at: Any) -> Any:
        return None if at is None else (at - self.zero).total_seconds()


@dataclass
class Door:
    """The client's end of a socket. ``frames`` are all that arrived and were looked at."""

    connection: WebSocketClientConnection
    frames: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        assert self.connection.protocol is not None
        self.stream = self.connection.protocol.stream

    def send(self, kind: str, **data: Any) -> None:
        """Send a frame as the contract's clients do."""
        stamp = "1999-12-31T23:59:59Z"
        self.connection.write_message(json.dumps({"type": kind, "data": data, "timestamp": stamp}))

    async def receive(self) -> dict[str, Any] | None:
        """The next frame, None at the end."""
        async with asyncio.timeout(SOON_S):
            message = await self.connection.read_message()
        if message is None:
            return None
        self.frames.append(json.loads(message))
        return self.frames[-1]

    async def until(self, kind: str, told: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        """The next frame of this type (of which ``told`` holds); what comes before it is kept in ``frames``."""
        seen = []
        while (frame := await self.receive()) is not None:
            if frame["type"] == kind and told(frame["data"]):
                return frame
            seen.append(frame["type"])
        raise AssertionError(f"closed with {self.connection.close_code} before {kind}, after {seen}")

    async def settled(self) -> None:
        """Take in everything that was sent before now."""
        self.send("ping", timestamp=len(self.frames))
        number = len(self.frames)
        await self.until("pong", lambda data: data["timestamp"] == number)

    async def refused(self, kind: str, **data: Any) -> str:
        """Send a frame and return the code of the error that it causes."""
        self.send(kind, **data)
        code: str = (await self.until("error"))["data"]["code"]
        return code

    async def closed(self) -> int | None:
        """Wait for the end; the close code, None if there was no close frame."""
        while await self.receive() is not None:
            pass
        return self.connection.close_code

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        """The data of the frames of a type so far."""
        return [frame["data"] for frame in self.frames if frame["type"] == kind]

    @property
    def participants(self) -> int:
        """How many are there, by all that this socket was told."""
        counted = [frame["data"]["participants"] for frame in self.frames if "participants" in frame["data"]]
        return counted[-1]

    def stall(self) -> None:
        """Read no more."""
        self.stream.io_loop.remove_handler(self.stream.fileno())

    def drop(self) -> None:
        """End the connection as a network does that fails."""
        self.stream.close()
        self.connection.close()  # nothing can be sent any more: it forgets the stream


class Doors:
    """Opens doors and closes them all at the end."""

    def __init__(self) -> None:
        self._open: list[Door] = []
        self._worlds: list[World] = []

    async def open(self, world: World, someone: Someone | None, path: str, **query: object) -> Door:
        """Open a door, whatever comes of it."""
        told = {"token": someone.access, **query} if someone else query
        query_text = "&".join(f"{name}={value}" for name, value in told.items())
        url = f"{world.base_url.replace('http', 'ws', 1)}{path}?{query_text}"
        door = Door(await websocket_connect(HTTPRequest(url)))
        self._open.append(door)
        if world not in self._worlds:
            self._worlds.append(world)
        return door

    async def enter(self, world: World, someone: Someone, path: str, **query: object) -> Door:
        """Open a door and take its greeting (and the dashboard)."""
        door = await self.open(world, someone, path, **query)
        await door.until("connection_established")
        if path.endswith("/instructor/"):
            await door.until("dashboard_update")
        return door

    async def join(self, world: World, someone: Someone, path: str, **query: object) -> Door:
        """Open a door and join the class."""
        door = await self.enter(world, someone, path, **query)
        door.send("join_class", timestamp="1999-12-31T23:59:59Z")
        await door.until("attendance_update")
        return door

    async def close(self) -> None:
        """Drop all, and wait until every process knows."""
        for door in self._open:
            door.drop()
        for world in self._worlds:
            await empty(world)


@contextlib.asynccontextmanager
async def doors() -> AsyncIterator[Doors]:
    """Doors that are dropped at the end of the block."""
    found = Doors()
    try:
        yield found
    finally:
        await found.close()


async def sweep(world: World) -> None:
    """What the scheduler does each second, once."""
    for tenant_id, class_id in await world.c.db.system(live.due):
        await world.c.db.run(actor_principal(tenant_id), live.settle, class_id)


async def empty(world: World, seats: int = 0) -> None:
    """Wait until so many joined sockets are left at a web process, and the ends of all others are stored."""
    register = world.application.register
    await eventually(lambda: len(register) == seats and not register.unstored, f"{seats} seats", SOON_S)
