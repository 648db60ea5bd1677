"""A class and its people on a stack: what the fault tests break, and the comparison of what clients heard with what is
stored."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from edurise.tenants.queries import MAIN
from tests.e2e.town import Town, logged_in
from tests.harness.books import Books
from tests.harness.client import PlainClient
from tests.harness.listener import Listener
from tests.harness.processes import Stack
from tests.harness.waiting import eventually

CHANNEL = """SELECT e."offset", e.type FROM channel_events e WHERE e.channel = %s ORDER BY e."offset" """
INTERVALS = """
SELECT i.joined_at, i.beat_at, i.left_at, i.ended_by, c.started_at, c.ended_at
  FROM attendance_intervals i JOIN live_classes c ON c.id = i.class_id
 WHERE i.class_id = %s AND i.person_id = %s ORDER BY i.joined_at
"""


class Classroom:
    """A teacher, students who are enrolled, and classes and conversations of theirs."""

    def __init__(self, stack: Stack, students: int) -> None:
        self.stack = stack
        self.books = Books(stack.postgres.port, stack.mail_folder)
        self.students: list[PlainClient] = []
        self.student_ids: list[UUID] = []
        self._count = students

    async def open(self) -> None:
        """Make the people and the course, and log in."""
        town = Town(self.stack)
        school = town.organization("Harbour School", "harbour")
        teacher_id = town.person("teacher@harbour.example", school, "teacher")
        self.course_id = town.course(teacher_id, school, "Knots", "0")
        emails = [f"pupil-{number}@learners.example" for number in range(self._count)]
        self.student_ids = [town.person(email, MAIN) for email in emails]
        town.close()
        anonymous = PlainClient(self.stack.nginx.url)
        self.teacher = await logged_in(anonymous, "teacher@harbour.example")
        self.students = [await logged_in(anonymous, email) for email in emails]
        for student in self.students:
            enrolled = await student.post(f"/api/v1/courses/{self.course_id}/enroll/")
            assert enrolled.status == 201, enrolled.content

    async def begun(self) -> str:
        """A class that has begun; returns its id."""
        soon = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
        body = {"course_id": str(self.course_id), "title": "Bowline", "scheduled_at": soon, "duration_minutes": 30}
        made = await self.teacher.post("/api/v1/live-classes/", body)
        assert made.status == 201, made.content
        class_id: str = made.data["id"]
        started = await self.teacher.post(f"/api/v1/live-classes/{class_id}/start_class/")
        assert started.status == 200, started.content
        return class_id

    def door(self, class_id: str, student: int, base_url: str | None = None) -> Listener:
        """A student's socket, through nginx unless another address is given."""
        url = base_url or self.stack.nginx.url
        return Listener(url, self.students[student].token or "", f"/ws/live-class/{class_id}/")

    def desk(self, class_id: str) -> Listener:
        """The teacher's socket, through nginx."""
        return Listener(self.stack.nginx.url, self.teacher.token or "", f"/ws/live-class/{class_id}/instructor/")

    def intervals(self, class_id: str, student: int) -> list[dict[str, Any]]:
        """What is stored of a student's attendance."""
        return self.books.rows(INTERVALS, class_id, str(self.student_ids[student]))

    async def conversation(self, student: int) -> str:
        """A new conversation of a student about the course; returns its id."""
        body = {"context": {"course_id": str(self.course_id)}}
        made = await self.students[student].post("/api/v1/ai-conversations/", body)
        assert made.status == 201, made.content
        found: str = made.data["id"]
        return found

    def talk(self, conversation_id: str, student: int) -> Listener:
        """The socket of a conversation, through nginx."""
        return Listener(self.stack.nginx.url, self.students[student].token or "", f"/ws/ai/{conversation_id}/")

    async def messages(self, conversation_id: str, student: int) -> list[dict[str, Any]]:
        """The stored messages."""
        answer = await self.students[student].get(f"/api/v1/ai-conversations/{conversation_id}/messages/")
        assert answer.status == 200, answer.content
        found: list[dict[str, Any]] = answer.data
        return found

    async def same_as_stored(self, channel: str, listeners: Iterable[Listener]) -> None:
        """Every listener hears exactly what is stored of a durable channel by now, from its first position on, each
        event once. They must still be open."""
        head = self.books.number("SELECT head FROM channels WHERE name = %s", channel)
        for listener in listeners:
            await eventually(partial(is_up_to, listener, channel, head), f"{channel} up to {head}")
            heard = events_of(listener, channel)
            stored = [(row["offset"], row["type"]) for row in self.books.rows(CHANNEL, channel)]
            assert heard == [one for one in stored if heard[0][0] <= one[0] <= heard[-1][0]], (heard, stored)
            assert listener.recovered == [True] * len(listener.recovered)


def events_of(listener: Listener, channel: str) -> list[tuple[int, str]]:
    """(offset, type) of the stored events of a channel that a listener has heard, in the order of their arrival."""
    return [(one["offset"], one["type"]) for one in listener.events if one["channel"] == channel]


def is_up_to(listener: Listener, channel: str, head: int) -> bool:
    """Whether a listener has heard a channel up to this offset."""
    return any(offset >= head for offset, _ in events_of(listener, channel))


def plan(question: str, **what: object) -> str:
    """A question that tells the simulated provider how to answer it."""
    return f"{question} [[sim {json.dumps(what)}]]"


def said(listener: Listener) -> str:
    """The text of the answers as it arrived; a token that replaces begins anew."""
    text = ""
    for data in listener.of_type("token"):
        text = ("" if data.get("replace") else text) + data["text"]
    return text
