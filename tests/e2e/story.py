"""What the story is about: the people, the course and the purchase, made once over the public API for all its chapters."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from tornado.ioloop import IOLoop

from edurise.tenants.queries import MAIN
from tests.e2e import cashier
from tests.e2e.town import AUTH, Town, logged_in
from tests.harness.books import Books
from tests.harness.client import Answer, Client
from tests.harness.listener import Listener, one_at_each_web
from tests.harness.processes import Stack
from tests.harness.waiting import eventually
from tests.harness.world import PASSWORD

STUDENT, TEACHER = "selma@learners.example", "tariq@bay.example"
ADMINISTRATOR, PLATFORM = "admin@bay.example", "platform@edurise.example"
PRICE = 49.9


@dataclass
class People:
    """Who takes part, each as a client that is logged in."""

    organization: UUID
    student: Client
    teacher: Client
    administrator: Client
    platform: Client
    registered: dict[str, Answer]
    approval: list[Answer] = field(default_factory=list)


@dataclass
class Taught:
    """The course, as its author made it."""

    id: str
    lesson_id: str
    module_ids: list[str]
    before: dict[str, Answer]
    """What the student was answered while it was a draft."""


@dataclass
class Purchase:
    """The purchase, and what two open sockets heard of it."""

    started: Answer
    repeated: list[Answer]
    confirmations: list[Answer]
    listeners: list[Listener]

    @property
    def id(self) -> str:
        return self.started.data["payment_id"]


def form(email: str, first_name: str, *, teaches: bool) -> dict[str, Any]:
    """What the registration page sends."""
    return {
        "email": email, "password": PASSWORD, "password_confirm": PASSWORD, "first_name": first_name,
        "last_name": "Okoro", "is_teacher": teaches,
    }  # fmt: skip


@pytest.fixture(scope="session")
def town(stack: Stack) -> Iterator[Town]:
    made = Town(stack)
    yield made
    made.close()


@pytest.fixture(scope="session")
def people(stack: Stack, town: Town, io_loop: IOLoop) -> People:
    """Student and teacher register; the administrator approves the teacher."""
    bay = town.organization("Bay College", "bay")
    town.person(ADMINISTRATOR, bay, "admin")
    town.person(PLATFORM, MAIN, "admin", platform=True)

    async def gather() -> People:
        anonymous = stack.client
        student = await anonymous.post(f"{AUTH}/register/", form(STUDENT, "Selma", teaches=False))
        teacher = await anonymous.post(f"{AUTH}/register/", form(TEACHER, "Tariq", teaches=True), X_Tenant_ID=str(bay))
        assert (student.status, teacher.status) == (201, 201), (student.content, teacher.content)
        found = People(
            bay, anonymous.as_(student.body["access"]), anonymous.as_(teacher.body["access"]),
            await logged_in(anonymous, ADMINISTRATOR), await logged_in(anonymous, PLATFORM),
            {"student": student, "teacher": teacher},
        )  # fmt: skip
        early = await found.teacher.post("/api/v1/courses/", {"title": "Too early", "category": "technology"})
        listed = await found.administrator.get("/api/v1/teacher-approvals/")
        own = f"/api/v1/teacher-approvals/{listed.data[0]['id']}/approve/"
        found.approval = [early, listed, await found.teacher.post(own), await found.administrator.post(own)]
        return found

    return io_loop.run_sync(gather, timeout=60)


@pytest.fixture(scope="session")
def taught(people: People, io_loop: IOLoop) -> Taught:
    """The teacher writes a course of two modules and publishes it."""

    async def write() -> Taught:
        teacher = people.teacher
        course = await teacher.post("/api/v1/courses/", {
            "title": "Harvesting Ocean Waves", "description": "From swell to socket.", "category": "technology",
            "difficulty_level": "beginner", "tags": ["energy"], "price": PRICE, "duration_weeks": 4,
        }, Idempotency_Key="the-first-course")  # fmt: skip
        assert (course.status, course.data["status"]) == (201, "draft"), course.content
        course_id, module_ids, lesson_id = course.data["id"], [], ""
        for title in ("Swell", "Socket"):
            module = await teacher.post("/api/v1/course-modules/", {"course": course_id, "title": title})
            assert module.status == 201, module.content
            module_ids.append(module.data["id"])
            content = "<p>Secret</p><script>x()</script>"
            text = {"module": module.data["id"], "title": f"{title} in short", "content": content}
            lesson = await teacher.post("/api/v1/course-lessons/", text)
            assert lesson.status == 201, lesson.content
            lesson_id = lesson.data["id"]
        before = {
            "course": await people.student.get(f"/api/v1/courses/{course_id}/"),
            "payment": await cashier.start(people.student, course_id),
            "search": await people.student.get("/api/v1/courses/marketplace/?search=harvest"),
        }
        published = await teacher.patch(f"/api/v1/courses/{course_id}/", {"is_public": True})
        assert (published.status, published.data["status"]) == (200, "published"), published.content
        return Taught(course_id, lesson_id, module_ids, before)

    return io_loop.run_sync(write, timeout=60)


@pytest.fixture(scope="session")
def purchase(stack: Stack, books: Books, people: People, taught: Taught, io_loop: IOLoop) -> Purchase:
    """The student buys the course while two sockets listen, one at each web; browser and webhooks race."""

    async def buy() -> Purchase:
        async with contextlib.AsyncExitStack() as sockets:
            token = people.student.token or ""
            listeners = await one_at_each_web(stack.nginx.url, token, len(stack.webs), sockets)
            plan = await stack.gateway.post("/_sim/plan", {"hold": True, "repeat": 3, "duplicate": 2})
            assert plan.status == 200, plan.content
            body = {"course_id": taught.id, "payment_method": "stripe", "amount": 1, "currency": "XXX"}
            path = f"{cashier.PAYMENTS}/create_course_payment/"
            started = await people.student.post(path, body, Idempotency_Key="a-click")
            repeated = [
                await people.student.post(path, body, Idempotency_Key="a-click"),
                await people.student.post("/api/v1/v1/payments/create_course_payment/", body),
                await cashier.confirm(people.student, started.data["payment_id"]),
            ]
            paid = await cashier.pay(stack.gateway, started.data)
            assert paid.status == 200, paid.content
            race = [cashier.confirm(people.student, started.data["payment_id"]) for _ in range(6)]
            *answers, released = await asyncio.gather(*race, stack.gateway.post("/_sim/release"))
            assert released.body["released"] == 3
            await eventually(lambda: quiet(stack, books), "everything that follows from the purchase", 40)
            for listener in listeners:
                await eventually(lambda heard=listener: len(heard.types()) >= 2, "the frames of the purchase")
            return Purchase(started, repeated, answers, listeners)

    return io_loop.run_sync(buy, timeout=120)


async def quiet(stack: Stack, books: Books) -> bool:
    """Whether all webhooks were taken and all deliveries have ended."""
    state = (await stack.gateway.get("/_sim/state")).body
    return state["webhooks"]["pending"] == 0 and state["webhooks"]["held"] == 0 and books.open_work() == 0
