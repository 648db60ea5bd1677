"""What the other tests rely on: the simulator really is as hostile as it is told to be."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from edurise.adapters.stripe_gateway import StripeGateway
from tests.simulators.stripe import RefusedError, StripeSimulator

SECRET = "whsec_simulated"
Run = Callable[[Coroutine[Any, Any, Any]], Any]


class Inbox(RequestHandler):
    """Verifies each webhook as the product does, notes it, and answers with the next of ``statuses``."""

    def initialize(self, seen: list[tuple[str, str]], statuses: list[int]) -> None:
        self.seen = seen
        self.statuses = statuses

    def post(self) -> None:
        gateway = StripeGateway(api_key="sk", webhook_secret=SECRET)
        event = gateway.read_event(self.request.body, self.request.headers["Stripe-Signature"])
        self.seen.append((event.id, event.type))
        self.set_status(self.statuses.pop(0) if self.statuses else 200)


class Stage:
    """A simulator, and a receiver of its webhooks."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.statuses: list[int] = []

    @asynccontextmanager
    async def open(self) -> AsyncIterator[StripeSimulator]:
        sockets = bind_sockets(0, "127.0.0.1")
        server = HTTPServer(Application([("/hook", Inbox, {"seen": self.seen, "statuses": self.statuses})]))
        server.add_sockets(sockets)
        sim = StripeSimulator(webhook_url=f"http://127.0.0.1:{sockets[0].getsockname()[1]}/hook", secret=SECRET)
        await sim.start()
        try:
            yield sim
        finally:
            await sim.stop()
            server.stop()
            await server.close_all_connections()

    def types(self) -> list[str]:
        return [type_ for _, type_ in self.seen]


@pytest.fixture
def run() -> Iterator[Run]:
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture
def stage() -> Stage:
    return Stage()


def intent(sim: StripeSimulator, amount: int = 4900) -> str:
    made = sim.create({"amount": str(amount), "currency": "eur", "automatic_payment_methods[enabled]": "true"})
    return str(made["id"])


async def post(sim: StripeSimulator, path: str, body: dict[str, Any] | str, **headers: str) -> HTTPResponse:
    raw = body if isinstance(body, str) else json.dumps(body)
    client = AsyncHTTPClient(force_instance=True)
    try:
        return await client.fetch(sim.url + path, method="POST", body=raw, headers=headers, raise_error=False)
    finally:
        client.close()


def test_a_refused_webhook_is_sent_until_it_is_taken(run: Run, stage: Stage) -> None:
    async def scene() -> None:
        async with stage.open() as sim:
            stage.statuses += [500, 429, 404]
            intent(sim)
            await sim.courier.idle()
            assert sim.courier.counts["attempts"] == 4

    run(scene())
    assert len(set(stage.seen)) == 1
    assert len(stage.seen) == 4


def test_webhooks_are_repeated_and_duplicated_under_one_id(run: Run, stage: Stage) -> None:
    async def scene() -> None:
        async with stage.open() as sim:
            sim.plan.repeat, sim.plan.duplicate = 3, 2
            intent(sim)
            await sim.courier.idle()

    run(scene())
    assert len(stage.seen) == 6
    assert len(set(stage.seen)) == 1


def test_held_webhooks_come_in_reverse(run: Run, stage: Stage) -> None:
    async def scene() -> None:
        async with stage.open() as sim:
            sim.plan.hold = True
            sim.confirm(intent(sim))
            await sim.courier.idle()
            assert stage.seen == []
            assert (await post(sim, "/_sim/release", {})).body == json.dumps({"released": 3}, indent=2).encode()
            await sim.courier.idle()

    run(scene())
    assert stage.types() == ["payment_intent.succeeded", "charge.succeeded", "payment_intent.created"]


def test_a_dropped_webhook_comes_only_when_it_is_sent_again(run: Run, stage: Stage) -> None:
    async def scene() -> None:
        async with stage.open() as sim:
            assert (await post(sim, "/_sim/plan", {"drop": 3})).code == 200
            sim.confirm(intent(sim))
            await sim.courier.idle()
            assert stage.seen == []
            await post(sim, "/_sim/resend", {})
            await sim.courier.idle()
            assert sim.state()["webhooks"]["dropped"] == 3

    run(scene())
    assert len(stage.seen) == 3


def test_the_browser_confirms_with_the_client_secret(run: Run, stage: Stage) -> None:
    async def scene() -> None:
        async with stage.open() as sim:
            reference = intent(sim)
            path = f"/v1/payment_intents/{reference}/confirm"
            assert (await post(sim, path, urlencode({"client_secret": "guess"}))).code == 401
            secret = sim.intents[reference]["client_secret"]
            declined = urlencode({"client_secret": secret, "payment_method": "pm_card_chargeDeclined"})
            assert (await post(sim, path, declined)).code == 402
            assert (await post(sim, path, urlencode({"client_secret": secret}))).code == 200
            assert (await post(sim, path, urlencode({"client_secret": secret}))).code == 400
            assert sim.counts["succeeded"] == 1

    run(scene())


def test_refunds_end_at_the_amount(run: Run, stage: Stage) -> None:
    async def scene() -> None:
        async with stage.open() as sim:
            reference = intent(sim, 1000)
            with pytest.raises(RefusedError):
                sim.refund({"payment_intent": reference})
            sim.confirm(reference)
            authorized = {"Authorization": f"Bearer {sim.api_key}"}
            first = urlencode({"payment_intent": reference, "amount": 700})
            assert (await post(sim, "/v1/refunds", first, **authorized)).code == 200
            assert (await post(sim, "/v1/refunds", first, **authorized)).code == 400
            assert sim.refund({"payment_intent": reference})["amount"] == 300
            with pytest.raises(RefusedError) as refused:
                sim.refund({"payment_intent": reference})
            assert refused.value.body["error"]["code"] == "charge_already_refunded"
            await sim.courier.idle()

    run(scene())
    assert stage.types().count("charge.refunded") == 2


def test_a_late_answer_is_late(run: Run, stage: Stage) -> None:
    async def scene() -> None:
        async with stage.open() as sim:
            sim.plan.delay_s = 0.05
            gateway = StripeGateway(api_key=sim.api_key, webhook_secret=SECRET, api_url=sim.url)
            before = asyncio.get_running_loop().time()
            await gateway.find_intent(intent(sim))
            assert asyncio.get_running_loop().time() - before >= 0.05
            await gateway.close()

    run(scene())


def test_an_unknown_plan_is_refused(run: Run, stage: Stage) -> None:
    async def scene() -> None:
        async with stage.open() as sim:
            assert (await post(sim, "/_sim/plan", {"hangs": 1})).code == 400

    run(scene())
