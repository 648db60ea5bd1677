"""The doors of a live class: a learner at one web process, the teacher at another, and attendance to the second."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from edurise.adapters.provision import DatabaseUrls
from edurise.identity import sessions
from edurise.identity.watch import read_revocations
from tests.harness.class_doors import Doors, Interval, Room, doors, empty, sweep
from tests.harness.waiting import eventually
from tests.harness.world import World
from tests.harness.worlds import another


@contextlib.asynccontextmanager
async def two_webs(world: World, database: DatabaseUrls) -> AsyncIterator[tuple[World, Doors]]:
    """A second web process, and doors to both."""
    async with another(world, database) as second, doors() as opened:
        yield second, opened


# -- opening -----------------------------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_a_learner_is_greeted_with_the_class_as_it_stands(world: World) -> None:
    room = Room(world)
    pupil = room.learner()
    async with doors() as opened:
        door = await opened.enter(world, pupil, room.path)
        greeting = door.frames[0]
        assert greeting["channel"] == f"class:{room.id}"
        assert (greeting["recovered"], greeting["data"]["recovered"]) == (False, False)
        assert greeting["data"]["user_id"] == str(pupil.id)
        assert greeting["class"]["id"] == greeting["data"]["class"]["id"] == str(room.id)
        assert (greeting["class"]["status"], greeting["participants"], greeting["attendance"]) == ("scheduled", 0, None)
        assert room.intervals() == [], "to open a door is not to attend"


@pytest.mark.gen_test
async def test_the_desk_is_given_the_dashboard_before_any_event(world: World) -> None:
    room = Room(world)
    room.start()
    async with doors() as opened:
        await opened.join(world, room.learner(), room.path)
        desk = await opened.enter(world, room.teacher, room.desk)
        greeting, dashboard = desk.frames[:2]
        assert (greeting["type"], greeting["channel"]) == ("connection_established", f"class:{room.id}")
        assert (dashboard["type"], dashboard["channel"]) == ("dashboard_update", f"desk:{room.id}")
        (row,) = dashboard["data"]["dashboard"]["attendance"]
        assert {"id", "student", "status", "join_time", "participation_score", "questions_asked"} <= set(row)
        assert set(row["student"]) >= {"id", "first_name", "last_name", "email"}
        assert set(dashboard["dashboard"]["metrics"]) >= {"total_students", "attendance_rate", "status_breakdown"}
        await desk.settled()
        assert [frame["type"] for frame in desk.frames[2:]] == ["pong"], "what the dashboard holds is not told again"


@pytest.mark.gen_test
async def test_what_happens_while_a_desk_opens_is_neither_lost_nor_doubled(
    world: World, school_database: DatabaseUrls
) -> None:
    room = Room(world)
    room.start()
    async with two_webs(world, school_database) as (second, opened):
        pupils = [await opened.enter(world, room.learner(), room.path) for _ in range(6)]
        for pupil in pupils:
            pupil.send("join_class")
            desk = await opened.enter(second, room.teacher, room.desk)
            known = {row["student"]["id"] for row in desk.of_type("dashboard_update")[0]["dashboard"]["attendance"]}
            await pupil.until("attendance_update")
            await eventually(desk_has(second, room), "the desk up to date")
            await desk.settled()
            told = [row["student"]["id"] for data in desk.of_type("attendance_update") for row in data["attendance"]]
            joined = [data["user_id"] for data in desk.of_type("participant_joined")]
            assert len(joined) == len(set(joined))
            assert len(known | set(told)) == pupils.index(pupil) + 1


def desk_has(world: World, room: Room):
    """Whether the process has passed on everything that is stored in the two channels of a class."""

    async def caught_up() -> bool:
        await world.hub.reconcile()
        topics = [world.hub._topics[f"{kind}:{room.id}"] for kind in ("class", "desk")]
        return all(topic.complete and topic.outbox is None for topic in topics)

    return caught_up


# -- the class over two processes --------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_join_leave_and_rejoin_arrive_at_the_other_process(world: World, school_database: DatabaseUrls) -> None:
    room = Room(world)
    room.start()
    pupil = room.learner()
    async with two_webs(world, school_database) as (second, opened):
        desk = await opened.enter(second, room.teacher, room.desk)
        door = await opened.join(world, pupil, room.path)
        told = (await desk.until("participant_joined"))["data"]
        assert (told["user_id"], told["participant"]["id"], told["participants"]) == (str(pupil.id), str(pupil.id), 1)
        (row,) = (await desk.until("attendance_update"))["data"]["attendance"]
        own = door.of_type("attendance_update")[0]["attendance"]
        assert (row["id"], row["student"]["id"], row["status"]) == (own["id"], str(pupil.id), "present")
        assert own["leave_time"] is None
        room.pass_time(20)
        door.send("leave_class")
        assert (await door.until("attendance_update"))["attendance"]["leave_time"] is not None
        await sweep(world)
        left = await desk.until("attendance_update")
        assert left["data"]["attendance"][0]["leave_time"] is not None
        room.pass_time(10)
        door.send("join_class")
        await door.until("attendance_update")
        await sweep(world)
        back = await desk.until("attendance_update")
        assert back["data"]["attendance"][0]["leave_time"] is None
        assert room.intervals() == [Interval(0, 30, None, None)], "within half a minute it is the same interval"
        assert desk.of_type("participant_left") == []
        assert len(desk.of_type("participant_joined")) == 1
        room.pass_time(5)
        door.send("leave_class")
        await door.until("attendance_update")
        room.pass_time(31)
        door.send("join_class")
        await door.until("attendance_update")
        assert room.intervals() == [Interval(0, 30, 35, "left"), Interval(66, 66, None, None)]


@pytest.mark.gen_test
async def test_the_teacher_starts_announces_and_ends(world: World, school_database: DatabaseUrls) -> None:
    room = Room(world)
    async with two_webs(world, school_database) as (second, opened):
        door = await opened.enter(world, room.learner(), room.path)
        desk = await opened.enter(second, room.teacher, room.desk)
        desk.send("start_class", timestamp="1999-01-01T00:00:00Z")
        started = (await door.until("class_status_update"))["data"]
        assert (started["status"], started["previous"], started["class_id"]) == ("live", "scheduled", str(room.id))
        answer = await desk.until("live_class")
        assert answer["class"]["status"] == "live"
        desk.send("start_class")
        assert (await desk.until("live_class"))["class"]["status"] == "live", "repeated, it is the same"
        desk.send("send_announcement", message="  Page 12\nplease  ", timestamp="1999-01-01T00:00:00Z")
        told = (await door.until("class_announcement"))["data"]
        assert told["message"] == "Page 12\nplease"
        assert not told["timestamp"].startswith("1999")
        assert (await desk.until("class_announcement"))["message"] == "Page 12\nplease"
        door.send("join_class")
        await door.until("attendance_update")
        room.pass_time(100)
        desk.send("end_class")
        ended = (await door.until("class_status_update"))["data"]
        assert (ended["status"], ended["previous"]) == ("completed", "live")
        await eventually(lambda: room.intervals() == [Interval(0, 100, 100, "class_ended")], "the end of the interval")
        assert await door.refused("join_class") == "CLASS_NOT_OPEN"
        assert await desk.refused("start_class") == "CLASS_OVER"
        await door.settled()
        assert len(door.of_type("class_status_update")) == 2


@pytest.mark.gen_test
async def test_a_question_is_for_the_desk_alone_and_counted(world: World, school_database: DatabaseUrls) -> None:
    room = Room(world)
    room.start()
    pupil = room.learner()
    async with two_webs(world, school_database) as (second, opened):
        desk = await opened.enter(second, room.teacher, room.desk)
        door, other = await opened.join(world, pupil, room.path), await opened.join(world, room.learner(), room.path)
        door.send("ask_question", question="Why?")
        assert (await door.until("question_received"))["question"] == "Why?"
        told = (await desk.until("question_asked"))["data"]
        assert (told["user_id"], told["question"]) == (str(pupil.id), "Why?")
        await other.settled()
        assert other.of_type("question_asked") == other.of_type("question_received") == []
        again = await opened.enter(world, pupil, room.path)
        assert again.frames[0]["attendance"]["questions_asked"] == 1


@pytest.mark.gen_test
async def test_a_mark_reaches_every_desk_and_lasts(world: World, school_database: DatabaseUrls) -> None:
    room = Room(world)
    room.start()
    pupil = room.learner()
    async with two_webs(world, school_database) as (second, opened):
        desk, far = [await opened.enter(web, room.teacher, room.desk) for web in (world, second)]
        desk.send("update_attendance", student_id=str(pupil.id), status="late", timestamp="1999-01-01T00:00:00Z")
        for one in (desk, far):
            (row,) = (await one.until("attendance_update"))["data"]["attendance"]
            assert (row["student"]["id"], row["status"], row["join_time"]) == (str(pupil.id), "late", None)
        door = await opened.join(world, pupil, room.path)
        assert door.of_type("attendance_update")[0]["attendance"]["status"] == "late"


@pytest.mark.gen_test
async def test_to_leave_what_one_has_not_joined_is_refused_and_a_repeated_join_is_one(world: World) -> None:
    room = Room(world)
    room.start()
    async with doors() as opened:
        door = await opened.enter(world, room.learner(), room.path)
        assert await door.refused("leave_class") == "CLASS_NOT_JOINED"
        for _ in range(3):
            door.send("join_class")
            await door.until("attendance_update")
        await door.settled()
        assert room.intervals() == [Interval(0, 0, None, None)]
        assert len(door.of_type("participant_joined")) == 1
        assert len(world.application.register) == 1


# -- how intervals end -------------------------------------------------------------------------------------------------


@pytest.mark.gen_test
@pytest.mark.parametrize("how", ["dropped", "closed", "revoked", "silent"])
async def test_an_interval_ends_when_its_socket_does(world: World, how: str) -> None:
    room = Room(world)
    room.start()
    pupil = room.learner()
    async with doors() as opened:
        door = await opened.join(world, pupil, room.path)
        room.pass_time(42)
        if how == "dropped":
            door.drop()
        elif how == "closed":
            door.connection.close()
        elif how == "revoked":
            await world.c.db.system(sessions.revoke, pupil.session_id, world.c.lifetimes)
            await read_revocations(world.c.db, world.c.tokens, world.c.settings.secret_key)
            world.hub.sweep()
            assert await door.closed() == 4401
        else:
            door.stall()
            next(iter(world.application.register._seats)).wire.drop()
        await empty(world)
        assert room.intervals() == [Interval(0, 0, 42, "closed")]


@pytest.mark.gen_test
async def test_who_was_revoked_and_does_not_answer_the_close_attends_no_more(world: World) -> None:
    room = Room(world)
    room.start()
    pupil = room.learner()
    async with doors() as opened:
        door = await opened.join(world, pupil, room.path)
        door.stall()
        await world.c.db.system(sessions.revoke, pupil.session_id, world.c.lifetimes)
        await read_revocations(world.c.db, world.c.tokens, world.c.settings.secret_key)
        world.hub.sweep()
        world.application.register.tick()
        await empty(world)
        assert room.intervals()[0].ended_by == "closed"


@pytest.mark.gen_test
async def test_beats_are_stored_while_the_socket_is_open_and_not_after(world: World) -> None:
    room = Room(world)
    room.start()
    async with doors() as opened:
        door = await opened.join(world, room.learner(), room.path)
        room.pass_time(10)
        world.application.register.beat_soon()
        await eventually(lambda: room.intervals()[0].beat == 10, "the beat")
        door.drop()
        await empty(world)
        room.pass_time(10)
        world.application.register.beat_soon()
        assert room.intervals() == [Interval(0, 10, 10, "closed")]


@pytest.mark.gen_test
@pytest.mark.parametrize("away_s", [5, 30])
async def test_who_comes_back_in_time_attends_on_without_joining_again(
    world: World, school_database: DatabaseUrls, away_s: int
) -> None:
    room = Room(world)
    room.start()
    pupil = room.learner()
    async with two_webs(world, school_database) as (second, opened):
        door = await opened.join(world, pupil, room.path)
        room.pass_time(20)
        door.drop()
        await empty(world)
        room.pass_time(away_s)
        back = await opened.enter(second, pupil, room.path)
        own = (await back.until("attendance_update"))["attendance"]
        assert (own["leave_time"], own["student"]["id"]) == (None, str(pupil.id))
        assert [(one.joined, one.left) for one in room.intervals()] == [(0, None)]
        assert len(second.application.register) == 1
        room.pass_time(7)
        back.drop()
        await empty(second)
        assert [(one.joined, one.left, one.ended_by) for one in room.intervals()] == [(0, 27 + away_s, "closed")]


@pytest.mark.gen_test
@pytest.mark.parametrize("how", ["too late", "left", "never joined"])
async def test_to_come_back_is_not_to_join(world: World, how: str) -> None:
    room = Room(world)
    room.start()
    pupil = room.learner()
    async with doors() as opened:
        door = await (opened.enter if how == "never joined" else opened.join)(world, pupil, room.path)
        if how == "left":
            door.send("leave_class")
            await door.until("attendance_update")
        door.drop()
        await empty(world)
        before = room.intervals()
        room.pass_time(31 if how == "too late" else 5)
        back = await opened.enter(world, pupil, room.path)
        await back.settled()
        assert back.of_type("attendance_update") == []
        assert room.intervals() == before
        assert len(world.application.register) == 0


@pytest.mark.gen_test
async def test_a_socket_that_nobody_knows_to_be_dead_does_not_take_the_living_one_along(
    world: World, school_database: DatabaseUrls
) -> None:
    """A phone changes its network: the client is back in seconds, the server notices the old socket's end much later."""
    room = Room(world)
    room.start()
    pupil = room.learner()
    async with two_webs(world, school_database) as (second, opened):
        dead = await opened.join(world, pupil, room.path)
        room.pass_time(5)
        await opened.enter(second, pupil, room.path)
        await eventually(lambda: len(second.application.register), "the seat of the new socket")
        room.pass_time(40)
        dead.drop()
        await empty(world)
        room.pass_time(60)
        second.application.register.beat_soon()
        await eventually(lambda: any(one.beat == 105 for one in room.intervals()), "the beat of the new socket")
        assert [(one.joined, one.left) for one in room.intervals()] == [(0, 45), (5, None)]


@pytest.mark.gen_test
async def test_two_tabs_are_one_person_who_is_there_while_one_of_them_is(world: World) -> None:
    room = Room(world)
    room.start()
    pupil = room.learner()
    async with doors() as opened:
        desk = await opened.enter(world, room.teacher, room.desk)
        one, two = await opened.join(world, pupil, room.path), await opened.join(world, pupil, room.path)
        assert len(world.application.register) == 2
        await desk.settled()
        assert desk.participants == 1
        room.pass_time(10)
        one.drop()
        await empty(world, seats=1)
        await two.settled()
        await desk.settled()
        assert desk.of_type("participant_left") == []
        assert [one.left for one in room.intervals()] == [10, None]


@pytest.mark.gen_test
@pytest.mark.parametrize("comes_back", [True, False])
async def test_a_process_that_is_killed_leaves_its_intervals_to_the_sweeper(
    world: World, school_database: DatabaseUrls, comes_back: bool
) -> None:
    room = Room(world)
    room.start()
    pupil = room.learner()
    async with doors() as opened:
        async with another(world, school_database) as second, doors() as theirs:
            await theirs.join(second, pupil, room.path)
            room.pass_time(10)
            second.application.register.beat_soon()
            await eventually(lambda: room.intervals()[0].beat == 10, "the beat")
            room.pass_time(7)
            second.application.register._seats.clear()  # kill -9: nobody stores anything
        assert room.intervals() == [Interval(0, 10, None, None)]
        if comes_back:
            back = await opened.enter(world, pupil, room.path)
            await back.until("attendance_update")
            assert room.intervals()[0].left is None
            return
        for _ in range(2):
            room.pass_time(24)
            await sweep(world)
        assert room.intervals() == [Interval(0, 10, 10, "lost")]
        desk = await opened.enter(world, room.teacher, room.desk)
        assert room.roster() == (0, 0)
        assert desk.of_type("dashboard_update")[0]["dashboard"]["attendance"][0]["leave_time"] is not None


@pytest.mark.gen_test
async def test_the_end_of_a_process_stores_in_time_when_its_sockets_closed(
    world: World, school_database: DatabaseUrls
) -> None:
    room = Room(world)
    room.start()
    loop = asyncio.get_running_loop()
    async with two_webs(world, school_database) as (second, opened):
        door = await opened.join(second, room.learner(), room.path)
        other = await opened.join(world, room.learner(), room.path)
        deaf = await opened.enter(second, room.learner(), "/ws/session/")
        deaf.stall()  # it does not answer the close
        room.pass_time(30)
        began = loop.time()
        await second.application.drain(1.0)
        assert loop.time() - began < 1.2
        assert await door.closed() is None, "a door is dropped, so that its client comes back"
        assert room.intervals() == [Interval(0, 0, 30, "closed"), Interval(0, 0, None, None)]
        await other.settled()


# -- positions ---------------------------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_a_learner_comes_back_to_what_was_missed(world: World, school_database: DatabaseUrls) -> None:
    room = Room(world)
    pupil = room.learner()
    async with two_webs(world, school_database) as (second, opened):
        desk = await opened.enter(second, room.teacher, room.desk)
        door = await opened.enter(world, pupil, room.path)
        start = door.frames[0]
        desk.send("start_class")
        seen = await door.until("class_status_update")
        door.drop()
        for number in range(3):
            desk.send("send_announcement", message=f"number {number}")
            await desk.until("class_announcement")
        position = {"offset": seen["offset"], "epoch": seen["epoch"]}
        back = await opened.enter(world, pupil, room.path, **position)
        assert (back.frames[0]["recovered"], back.frames[0]["offset"]) == (True, seen["offset"])
        await back.settled()
        assert [data["message"] for data in back.of_type("class_announcement")] == [f"number {n}" for n in range(3)]
        assert [frame["offset"] for frame in back.frames if frame["type"] == "class_announcement"] == [
            seen["offset"] + n for n in (1, 2, 3)
        ]
        early = await opened.enter(second, pupil, room.path, offset=start["offset"], epoch=start["epoch"] or "")
        assert early.frames[0]["recovered"] is True
        await early.settled()
        assert len(early.of_type("class_status_update")) == 1
        for wrong in ({"offset": 99, "epoch": seen["epoch"]}, {"offset": 1, "epoch": room.id}, {"offset": 1}):
            lost = await opened.enter(world, pupil, room.path, **wrong)
            assert lost.frames[0]["recovered"] is False
            assert lost.frames[0]["class"]["status"] == "live"


@pytest.mark.gen_test
async def test_a_desk_comes_back_to_both_of_its_channels(world: World) -> None:
    room = Room(world)
    room.start()
    async with doors() as opened:
        desk = await opened.enter(world, room.teacher, room.desk)
        door = await opened.join(world, room.learner(), room.path)
        joined, row = await desk.until("participant_joined"), await desk.until("attendance_update")
        desk.drop()
        door.send("ask_question", question="Still there?")
        await door.until("question_received")
        door.send("join_class")
        await door.until("attendance_update")
        positions = {
            "offset": joined["offset"],
            "epoch": joined["epoch"],
            "desk_offset": row["offset"],
            "desk_epoch": row["epoch"],
        }
        back = await opened.enter(world, room.teacher, room.desk, **positions)
        greeting, dashboard = back.frames[:2]
        assert (greeting["recovered"], greeting["offset"]) == (True, joined["offset"])
        assert (dashboard["recovered"], dashboard["offset"]) == (True, row["offset"])
        await back.settled()
        assert [data["question"] for data in back.of_type("question_asked")] == ["Still there?"]
        assert back.of_type("participant_joined") == []


@pytest.mark.gen_test
async def test_the_session_socket_follows_both_channels_by_their_own_permissions(world: World) -> None:
    room = Room(world)
    room.start()
    names = {kind: f"{kind}:{room.id}" for kind in ("class", "desk")}
    expected = {
        "teacher": (room.teacher, {"class": "subscribed", "desk": "subscribed"}),
        "learner": (room.learner(), {"class": "subscribed", "desk": "PERMISSION_DENIED"}),
        "member": (world.person(), {"class": "PERMISSION_DENIED", "desk": "PERMISSION_DENIED"}),
    }
    async with doors() as opened:
        for who, (someone, answers) in expected.items():
            socket = await opened.enter(world, someone, "/ws/session/")
            for kind, answer in answers.items():
                socket.connection.write_message(f'{{"type": "subscribe", "channel": "{names[kind]}"}}')
                frame = await socket.receive()
                assert frame is not None
                assert answer in (frame["type"], frame["data"].get("code")), (who, kind, frame)
        assert room.intervals() == []
