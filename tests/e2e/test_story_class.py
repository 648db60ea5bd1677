"""The story goes on: the teacher holds a class, the student attends at another web process, and is believed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from tests.e2e.story import People, Purchase, Taught
from tests.harness.books import Books
from tests.harness.client import Answer
from tests.harness.listener import Listener
from tests.harness.processes import Stack
from tests.harness.waiting import eventually

pytestmark = [pytest.mark.e2e]

INTERVALS = """
SELECT i.id, i.joined_at, i.beat_at, i.left_at, i.ended_by, c.started_at, c.ended_at
  FROM attendance_intervals i JOIN live_classes c ON c.id = i.class_id WHERE i.class_id = %s ORDER BY i.joined_at
"""


@dataclass
class Held:
    """The class, and what both ends heard of it."""

    id: str
    made: Answer
    strangers: list[Answer]
    student: Listener
    teacher: Listener
    report: Answer
    ended: Answer


@pytest.fixture(scope="module")
def held(stack: Stack, people: People, taught: Taught, purchase: Purchase, io_loop: IOLoop) -> Held:
    """Student at one web, teacher at the other: start, join, announce, leave, come back, end."""

    async def hold() -> Held:
        first, second = stack.webs
        teacher, student = people.teacher, people.student
        soon = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
        body = {"course_id": taught.id, "title": "Reading a swell", "scheduled_at": soon, "duration_minutes": "45"}
        made = await teacher.post("/api/v1/live-classes/", body)
        assert made.status == 201, made.content
        class_id = made.data["id"]
        strangers = [
            await student.post("/api/v1/live-classes/", body),
            await student.post(f"/api/v1/live-classes/{class_id}/start_class/"),
            await student.get(f"/api/v1/attendance/?live_class_id={class_id}"),
        ]
        door = f"/ws/live-class/{class_id}/"
        async with contextlib.AsyncExitStack() as sockets:
            pupil = await sockets.enter_async_context(Listener(first.url, student.token or "", door).open())
            desk = await sockets.enter_async_context(
                Listener(second.url, teacher.token or "", f"{door}instructor/").open()
            )
            await desk.send("start_class", data={"timestamp": soon})
            await eventually(lambda: "live" in statuses(pupil), "the start at the student's socket")
            await pupil.send("join_class", data={"timestamp": "1999-01-01T00:00:00Z"})
            await eventually(lambda: desk.of_type("participant_joined"), "the student at the teacher's desk")
            await desk.send("send_announcement", data={"message": "Page 12, please"})
            await eventually(lambda: pupil.of_type("class_announcement"), "the announcement")
            await pupil.send("leave_class", data={})
            await eventually(lambda: left(desk), "the leaving in the teacher's table")
            await pupil.send("join_class", data={})
            await eventually(lambda: present_again(desk), "the coming back in the teacher's table")
            report = await teacher.get(f"/api/v1/attendance/?live_class_id={class_id}")
            ended = await teacher.post(f"/api/v1/live-classes/{class_id}/end_class/")
            await eventually(lambda: "completed" in statuses(pupil), "the end at the student's socket")
        return Held(class_id, made, strangers, pupil, desk, report, ended)

    return io_loop.run_sync(hold, timeout=90)


def statuses(listener: Listener) -> list[str]:
    """The states of the class that were told."""
    return [data["status"] for data in listener.of_type("class_status_update")]


def rows(desk: Listener) -> Iterator[dict[str, Any]]:
    """The rows of attendance that the desk was sent, oldest first."""
    for data in desk.of_type("attendance_update"):
        yield from data["attendance"]


def left(desk: Listener) -> bool:
    """Whether the last row says that the student is gone."""
    told = list(rows(desk))
    return bool(told) and told[-1]["leave_time"] is not None


def present_again(desk: Listener) -> bool:
    """Whether a row without an end follows one with an end."""
    ends = [row["leave_time"] is None for row in rows(desk)]
    return False in ends and ends[-1]


@pytest.mark.gen_test(timeout=60)
async def test_the_class_is_the_teachers_to_make_and_the_learners_to_see(
    stack: Stack, people: People, taught: Taught, held: Held
) -> None:
    assert [one.status for one in held.strangers] == [403, 403, 403]
    assert (held.made.data["course"], held.made.data["duration_minutes"]) == (taught.id, 45)
    mine = (await people.student.get("/api/v1/live-classes/")).data
    assert [(one["id"], one["status"]) for one in mine["results"]] == [(held.id, "completed")]
    assert mine["results"][0]["join_url"].startswith("http")
    seen = (await stack.client.get(f"/api/v1/live-classes/?course={taught.id}")).data["results"]
    assert [one["id"] for one in seen] == [held.id]
    assert [seen[0].get(secret) for secret in ("join_url", "start_url", "password")] == [None] * 3


@pytest.mark.gen_test(timeout=60)
async def test_both_ends_hear_the_class_live(people: People, held: Held) -> None:
    me = (await people.student.get("/api/v1/users/me/")).body
    joined = held.teacher.of_type("participant_joined")
    assert [(one["user_id"], one["user_name"]) for one in joined] == [(me["id"], "Selma Okoro")]
    assert held.teacher.of_type("participant_left") == [], "she was back within half a minute"
    assert [one["message"] for one in held.student.of_type("class_announcement")] == ["Page 12, please"]
    assert {row["student"]["email"] for row in rows(held.teacher)} == {me["email"]}
    assert held.teacher.of_type("dashboard_update")[0]["dashboard"]["attendance"] == []
    own = [data["attendance"] for data in held.student.of_type("attendance_update")]
    assert {one["student"]["id"] for one in own} == {me["id"]}
    (row,) = held.report.data["results"]
    assert (row["student"]["id"], row["status"], row["live_class"]) == (me["id"], "present", held.id)
    assert (held.ended.status, held.ended.data["status"]) == (200, "completed")


@pytest.mark.gen_test(timeout=60)
async def test_attendance_is_one_interval_in_the_database(books: Books, held: Held) -> None:
    await eventually(lambda: all(row["left_at"] for row in books.rows(INTERVALS, held.id)), "the end of the interval")
    (row,) = books.rows(INTERVALS, held.id)
    assert row["started_at"] <= row["joined_at"] < row["left_at"] == row["ended_at"]
    assert row["ended_by"] == "class_ended"
    assert books.number("SELECT count(*) FROM attendance WHERE class_id = %s", held.id) == 1
