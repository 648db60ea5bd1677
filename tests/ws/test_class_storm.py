"""A whole class comes at once, over two web processes: everybody is told of, and all sockets see the same in the end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from edurise.adapters.provision import DatabaseUrls
from tests.harness.class_doors import Door, Room, doors, empty, sweep
from tests.harness.waiting import eventually
from tests.harness.world import Someone, World
from tests.harness.worlds import another

LEARNERS = 160


class Picture:
    """What one socket knows by what it was told, from the greeting on."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.joined: list[str] = []
        self.left: list[str] = []
        self.present: set[str] = set()
        self.rosters = 0

    async def up_to(self, offset: int) -> None:
        """Take everything in up to an offset of the class's channel, which must come without a gap."""
        expected = self.door.frames[0]["offset"]
        for frame in self.door.frames:
            if self._is_event(frame):
                expected += 1
                self._take(frame, expected)
        while expected < offset:
            frame = await self.door.receive()
            assert frame is not None, "dropped"
            if self._is_event(frame):
                expected += 1
                self._take(frame, expected)

    def _is_event(self, frame: dict[str, Any]) -> bool:
        return frame.get("channel") == self.door.frames[0]["channel"] and frame["type"] != "connection_established"

    def _take(self, frame: dict[str, Any], expected: int) -> None:
        assert frame["offset"] == expected
        data = frame["data"]
        if frame["type"] == "roster_update":
            self.rosters += 1
            self._apply([one["user_id"] for one in data["joined"]], [one["user_id"] for one in data["left"]])
        elif frame["type"] == "participant_joined":
            self._apply([data["user_id"]], [])
        elif frame["type"] == "participant_left":
            self._apply([], [data["user_id"]])

    def _apply(self, joined: list[str], left: list[str]) -> None:
        """Nobody comes who is there, and nobody goes who is not."""
        assert self.present.isdisjoint(joined)
        assert self.present.issuperset(left)
        self.joined += joined
        self.left += left
        self.present = (self.present | set(joined)) - set(left)


def head_of(world: World, room: Room) -> int:
    topic = world.hub._topics[f"class:{room.id}"]
    assert topic.offset is not None
    return topic.offset


async def told_of_all(world: World, room: Room, present: int) -> bool:
    """Whether everybody who is there is told of."""
    await sweep(world)
    return room.roster() == (present, 0)


@pytest.mark.gen_test(timeout=120)
async def test_a_class_that_comes_at_once_and_goes_at_once(world: World, school_database: DatabaseUrls) -> None:
    room = Room(world)
    room.start()
    people = [room.learner() for _ in range(LEARNERS)]
    async with another(world, school_database) as second, doors() as opened:
        webs = (world, second)
        desk = await opened.enter(second, room.teacher, room.desk)

        async def enter(number: int, someone: Someone) -> Door:
            return await opened.enter(webs[number % 2], someone, room.path)

        sockets = list(await asyncio.gather(*(enter(number, one) for number, one in enumerate(people))))
        for door in sockets:
            door.send("join_class")
        for door in sockets:
            await door.until("attendance_update")
        await eventually(lambda: told_of_all(world, room, LEARNERS), "everybody told of")
        everybody = {str(one.id) for one in people}
        watchers = [Picture(door) for door in (desk, *sockets)]
        await settle(webs, room)
        for watcher in watchers:
            await watcher.up_to(head_of(world, room))
            assert len(watcher.joined) == len(set(watcher.joined)), "nobody is told of twice"
            assert watcher.present == everybody, everybody ^ watcher.present
            assert watcher.door.participants == LEARNERS
        assert watchers[0].rosters, "above a hundred they are told of together"
        assert len(watchers[0].joined) - len(watchers[0].left) == LEARNERS
        late = await opened.enter(world, room.teacher, room.path)
        assert late.frames[0]["participants"] == LEARNERS

        for door in sockets[40:]:
            door.drop()
        await empty(world, seats=20)
        await empty(second, seats=20)
        room.pass_time(31)
        for web in webs:  # who stayed is there, by a beat
            await web.application.register._beat_all()
        await eventually(lambda: told_of_all(world, room, 40), "all who went told of")
        await settle(webs, room)
        stayed = {str(one.id) for one in people[:40]}
        for watcher in (Picture(one) for one in (desk, *sockets[:40])):
            await watcher.up_to(head_of(world, room))
            assert watcher.present == stayed
            assert watcher.door.participants == 40


async def settle(webs: tuple[World, ...], room: Room) -> None:
    """Both processes have passed on everything that is stored."""

    async def complete() -> bool:
        for web in webs:
            await web.hub.reconcile()
        topics = [web.hub._topics[f"class:{room.id}"] for web in webs]
        return all(one.complete and one.outbox is None for one in topics) and len({one.offset for one in topics}) == 1

    await eventually(complete, "both processes up to date")
