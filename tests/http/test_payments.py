"""Buying a course: the server's price, one settlement whoever comes first, and every way in which it goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from edurise.adapters.provision import DatabaseUrls
from tests.harness.client import Answer, Client
from tests.harness.errands import run_actors
from tests.harness.world import Someone, World
from tests.harness.worlds import another
from tests.security.scene import row_counts, status_of
from tests.simulators.stripe import PROCESSING_METHOD, RefusedError, StripeSimulator
from tests.simulators.stripe_webhooks import sign

API = "/api/v1"
START = f"{API}/payments/create_course_payment/"
HOOK = f"{API}/webhooks/stripe/"
ACTOR = "payments.settle_what_was_reported"
SECRET = "whsec_simulated"


@dataclass
class Shop:
    """A World whose gateway is a Stripe simulator, and a paid course in it."""

    world: World
    sim: StripeSimulator
    teacher: Someone
    course: UUID

    async def start(self, buyer: Client, course: UUID | None = None, **headers: str) -> Answer:
        return await buyer.post(START, {"course_id": str(course or self.course)}, **headers)

    async def confirm(self, buyer: Client, started: Answer) -> Answer:
        return await buyer.post(f"{API}/payments/{started.data['payment_id']}/confirm_payment/")

    async def hook(self, event: dict[str, Any], secret: str = SECRET, **changed: Any) -> Answer:
        """Deliver an event as Stripe does."""
        body = json.dumps(event | changed).encode()
        return await self.world.anonymous.call("POST", HOOK, raw=body, headers={"Stripe-Signature": sign(body, secret)})

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.sim.courier.events if event["type"] == kind]

    def count(self, table: str, buyer: Someone, column: str = "person_id") -> int:
        question = text(f"SELECT count(*) FROM {table} WHERE {column} = :id")
        found: int = self.world.c.db.system_sync(lambda session: session.scalar(question, {"id": buyer.id}))
        return found

    def settled(self, payment_id: str) -> int:
        """How often the platform was told that this payment settled."""
        question = text(
            "SELECT count(*) FROM outbox WHERE topic = 'payments.settled.v1' AND payload->>'payment_id' = :id"
        )
        found: int = self.world.c.db.system_sync(lambda session: session.scalar(question, {"id": payment_id}))
        return found


@contextlib.asynccontextmanager
async def shop(world: World, database: DatabaseUrls) -> AsyncIterator[Shop]:
    sim = StripeSimulator(secret=SECRET)
    sim.plan.hold = True
    await sim.start()
    stripe = {"stripe_secret_key": sim.api_key, "stripe_webhook_secret": SECRET, "stripe_api_url": sim.url}
    try:
        async with another(world, database, **stripe) as selling:
            teacher = selling.person("teacher", selling.organization())
            yield Shop(selling, sim, teacher, selling.course(teacher, price=Decimal("49.90"))["id"])
    finally:
        await sim.stop()


@pytest.mark.gen_test
async def test_a_purchase_across_organizations_enrolls_once_and_for_all(world: World, database: DatabaseUrls) -> None:
    async with shop(world, database) as at:
        buyer = at.world.person()
        client = at.world.of(buyer)
        refused = await client.post(f"{API}/courses/{at.course}/enroll/")
        assert (refused.status, refused.code) == (409, "PAYMENT_REQUIRED")
        started = await at.start(client)
        intent = at.sim.intents[started.data["payment_intent_id"]]
        assert (intent["amount"], intent["currency"]) == (4990, "usd")
        assert started.data["client_secret"] == intent["client_secret"]
        assert started.data["gateway"] == "stripe"
        early = await at.confirm(client, started)
        assert (early.status, early.data["status"]) == (200, "pending"), "nothing was paid yet"
        at.sim.confirm(started.data["payment_intent_id"])
        paid = await at.confirm(client, started)
        assert (paid.data["status"], paid.data["stripe_payment_intent_id"]) == ("completed", intent["id"])
        assert "client_secret" not in paid.content.decode()
        assert (await at.confirm(client, started)).data == paid.data
        courses = (await client.get(f"{API}/courses/enrolled_courses/")).data
        assert [row["id"] for row in courses] == [str(at.course)]
        assert (await client.post(f"{API}/courses/{at.course}/enroll/")).status == 200
        again = await at.start(client)
        assert (again.status, again.code) == (409, "ALREADY_ENROLLED")
        mine = [row["id"] for row in (await client.get(f"{API}/users/tenants/")).data]
        assert str(at.teacher.tenant_id) in mine, "the buyer became a member"
        assert [at.count(name, buyer) for name in ("enrollments", "entitlements", "standings")] == [1, 1, 1]
        assert at.settled(started.data["payment_id"]) == 1
        assert json.dumps(intent["client_secret"]) not in started.content.decode().replace(
            intent["client_secret"], "", 1
        )


@pytest.mark.gen_test
async def test_confirmations_and_webhooks_race_and_settle_once(world: World, database: DatabaseUrls) -> None:
    async with shop(world, database) as at:
        buyer = at.world.person()
        client = at.world.of(buyer)
        started = await at.start(client)
        at.sim.confirm(started.data["payment_intent_id"])
        event = at.events("payment_intent.succeeded")[-1]
        assert (await at.hook(event)).status == 200
        answers = await asyncio.gather(
            *(at.confirm(client, started) for _ in range(6)),
            run_actors(at.world, ACTOR, times=3),
            *(at.hook(event) for _ in range(3)),
        )
        assert {one.status for one in answers if isinstance(one, Answer)} == {200}
        assert await run_actors(at.world, ACTOR) == 0, "the repeated webhooks were one"
        assert [at.count(name, buyer) for name in ("enrollments", "entitlements")] == [1, 1]
        assert at.settled(started.data["payment_id"]) == 1
        assert at.count("payments", buyer, "learner_id") == 1


@pytest.mark.gen_test
async def test_webhooks_alone_settle_in_any_order_and_number(world: World, database: DatabaseUrls) -> None:
    async with shop(world, database) as at:
        buyer = at.world.person()
        client = at.world.of(buyer)
        started = await at.start(client)
        at.sim.confirm(started.data["payment_intent_id"])
        for event in reversed(at.sim.courier.events):
            for _ in range(2):
                assert (await at.hook(event)).status == 200
        await run_actors(at.world, ACTOR, times=2)
        assert at.count("enrollments", buyer) == 1
        assert at.settled(started.data["payment_id"]) == 1
        assert (await at.confirm(client, started)).data["status"] == "completed"


@pytest.mark.gen_test
async def test_a_webhook_that_nobody_signed_changes_nothing(world: World, database: DatabaseUrls) -> None:
    async with shop(world, database) as at:
        client = at.world.of(at.world.person())
        started = await at.start(client)
        at.sim.confirm(started.data["payment_intent_id"])
        event = at.events("payment_intent.succeeded")[-1]
        body = json.dumps(event).encode()
        before = row_counts(at.world)
        good = sign(body, SECRET)
        for signature in (
            "",
            "x",
            "t=1,v1=",
            sign(body, "whsec_other"),
            sign(body, SECRET, at=1),
            good.replace("v1=", "v0="),
            good[:-1],
        ):
            refused = await at.world.anonymous.call("POST", HOOK, raw=body, headers={"Stripe-Signature": signature})
            assert (refused.status, refused.code) == (400, "WEBHOOK_SIGNATURE"), signature
        changed = await at.world.anonymous.call("POST", HOOK, raw=body + b" ", headers={"Stripe-Signature": good})
        assert changed.code == "WEBHOOK_SIGNATURE"
        for nonsense in (b"", b"[]", b"{}", b'{"id": 1}', b"\xff"):
            answer = await at.world.anonymous.call(
                "POST", HOOK, raw=nonsense, headers={"Stripe-Signature": sign(nonsense, SECRET)}
            )
            assert (answer.status, answer.code) in ((400, "WEBHOOK_BODY"), (400, "WEBHOOK_SIGNATURE")), nonsense
        assert row_counts(at.world) == before
        sandbox = await world.anonymous.call("POST", HOOK, raw=body, headers={"Stripe-Signature": good})
        assert sandbox.status in (400, 404), "an installation without Stripe takes no webhooks of it"


@pytest.mark.gen_test
async def test_webhooks_about_what_is_not_ours_are_accepted_and_come_to_nothing(
    world: World, database: DatabaseUrls
) -> None:
    async with shop(world, database) as at:
        foreign = at.sim.create({"amount": "100", "currency": "usd", "automatic_payment_methods[enabled]": "true"})
        at.sim.confirm(foreign["id"])
        for event in at.sim.courier.events:
            assert (await at.hook(event)).status == 200
        before = row_counts(at.world)
        await run_actors(at.world, ACTOR)
        after = row_counts(at.world)
        for name in ("payments", "enrollments", "entitlements", "notifications"):
            assert after[name] == before[name]


@pytest.mark.gen_test
async def test_a_declined_card_is_told_and_may_be_tried_again(world: World, database: DatabaseUrls) -> None:
    async with shop(world, database) as at:
        buyer = at.world.person()
        client = at.world.of(buyer)
        started = await at.start(client)
        with pytest.raises(RefusedError):
            at.sim.confirm(started.data["payment_intent_id"], "pm_card_chargeDeclinedInsufficientFunds")
        declined = await at.confirm(client, started)
        assert (declined.status, declined.code) == (400, "PAYMENT_DECLINED")
        assert at.count("enrollments", buyer) == 0
        again = await at.start(client)
        assert again.data["payment_id"] == started.data["payment_id"], "one open payment for a learner and a course"
        at.sim.confirm(again.data["payment_intent_id"])
        assert (await at.confirm(client, again)).data["status"] == "completed"


@pytest.mark.gen_test
async def test_a_slow_and_a_cancelled_payment(world: World, database: DatabaseUrls) -> None:
    async with shop(world, database) as at:
        buyer = at.world.person()
        client = at.world.of(buyer)
        slow = await at.start(client)
        at.sim.confirm(slow.data["payment_intent_id"], PROCESSING_METHOD)
        assert (await at.confirm(client, slow)).data["status"] == "processing"
        assert at.count("enrollments", buyer) == 0
        at.sim.settle(slow.data["payment_intent_id"])
        assert (await at.confirm(client, slow)).data["status"] == "completed"
        other = at.world.course(at.teacher, price=Decimal(5))["id"]
        gone = await at.start(client, other)
        at.sim.cancel(gone.data["payment_intent_id"])
        cancelled = (await at.confirm(client, gone)).data
        assert (cancelled["status"], cancelled["completed_at"]) == ("cancelled", None)
        fresh = await at.start(client, other)
        assert fresh.data["payment_id"] != gone.data["payment_id"], "a cancelled payment is not open"


@pytest.mark.gen_test
async def test_another_amount_than_was_asked_for_settles_nothing(world: World, database: DatabaseUrls) -> None:
    async with shop(world, database) as at:
        buyer = at.world.person()
        client = at.world.of(buyer)
        started = await at.start(client)
        intent = at.sim.intents[started.data["payment_intent_id"]]
        for name, value in (("amount", 1), ("currency", "jpy")):
            kept, intent[name] = intent[name], value
            if intent["status"] != "succeeded":
                at.sim.confirm(intent["id"])
            refused = await at.confirm(client, started)
            assert (refused.status, refused.code) == (409, "PAYMENT_MISMATCH"), name
            intent[name] = kept
        intent["metadata"]["payment_id"] = str(buyer.id)
        assert at.count("enrollments", buyer) == 0


@pytest.mark.gen_test
async def test_one_person_s_intent_does_not_pay_for_another(world: World, database: DatabaseUrls) -> None:
    async with shop(world, database) as at:
        one, two = at.world.person(), at.world.person()
        first, second = await at.start(at.world.of(one)), await at.start(at.world.of(two))
        at.sim.confirm(first.data["payment_intent_id"])
        assert (await at.confirm(at.world.of(two), first)).status == 404, "somebody else's payment does not exist"
        assert (await at.confirm(at.world.of(two), second)).data["status"] == "pending"
        assert (at.count("enrollments", one), at.count("enrollments", two)) == (0, 0)


@pytest.mark.gen_test
async def test_a_gateway_that_fails_is_told_as_such_and_repeats_nothing(world: World, database: DatabaseUrls) -> None:
    async with shop(world, database) as at:
        buyer = at.world.person()
        client = at.world.of(buyer)
        at.sim.plan.fail_after = 1
        started = await at.start(client)
        assert started.status == 201
        assert at.sim.counts["created"] == 1, "the repeat found the first intent"
        at.sim.plan.fail = 50
        refused = await at.confirm(client, started)
        assert (refused.status, refused.code) == (424, "PAYMENT_GATEWAY_UNAVAILABLE")
        assert "Simulated" not in refused.content.decode()
        assert at.count("payments", buyer, "learner_id") == 1


@pytest.mark.gen_test
async def test_the_price_at_the_start_of_the_payment_holds(world: World, database: DatabaseUrls) -> None:
    async with shop(world, database) as at:
        client, later = at.world.of(at.world.person()), at.world.of(at.world.person())
        started = await at.start(client)
        changed = await at.world.of(at.teacher).patch(f"{API}/courses/{at.course}/", {"price": 60, "title": "Renamed"})
        assert changed.data["price"] == 60
        again = await at.start(client)
        assert (again.data["amount"], again.data["payment_id"]) == (49.9, started.data["payment_id"])
        assert (await at.start(later)).data["amount"] == 60
        at.sim.confirm(again.data["payment_intent_id"])
        assert (await at.confirm(client, again)).data["amount"] == 49.9


@pytest.mark.gen_test
async def test_starting_is_safe_to_repeat_and_to_hurry(world: World, database: DatabaseUrls) -> None:
    async with shop(world, database) as at:
        client = at.world.of(at.world.person())
        answers = await asyncio.gather(*(at.start(client) for _ in range(6)))
        assert {one.status for one in answers} == {201}
        assert len({one.data["payment_id"] for one in answers}) == 1
        assert len({one.data["payment_intent_id"] for one in answers}) == 1
        assert at.sim.counts["created"] == 1


@pytest.mark.gen_test
async def test_what_cannot_be_bought(world: World, database: DatabaseUrls) -> None:
    async with shop(world, database) as at:
        client = at.world.of(at.world.person())
        free = at.world.course(at.teacher)["id"]
        assert (await at.start(client, free)).code == "COURSE_IS_FREE"
        for method in ("paypal", "bank_transfer"):
            refused = await client.post(START, {"course_id": str(at.course), "payment_method": method})
            assert (refused.status, refused.code) == (409, "PAYMENT_METHOD_UNAVAILABLE")
        assert (await client.post(START, {"course_id": str(at.course), "payment_method": "cash"})).status == 400
        suspended = at.world.course(at.teacher, price=Decimal(5))["id"]
        learner = at.world.person()
        status_of(at.world, at.world.person("admin", at.teacher.tenant_id), suspended, "suspended")
        assert (await at.start(at.world.of(learner), suspended)).status == 404, "as if it were not there"
        assert (await at.start(at.world.of(at.teacher), suspended)).code == "COURSE_NOT_ON_SALE"
        assert at.sim.counts["created"] == 0


@pytest.mark.gen_test
async def test_whoever_paid_gets_a_place_even_in_a_course_that_filled_up(world: World, database: DatabaseUrls) -> None:
    async with shop(world, database) as at:
        small = at.world.course(at.teacher, price=Decimal(5), max_students=1)["id"]
        one, two, late = (at.world.of(at.world.person()) for _ in range(3))
        first, second = await at.start(one, small), await at.start(two, small)
        for client, started in ((one, first), (two, second)):
            at.sim.confirm(started.data["payment_intent_id"])
            assert (await at.confirm(client, started)).data["status"] == "completed"
            assert len((await client.get(f"{API}/courses/enrolled_courses/")).data) == 1
        assert (await at.start(late, small)).code == "COURSE_FULL"


@pytest.mark.gen_test
async def test_the_sandbox_says_what_it_is(world: World) -> None:
    course = world.course(world.person("teacher", world.organization(currency="EUR")), price=Decimal(5))
    client = world.of(world.person())
    started = (await client.post(START, {"course_id": str(course["id"])})).data
    assert (started["gateway"], started["client_secret"], started["currency"]) == ("sandbox", None, "EUR")
    paid = (await client.post(f"{API}/payments/{started['payment_id']}/confirm_payment/")).data
    assert (paid["status"], paid["stripe_payment_intent_id"]) == ("completed", None)
    dialog = await client.post(
        f"{API}/payments/", {"course": str(course["id"]), "payment_method": "stripe", "amount": 5, "status": "pending"}
    )
    assert (dialog.status, dialog.code) == (409, "PAYMENT_DIALOG_UNSUPPORTED")
