"""Live classes in the wrong hands: frames of teachers sent by learners, other people's classes, forged times, floods."""

from __future__ import annotations

import json
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from sqlalchemy.orm import Session
from tornado.httpclient import HTTPClientError

from edurise import channels
from edurise.adapters.provision import DatabaseUrls
from edurise.authz import Principal, actor_principal
from edurise.tenants.queries import MAIN
from tests.harness.class_doors import Door, Interval, Room, doors, empty
from tests.harness.world import World
from tests.harness.worlds import another
from tests.security.scene import row_counts

TEACHERS = ("start_class", "end_class", "send_announcement", "update_attendance", "dashboard_update")
LEARNERS = ("join_class", "leave_class", "ask_question")
FORGED = (
    "beat",
    "attendance_update",
    "participant_joined",
    "participant_left",
    "class_status_update",
    "class_announcement",
    "roster_update",
    "engagement_update",
    "question_asked",
    "subscribe",
    "resume",
    "connection_established",
    "works",
    "class_id",
)
NO_CLASS = (
    "undefined",
    "null",
    "NaN",
    "0",
    "*",
    "1 or 1=1",
    "a" * 36,
    "00000000-0000-7000-8000-00000000000g",
)


def contents(world: World) -> dict[str, int]:
    """Rows of every table but those that any log-in touches."""
    return row_counts(world)


# -- who gets in -------------------------------------------------------------------------------------------------------


@pytest.mark.gen_test
@pytest.mark.parametrize("name", NO_CLASS)
async def test_what_is_no_class_is_closed_cleanly(world: World, name: str) -> None:
    someone = world.person("teacher")
    async with doors() as opened:
        for tail in ("", "instructor/"):
            door = await opened.open(world, someone, f"/ws/live-class/{name.replace(' ', '%20')}/{tail}")
            assert await door.closed() == 4404


@pytest.mark.gen_test
@pytest.mark.parametrize("name", ["..%2F", "%00", "%2e%2e%2fsession", "a/b"])
async def test_what_is_no_path_of_a_door_is_not_upgraded(world: World, name: str) -> None:
    someone = world.person("teacher")
    async with doors() as opened:
        with pytest.raises(HTTPClientError, match="404"):
            await opened.open(world, someone, f"/ws/live-class/{name}/")


@pytest.mark.gen_test
async def test_who_gets_in_where(world: World) -> None:
    room = Room(world)
    draft = Room(world, draft=True)
    elsewhere = world.organization()
    hidden = Room(world, elsewhere, draft=True)
    people = {
        "nobody": None,
        "member": world.person(),
        "learner": room.learner(),
        "teacher": room.teacher,
        "another teacher": world.person("teacher"),
        "administrator": world.person("admin"),
        "administrator elsewhere": world.person("admin", elsewhere),
        "platform": world.person(platform=True),
    }
    # the class's door, the instructor's door; then both of a draft's class, then both of a hidden one elsewhere
    expected = {
        "nobody": (4401, 4401, 4401, 4401, 4401, 4401),
        "member": (4403, 4403, 4404, 4404, 4404, 4404),
        "learner": (0, 4403, 4404, 4404, 4404, 4404),
        "teacher": (0, 0, 4404, 4404, 4404, 4404),
        "another teacher": (4403, 4403, 4404, 4404, 4404, 4404),
        "administrator": (0, 0, 0, 0, 4404, 4404),
        "administrator elsewhere": (4403, 4403, 4404, 4404, 0, 0),
        "platform": (0, 0, 0, 0, 0, 0),
    }
    async with doors() as opened:
        for name, someone in people.items():
            paths = [path for one in (room, draft, hidden) for path in (one.path, one.desk)]
            for path, code in zip(paths, expected[name], strict=True):
                door = await opened.open(world, someone, path)
                frame = await door.receive()
                assert (frame["type"] if frame else door.connection.close_code) == (code or "connection_established"), (
                    f"{name} at {path}"
                )


@pytest.mark.gen_test
async def test_a_token_of_somebody_whose_session_ended_opens_nothing(world: World) -> None:
    room = Room(world)
    pupil = room.learner()
    async with doors() as opened:
        for token in ("", "forged", pupil.access + "x", pupil.access[:-2]):
            door = await opened.open(world, replace(pupil, access=token), room.path)
            assert await door.closed() == 4401


@pytest.mark.gen_test
async def test_nothing_of_a_class_is_heard_at_another(world: World) -> None:
    room, other = Room(world), Room(world)
    async with doors() as opened:
        here = await opened.enter(world, room.learner(), room.path)
        there = await opened.enter(world, other.learner(), other.path)
        desk = await opened.enter(world, other.teacher, other.desk)
        room.start()
        here.send("join_class")
        await here.until("attendance_update")
        for one in (there, desk):
            await one.settled()
            assert {frame["type"] for frame in one.frames} <= {"connection_established", "dashboard_update", "pong"}


# -- frames ------------------------------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_a_learner_commands_nothing(world: World) -> None:
    room = Room(world)
    room.start()
    pupil, victim = room.learner(), room.learner()
    async with doors() as opened:
        await opened.join(world, victim, room.path)
        room.pass_time(3)
        before, stored = contents(world), room.intervals()
        door = await opened.open(world, pupil, room.path)
        for number, kind in enumerate((*TEACHERS, *FORGED)):
            if number % 10 == 0:  # fewer than a flood
                door = await opened.open(world, pupil, room.path)
            code = await door.refused(
                kind,
                student_id=str(victim.id),
                status="absent",
                message="mine",
                metrics={},
                class_id=str(room.id),
                interval_id=str(uuid4()),
            )
            assert code == "FRAME_UNKNOWN", kind
        assert (contents(world), room.intervals()) == (before, stored)
        await door.settled()
        assert door.of_type("class_announcement") == door.of_type("class_status_update") == []


@pytest.mark.gen_test
async def test_a_desk_neither_attends_nor_forges(world: World) -> None:
    room = Room(world)
    room.start()
    async with doors() as opened:
        desk = await opened.enter(world, room.teacher, room.desk)
        before = contents(world)
        for kind in (*LEARNERS, *FORGED):
            assert await desk.refused(kind, question="?") == "FRAME_UNKNOWN", kind
        assert (contents(world), room.intervals()) == (before, [])


@pytest.mark.gen_test
async def test_times_of_clients_are_not_believed(world: World) -> None:
    room = Room(world)
    room.start()
    pupil = room.learner()
    async with doors() as opened:
        door = await opened.enter(world, pupil, room.path)
        room.pass_time(50)
        forged = {"timestamp": "1999-01-01T00:00:00Z", "joined_at": "1999-01-01T00:00:00Z", "user_id": str(uuid4())}
        door.connection.write_message(json.dumps({"type": "join_class", "data": forged, **forged}))
        await door.until("attendance_update")
        assert room.intervals(pupil) == [Interval(50, 50, None, None)]
        room.pass_time(1)
        door.connection.write_message(json.dumps({"type": "leave_class", "data": {"left_at": "2999-01-01T00:00:00Z"}}))
        await door.until("attendance_update")
        assert room.intervals(pupil) == [Interval(50, 50, 51, "left")]
        for junk in ([], "x", 1, None, {"timestamp": {"a": 1}}):
            door.connection.write_message(json.dumps({"type": "join_class", "data": junk}))
            await door.until("attendance_update")
        assert len(room.intervals(pupil)) == 1


@pytest.mark.gen_test
async def test_marks_stay_within_the_class(world: World) -> None:
    room, other = Room(world), Room(world)
    room.start()
    theirs, nobody = other.learner(), world.person()
    async with doors() as opened:
        desk = await opened.enter(world, room.teacher, room.desk)
        before = contents(world)
        for student in (theirs.id, nobody.id, uuid4(), room.teacher.id):
            assert await desk.refused("update_attendance", student_id=str(student), status="present") == "NOT_FOUND"
        pupil = room.learner()
        for wrong in (
            {"student_id": "undefined", "status": "present"},
            {"student_id": str(pupil.id), "status": "here"},
            {"student_id": str(pupil.id)},
            {"status": "present"},
            {"student_id": str(pupil.id), "status": "present", "class_id": str(other.id)},
            {"student_id": [str(pupil.id)], "status": "present"},
            {"student_id": str(pupil.id), "status": None},
            {},
        ):
            assert await desk.refused("update_attendance", **wrong) == "FRAME_INVALID", wrong
        changed = {name for name, count in contents(world).items() if count != before[name]}
        assert not {"attendance", "attendance_intervals", "audit_log"} & changed


@pytest.mark.gen_test
@pytest.mark.parametrize("text", ["", "   ", "x" * 2001, "nul\x00", "\ud800", 7, None, ["a"], {"a": 1}])
async def test_what_is_no_text_is_told_to_nobody(world: World, text: object) -> None:
    room = Room(world)
    room.start()
    async with doors() as opened:
        desk = await opened.enter(world, room.teacher, room.desk)
        door = await opened.join(world, room.learner(), room.path)
        if text == "\ud800":  # a lone surrogate is no JSON: the frame itself cannot be read
            desk.send("send_announcement", message=text)
            assert await desk.closed() == 4400
            return
        assert await desk.refused("send_announcement", message=text) == "FRAME_INVALID"
        assert await door.refused("ask_question", question=text) == "FRAME_INVALID"
        await door.settled()
        assert door.of_type("class_announcement") == []
        assert desk.of_type("question_asked") == []


@pytest.mark.gen_test
async def test_who_lost_the_course_commands_no_more(world: World) -> None:
    """Every frame asks anew who may: an open socket is no permission."""
    room = Room(world)
    room.start()
    pupil = room.learner()
    async with doors() as opened:
        door = await opened.enter(world, pupil, room.path)
        room.expel(pupil)
        assert await door.refused("join_class") == "PERMISSION_DENIED"
        assert await door.refused("ask_question", question="?") == "PERMISSION_DENIED"
        assert room.intervals() == []


# -- load --------------------------------------------------------------------------------------------------------------


@pytest.mark.gen_test
@pytest.mark.parametrize("desk", [False, True])
async def test_a_flood_is_closed_and_ends_the_interval(world: World, desk: bool) -> None:
    room = Room(world)
    room.start()
    async with doors() as opened:
        door: Door = await (
            opened.enter(world, room.teacher, room.desk) if desk else opened.join(world, room.learner(), room.path)
        )
        for _ in range(60):
            door.send("start_class" if desk else "join_class")
        assert await door.closed() == 4429
        await empty(world)
        assert [one.ended_by for one in room.intervals()] == ([] if desk else ["closed"])


@pytest.mark.gen_test
@pytest.mark.parametrize("desk", [False, True])
@pytest.mark.parametrize(("size", "codes"), [(70_000, {4413}), (3_000_000, {1009, None})])
async def test_an_oversize_frame_is_closed_and_ends_the_interval(
    world: World, desk: bool, size: int, codes: set[int | None]
) -> None:
    room = Room(world)
    room.start()
    async with doors() as opened:
        door: Door = await (
            opened.enter(world, room.teacher, room.desk) if desk else opened.join(world, room.learner(), room.path)
        )
        door.send("send_announcement" if desk else "ask_question", message="x" * size, question="x" * size)
        assert await door.closed() in codes
        await empty(world)
        assert {one.ended_by for one in room.intervals()} <= {"closed"}


@pytest.mark.gen_test(timeout=60)
async def test_a_slow_reader_is_dropped_and_attends_no_more(world: World, database: DatabaseUrls) -> None:
    room = Room(world)
    room.start()
    async with another(world, database, socket_backlog_frames=8) as web, doors() as opened:
        slow, quick = (
            await opened.join(web, room.learner(), room.path),
            await opened.join(web, room.learner(), room.path),
        )
        slow.stall()
        told = 0
        while not web.hub.crowd.slow:
            await web.c.db.run(actor_principal(MAIN), tell_much, room.id)
            await quick.until("class_announcement")
            told += 1
            assert told < 200
        await empty(web, seats=1)
        assert [one.ended_by for one in room.intervals()] == ["closed", None]
        await quick.settled()


def tell_much(session: Session, who: Principal, class_id: UUID) -> None:
    channels.append(session, f"class:{class_id}", "class_announcement", {"message": "x" * 200_000}, who.tenant)
