"""What follows a class that went live, and what the sweeper does for classes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from actors import live
from actors.registry import load_actors
from actors.relay import Relay
from actors.runtime import Runtime
from actors.schedule import load_jobs
from edurise.db import rows
from edurise.live import service
from edurise.live.events import LiveClassStarted
from edurise.ports import Dispatch
from tests.actors.workshop import HandBells, PaperTransport
from tests.harness.classroom import Classroom
from tests.harness.world import World

NAME = "live.tell_the_class"


async def dispatched(world: World, *rooms: Classroom) -> list[Dispatch]:
    """What the relay sends because of these classes."""
    transport = PaperTransport()
    relay = Relay(world.c, transport, HandBells(), {LiveClassStarted.topic: [NAME]})
    while await relay.round():
        pass
    ids = {str(room.id) for room in rooms}
    return [one for one in transport.take() if one.payload and one.payload["class_id"] in ids]


def read(world: World, statement: str, **values: object) -> list[dict[str, Any]]:
    return world.c.db.system_sync(lambda session: rows(session, text(statement), values))


def told(world: World, room: Classroom) -> list[dict[str, Any]]:
    question = """SELECT user_id, type, category, title, message, data FROM notifications
                   WHERE tenant_id = :tenant AND type = 'live_class_starting' ORDER BY user_id"""
    return read(world, question, tenant=room.tenant_id)


def is_done(world: World, dispatch: Dispatch) -> bool:
    (found,) = read(world, "SELECT done_at FROM deliveries WHERE event_id = :id", id=dispatch.event_id)
    return found["done_at"] is not None


def speak(world: World, person: UUID, language: str) -> None:
    def change(session: Session) -> None:
        session.execute(text("UPDATE people SET language = :l WHERE id = :id"), {"l": language, "id": person})

    world.c.db.system_sync(change)


@pytest.mark.gen_test
async def test_every_learner_is_told_once_in_their_language(world: World) -> None:
    room = Classroom(world)
    pupils, german = room.crowd(120), room.learner()
    speak(world, german.id, "de")
    room.start()
    (dispatch,) = await dispatched(world, room)
    runtime = Runtime(world.c, load_actors())
    await runtime.handle(dispatch)
    found = told(world, room)
    assert {row["user_id"] for row in found} == {german.id, *(one.id for one in pupils)}
    assert len(found) == 121
    assert {row["category"] for row in found} == {"live_class"}
    assert all(row["data"] == {"live_class_id": str(room.id), "course_id": str(room.course_id)} for row in found)
    words = {row["user_id"]: (row["title"], row["message"]) for row in found}
    assert words[german.id][0] == "Ihr Unterricht beginnt"
    assert words[pupils[0].id][0] == "Your class begins"
    assert "Class " in words[german.id][1]
    assert is_done(world, dispatch)
    await runtime.handle(replace(dispatch, again=True))  # the broker sends a message twice
    assert len(told(world, room)) == 121


@pytest.mark.gen_test
async def test_what_a_dead_worker_began_is_finished_and_nobody_is_told_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Classroom(world)
    room.crowd(120)
    room.start()
    (dispatch,) = await dispatched(world, room)
    runtime = Runtime(world.c, load_actors())
    calls = 0

    def dying(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise ConnectionError("the worker is gone")
        tell(*arguments)

    tell = service.tell_learners
    monkeypatch.setattr(live.service, "tell_learners", dying)
    await runtime.handle(dispatch)
    assert (len(told(world, room)), is_done(world, dispatch)) == (50, False)
    monkeypatch.undo()
    await runtime.handle(replace(dispatch, attempts=1, again=True))
    assert (len(told(world, room)), is_done(world, dispatch)) == (120, True)


@pytest.mark.gen_test
async def test_nobody_is_called_to_a_class_that_is_over(world: World) -> None:
    empty, over = Classroom(world), Classroom(world)
    over.crowd(3)
    for room in (empty, over):
        room.start()
    over.end()
    runtime = Runtime(world.c, load_actors())
    dispatches = await dispatched(world, empty, over)
    assert len(dispatches) == 2
    for room, dispatch in zip((empty, over), dispatches, strict=True):
        await runtime.handle(dispatch)
        assert (told(world, room), is_done(world, dispatch)) == ([], True)


@pytest.mark.gen_test
async def test_a_class_that_is_started_twice_calls_once(world: World) -> None:
    room = Classroom(world)
    room.start()
    room.start()
    assert len(await dispatched(world, room)) == 1


# -- the sweeper -------------------------------------------------------------------------------------------------------


def test_the_sweeper_is_a_job_of_every_second() -> None:
    (found,) = [one for one in load_jobs() if one.name == "live.sweep"]
    assert found.every_s == 1


@pytest.mark.gen_test
async def test_a_sweep_settles_every_class_of_every_organization(world: World) -> None:
    rooms = [Classroom(world) for _ in range(2)]
    pupils = [room.learner() for room in rooms]
    for room, pupil in zip(rooms, pupils, strict=True):
        room.start()
        room.join(pupil)
    world.clock.advance(timedelta(seconds=31))
    await live.sweep(world.c)
    for room, pupil in zip(rooms, pupils, strict=True):
        assert [one["ended_by"] for one in room.intervals(pupil)] == ["lost"]
        assert len(room.events("participant_left")) == 1
        assert len(room.events("engagement_update", desk=True)) == 1
    await live.sweep(world.c)
    assert not any(room.sweep() for room in rooms)


@pytest.mark.gen_test
async def test_one_class_that_cannot_be_settled_does_not_stop_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms = [Classroom(world) for _ in range(3)]
    sockets = [uuid4() for _ in rooms]
    pupils = [room.learner() for room in rooms]
    for room, pupil, socket in zip(rooms, pupils, sockets, strict=True):
        room.start()
        room.join(pupil, socket)
        room.closed(socket)
    world.clock.advance(timedelta(seconds=31))
    settle = service.settle

    def failing(session: Session, who: Any, class_id: UUID) -> None:
        if class_id == rooms[1].id:
            raise RuntimeError("nothing works")
        settle(session, who, class_id)

    monkeypatch.setattr(live.service, "settle", failing)
    await live.sweep(world.c)
    monkeypatch.undo()
    assert [room.participants() for room in rooms] == [0, 1, 0]
    await live.sweep(world.c)
    assert rooms[1].participants() == 0
