"""A load of purchases, and the balance that must come out whatever was killed meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import psycopg2

from edurise.tenants.queries import MAIN
from tests.e2e import cashier
from tests.e2e.town import Town, logged_in
from tests.harness.books import Books
from tests.harness.client import PlainClient
from tests.harness.listener import Listener, one_at_each_web
from tests.harness.processes import Stack
from tests.harness.waiting import eventually

AT_ONCE = 3
MOST_OPEN = 60
QUIET_WITHIN_S = 60.0


class Market:
    """Learners of ``main`` who buy courses of another organization; each purchase is of a course that its learner does
    not have.
    """

    def __init__(self, stack: Stack, learners: int, courses: int) -> None:
        self.stack = stack
        self.books = Books(stack.postgres.port, stack.mail_folder)
        self.learners: list[PlainClient] = []
        self.person_ids: list[UUID] = []
        self.bought: list[str] = []
        self._course_ids: list[UUID] = []
        self._begun = 0
        self._sizes = (learners, courses)

    async def open(self) -> None:
        """Make the people and the courses, and log in."""
        town = Town(self.stack)
        school = town.organization("Harbour School", "harbour")
        teacher = town.person("teacher@harbour.example", school, "teacher")
        learners, courses = self._sizes
        self._course_ids = [town.course(teacher, school, f"Course {number}", "12.50") for number in range(courses)]
        emails = [f"learner-{number}@learners.example" for number in range(learners)]
        self.person_ids = [town.person(email, MAIN) for email in emails]
        town.close()
        anonymous = PlainClient(self.stack.nginx.url)
        self.learners = [await logged_in(anonymous, email) for email in emails]

    @property
    def next_learner(self) -> PlainClient:
        """Whose the next purchase will be: the learners take turns."""
        return self.learners[self._begun % len(self.learners)]

    def next_pair(self) -> tuple[PlainClient, UUID]:
        """The next learner, and a course that they do not have."""
        learner, round_number = self.next_learner, self._begun // len(self.learners)
        assert round_number < len(self._course_ids), "everybody has every course; make more of them"
        self._begun += 1
        return learner, self._course_ids[round_number]

    async def buy(self, count: int) -> None:
        """Buy ``count`` courses, a few at once."""
        numbers = iter(range(count))

        async def shop() -> None:
            for _ in numbers:
                await self._buy_one()

        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(shop())

    @contextlib.asynccontextmanager
    async def load(self) -> AsyncIterator[None]:
        """Purchases that go on until the block has ended, and are all brought to their ends."""
        is_over = asyncio.Event()

        async def shop() -> None:
            while not is_over.is_set():
                await self._buy_one()

        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(shop())
            try:
                await self.more_purchases()
                yield
                await self.more_purchases()
            finally:
                is_over.set()

    async def more_purchases(self) -> None:
        """Wait until some more have come to their ends."""
        before = len(self.bought)
        await eventually(lambda: len(self.bought) >= before + AT_ONCE, "more purchases")

    async def _buy_one(self) -> None:
        """One purchase; of every third the browser never asks what became of it."""
        await eventually(self._has_room, "fewer open deliveries", QUIET_WITHIN_S)
        learner, course_id = self.next_pair()
        confirms = self._begun % 3 != 0
        self.bought.append(await cashier.bought(learner, self.stack.gateway, course_id, confirms=confirms))

    def _has_room(self) -> bool:
        """Whether the load may go on: what follows from it must be able to keep up. Unknown while the database is
        away."""
        try:
            return self.books.open_work() < MOST_OPEN
        except psycopg2.OperationalError:
            return True

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[list[Listener]]:
        """Sockets of the next learner, one at each web. At the end of the block everything balances, and each socket
        has
        heard of it all, once and in order.
        """
        learner = self.next_learner
        person_id = self.person_ids[self.learners.index(learner)]
        async with contextlib.AsyncExitStack() as sockets:
            webs = len(self.stack.webs)
            listeners = await one_at_each_web(self.stack.nginx.url, learner.token or "", webs, sockets)
            yield listeners
            await self.balance()
            head = self.books.number("SELECT head FROM channels WHERE name = %s", f"notifications:{person_id}")
            for one in listeners:
                start = one.told[0]["offset"]
                assert head > start, "the learner was told something meanwhile"
                await eventually(lambda one=one: one.offsets and one.offsets[-1] >= head, "the last frame of a socket")
                assert one.offsets == list(range(start + 1, head + 1))
                assert all(one.recovered), one.recovered

    async def is_quiet(self) -> bool:
        """Whether all webhooks were taken and all deliveries have ended."""
        webhooks = (await self.stack.gateway.get("/_sim/state")).body["webhooks"]
        return webhooks["pending"] == webhooks["held"] == 0 and self.books.open_work() == 0

    async def balance(self) -> None:
        """Wait until nothing is under way, then count: nothing is lost and nothing is there twice."""
        await eventually(self.is_quiet, "the end of all deliveries", QUIET_WITHIN_S)
        purchases: dict[str, dict[str, Any]] = {str(one["id"]): one for one in self.books.purchases()}
        assert {payment_id for payment_id in self.bought if purchases[payment_id]["status"] != "completed"} == set()
        assert len(purchases) == len(set(self.bought)) == len(self.bought)
        assert self.books.wrong_purchases() == []
        assert self.books.dead_deliveries() == []
        assert self.books.channels_with_gaps() == []
        assert set(self.books.receipts()) == self.books.settled_events()
        counts = (await self.stack.gateway.get("/_sim/state")).body["counts"]
        assert counts["created"] == counts["succeeded"] == len(self.bought), "one intent for each payment, paid once"
