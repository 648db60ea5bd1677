"""Kill what runs in the middle of a class and of an answer, then compare what every client logged with the database."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
import redis
from tornado.ioloop import IOLoop

from tests.e2e.classroom import Classroom, plan, said
from tests.e2e.conftest import LIVE_FAULTS_PORT, running_stack
from tests.harness.listener import Listener
from tests.harness.processes import OwnProgram
from tests.harness.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.faults]

FRESH_S = 10.5
"""A living process stores a beat at least this often."""


@pytest.fixture(scope="module")
def room(io_loop: IOLoop) -> Iterator[Classroom]:
    """A stack with a course that is taught and students who are enrolled."""
    with running_stack(LIVE_FAULTS_PORT, {}) as stack:
        made = Classroom(stack, students=4)
        io_loop.run_sync(made.open, timeout=60)
        yield made


def web_of(room: Classroom, listener: Listener) -> OwnProgram:
    """The web process at the other end of a socket."""
    return next(web for web in room.stack.webs if listener.served_by[-1].endswith(str(web.port)))


async def joined(sockets: contextlib.AsyncExitStack, listener: Listener) -> Listener:
    """Open a student's socket and join; returns it once the answer is there."""
    await sockets.enter_async_context(listener.open())
    await listener.send("join_class", data={})
    await eventually(lambda: listener.of_type("attendance_update"), "the own attendance")
    return listener


async def ended(room: Classroom, class_id: str) -> None:
    """End the class and wait until every interval has its end."""
    answer = await room.teacher.post(f"/api/v1/live-classes/{class_id}/end_class/")
    assert answer.status == 200, answer.content
    open_ones = "SELECT count(*) FROM attendance_intervals WHERE class_id = %s AND left_at IS NULL"
    await eventually(lambda: room.books.number(open_ones, class_id) == 0, "the end of all intervals", 60)


@pytest.mark.gen_test(timeout=120)
async def test_a_web_dies_in_the_middle_of_a_class(room: Classroom) -> None:
    """Of two students at the web that dies one comes back, and one does not."""
    class_id = await room.begun()
    async with contextlib.AsyncExitStack() as sockets:
        desk = await sockets.enter_async_context(room.desk(class_id).open())
        faithful = await joined(sockets, room.door(class_id, 0))
        doomed = web_of(room, faithful)
        elsewhere = next(web for web in room.stack.webs if web is not doomed)
        async with contextlib.AsyncExitStack() as gone:
            await joined(gone, room.door(class_id, 1, doomed.url))
            steady = await joined(sockets, room.door(class_id, 2, elsewhere.url))
            await eventually(lambda: len(desk.of_type("participant_joined")) == 3, "three students at the desk")
            await room.stack.meanwhile(doomed.kill)
        await eventually(lambda: len(faithful.served_by) >= 2, "the student at another web")
        await eventually(lambda: desk.of_type("participant_left"), "the one who did not come back", 75)
        await room.stack.meanwhile(doomed.start)
        await ended(room, class_id)
        await room.same_as_stored(f"class:{class_id}", [faithful, steady, desk])
        await room.same_as_stored(f"desk:{class_id}", [desk])
    assert {one.of_type("class_status_update")[-1]["status"] for one in (faithful, steady, desk)} == {"completed"}
    (left,) = desk.of_type("participant_left")
    assert left["user_id"] == str(room.student_ids[1])
    (kept,) = room.intervals(class_id, 0)
    assert (kept["left_at"], kept["ended_by"]) == (kept["ended_at"], "class_ended")
    (lost,) = room.intervals(class_id, 1)
    assert (lost["ended_by"], lost["left_at"]) == ("lost", lost["beat_at"])
    assert lost["left_at"] < lost["ended_at"]
    (whole,) = room.intervals(class_id, 2)
    assert (whole["left_at"], whole["ended_by"]) == (whole["ended_at"], "class_ended")


@pytest.mark.gen_test(timeout=120)
async def test_a_class_ends_while_a_web_is_dead(room: Classroom) -> None:
    """The crash rule holds for an interval that nobody had ended yet: it ends at its last beat, not with the class."""
    class_id = await room.begun()
    async with contextlib.AsyncExitStack() as sockets:
        doomed = room.stack.webs[0]
        async with contextlib.AsyncExitStack() as gone:
            await joined(gone, room.door(class_id, 3, doomed.url))
            await room.stack.meanwhile(doomed.kill)
        steady = await joined(sockets, room.door(class_id, 2))
        await ended(room, class_id)
        await room.stack.meanwhile(doomed.start)
        await room.same_as_stored(f"class:{class_id}", [steady])
    assert steady.of_type("class_status_update")[-1]["status"] == "completed"
    (lost,) = room.intervals(class_id, 3)
    assert (lost["ended_by"], lost["left_at"]) == ("lost", lost["beat_at"])
    assert lost["left_at"] < lost["ended_at"]


@pytest.mark.parametrize("fault", ["flush", "restart"])
@pytest.mark.gen_test(timeout=120)
async def test_redis_fails_in_the_middle_of_a_class(room: Classroom, fault: str) -> None:
    class_id = await room.begun()
    async with contextlib.AsyncExitStack() as sockets:
        desk = await sockets.enter_async_context(room.desk(class_id).open())
        first = await joined(sockets, room.door(class_id, 0, room.stack.webs[0].url))
        await break_redis(room, fault)
        second = await joined(sockets, room.door(class_id, 1, room.stack.webs[1].url))
        for number in range(5):
            await desk.send("send_announcement", data={"message": f"Page {number}"})
        for listener in (first, second, desk):
            await eventually(lambda heard=listener: len(heard.of_type("class_announcement")) == 5, "the announcements")
        await ended(room, class_id)
        await room.same_as_stored(f"class:{class_id}", [first, second, desk])
    assert [one["message"] for one in first.of_type("class_announcement")] == [f"Page {number}" for number in range(5)]
    assert [row["ended_by"] for student in (0, 1) for row in room.intervals(class_id, student)] == ["class_ended"] * 2


async def break_redis(room: Classroom, fault: str) -> None:
    """Let Redis forget everything, or restart it."""
    if fault == "flush":
        with redis.Redis.from_url(room.stack.redis.url) as store:
            store.flushall()
    else:
        await room.stack.meanwhile(room.stack.redis.restart)


@pytest.mark.gen_test(timeout=120)
async def test_the_worker_dies_in_the_middle_of_an_answer(room: Classroom) -> None:
    """The answer ends as interrupted, and keeps exactly what was delivered."""
    conversation = await room.conversation(0)
    async with room.talk(conversation, 0).open() as listener:
        await listener.send("ask", id="1", message=plan("Why?", tokens=400, rate=20))
        await eventually(lambda: len(listener.of_type("token")) >= 15, "some tokens")
        await room.stack.meanwhile(room.stack.worker.kill)
        await eventually(lambda: listener.of_type("interrupted"), "the end of the answer", 60)
        await room.stack.meanwhile(room.stack.worker.start)
        (told,) = listener.of_type("interrupted")
        delivered = said(listener)
        assert told["message"]["content"] == delivered
        assert len(delivered.split()) >= 15
        await listener.send("ask", id="2", message=plan("And now?", tokens=5, rate=20))
        await eventually(lambda: listener.of_type("done"), "an answer of the new worker")
    messages = await room.messages(conversation, 0)
    assert [one["role"] for one in messages] == ["user", "assistant"] * 2
    assert messages[1]["content"] == delivered
    rows = room.books.rows(
        "SELECT state, attempts FROM ai_questions WHERE conversation_id = %s ORDER BY id", conversation
    )
    assert [row["state"] for row in rows] == ["interrupted", "done"]
    assert listener.offsets == list(range(1, len(listener.offsets) + 1))


@pytest.mark.parametrize("fault", ["flush", "restart"])
@pytest.mark.gen_test(timeout=120)
async def test_redis_fails_in_the_middle_of_an_answer(room: Classroom, fault: str) -> None:
    """Clients are told to reload, the stored answer is the provider's text, and what arrived in the end is that too."""
    conversation = await room.conversation(1)
    async with room.talk(conversation, 1).open() as listener:
        await listener.send("ask", id="1", message=plan("Why?", tokens=120, rate=20))
        await eventually(lambda: len(listener.of_type("token")) >= 10, "some tokens")
        await break_redis(room, fault)
        await eventually(lambda: listener.of_type("done"), "the end of the answer", 40)
        (done,) = listener.of_type("done")
    answer = (await room.messages(conversation, 1))[1]
    assert len(answer["content"].split()) == 120
    assert done["message"]["content"] == answer["content"]
    assert False in [frame["data"]["recovered"] for frame in listener.frames if frame["type"] == "subscribed"]
    assert said(listener) in answer["content"], "what was shown is a part of the answer, nothing else"
