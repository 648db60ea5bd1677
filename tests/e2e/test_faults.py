"""Kill what runs, at its worst moments, and count: no payment, enrollment or notification is lost or doubled."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest
import redis
from tornado.ioloop import IOLoop

from tests.e2e import cashier
from tests.e2e.conftest import FAULTS_PORT, running_stack
from tests.e2e.market import Market
from tests.harness.client import Answer
from tests.harness.gate import gate
from tests.harness.processes import OwnProgram
from tests.harness.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.faults]

IMPATIENT = {
    "EDU_DELIVERY_STEPS_S": "0.2,0.5,0.5,1,1,1,1,1,1,1,1,1,1,1,1,1",
    "EDU_DELIVERY_RESEND_S": "5",
}
DONE = "SELECT count(*) FROM deliveries WHERE done_at IS NOT NULL"
MADE = "SELECT count(*) FROM deliveries"
UNSENT = "SELECT count(*) FROM deliveries WHERE done_at IS NULL AND sent_at IS NULL"
TWICE = "delivery was done already"


@pytest.fixture(scope="module")
def market(io_loop: IOLoop) -> Iterator[Market]:
    """A stack with learners and courses; every test leaves it whole, and balanced."""
    with running_stack(FAULTS_PORT, IMPATIENT) as stack:
        stack.worker.environment["EDU_LOG_LEVEL"] = "DEBUG"  # from its next start on it tells of second copies
        made = Market(stack, learners=10, courses=80)
        io_loop.run_sync(made.open, timeout=60)
        yield made


async def more(market: Market, statement: str) -> None:
    """Wait until what the statement counts has grown."""
    before = market.books.number(statement)
    await eventually(lambda: market.books.number(statement) > before, statement)


@pytest.mark.gen_test(timeout=90)
async def test_a_worker_dies_between_its_hop_and_its_ack(market: Market) -> None:
    stack, books = market.stack, market.books
    async with market.listening():
        before = books.number(DONE)
        stack.freezer.freeze()  # the worker gets its messages and commits its hops; its acknowledgements are lost
        await market.buy(6)
        await eventually(lambda: books.number(DONE) >= before + 12, "deliveries that are done and not acknowledged")
        await eventually(market.is_quiet, "the end of the deliveries that the frozen worker holds")
        await stack.meanwhile(stack.worker.kill)
        stack.freezer.thaw()
        await stack.meanwhile(stack.worker.start)
        await eventually(lambda: stack.worker.said().count(TWICE) >= 12, "deliveries that come again")


@pytest.mark.gen_test(timeout=90)
async def test_a_worker_dies_again_and_again(market: Market) -> None:
    stack = market.stack
    async with market.listening(), market.load():
        for _ in range(4):
            await more(market, DONE)
            await stack.meanwhile(stack.worker.kill)
            await stack.meanwhile(stack.worker.start)


@pytest.mark.gen_test(timeout=90)
async def test_a_relay_dies_between_publish_and_mark(market: Market) -> None:
    stack, books = market.stack, market.books
    async with market.listening():
        await stack.meanwhile(stack.worker.stop)  # what is published stays in the queues
        with gate(stack.postgres.port, "deliveries", "NEW.sent_at IS NOT NULL") as at_the_mark:
            learner, course_id = market.next_pair()
            market.bought.append(await cashier.bought(learner, stack.gateway, course_id))
            await eventually(at_the_mark, "the relay's mark")
            await stack.meanwhile(stack.relay.kill)
        assert books.number(UNSENT) >= 1
        lapse(market)
        await stack.meanwhile(stack.relay.start)
        await eventually(lambda: books.number(UNSENT) == 0, "the second copies")
        await stack.meanwhile(stack.worker.start)
        await eventually(lambda: stack.worker.said().count(TWICE) >= 1, "a second copy at the worker")


def lapse(market: Market) -> None:
    """Let the claims of a dead relay lapse now, and not half a minute after they were made."""
    market.books.rows(
        "UPDATE deliveries SET next_at = now() WHERE done_at IS NULL AND dead_at IS NULL AND sent_at IS NULL"
    )


@pytest.mark.gen_test(timeout=90)
async def test_a_relay_dies_again_and_again(market: Market) -> None:
    stack = market.stack
    async with market.listening(), market.load():
        for _ in range(4):
            await more(market, MADE)
            await stack.meanwhile(stack.relay.kill)
            lapse(market)
            await stack.meanwhile(stack.relay.start)


@contextlib.asynccontextmanager
async def slow_gateway(market: Market) -> AsyncIterator[None]:
    """A gateway that answers late and sends no webhook before the end of the block."""
    await market.stack.gateway.post("/_sim/plan", {"hold": True, "delay_s": 1.0})
    try:
        yield
    finally:
        await market.stack.gateway.post("/_sim/plan", {"delay_s": 0.0})
        await market.stack.gateway.post("/_sim/release", {"order": "reverse"})


async def cut_off(market: Market, web: OwnProgram, request: asyncio.Task[Answer]) -> None:
    """Kill the web that works on the request."""
    await market.stack.meanwhile(web.kill)
    (outcome,) = await asyncio.gather(request, return_exceptions=True)
    assert isinstance(outcome, Exception), "the web answered before it died"


async def asked(market: Market) -> int:
    """How many requests the gateway has had."""
    return (await market.stack.gateway.get("/_sim/state")).body["counts"].get("requests", 0)


async def is_asked(market: Market, before: int) -> bool:
    """Whether it has had more."""
    return await asked(market) > before


@pytest.mark.gen_test(timeout=90)
async def test_a_web_dies_while_it_asks_the_gateway(market: Market) -> None:
    stack = market.stack
    first, second = stack.webs
    async with market.listening() as listeners:
        learner, course_id = market.next_pair()
        async with slow_gateway(market):
            before = await asked(market)
            starting = asyncio.create_task(cashier.start(learner.at(first.url), course_id))
            await eventually(lambda: is_asked(market, before), "the gateway to be asked for an intent")
            await cut_off(market, first, starting)
            started = await cashier.start(learner.at(second.url), course_id)
            assert started.status == 201, started.content
            paid = await cashier.pay(stack.gateway, started.data)
            assert paid.status == 200, paid.content
            await stack.meanwhile(first.start)
            before = await asked(market)
            payment_id = started.data["payment_id"]
            confirming = asyncio.create_task(cashier.confirm(learner.at(first.url), payment_id))
            await eventually(lambda: is_asked(market, before), "the gateway to be asked for the outcome")
            await cut_off(market, first, confirming)
            done = await cashier.confirm(learner.at(second.url), payment_id)
            assert (done.status, done.data["status"]) == (200, "completed"), done.content
            market.bought.append(payment_id)
        await stack.meanwhile(first.start)
    assert max(len(one.served_by) for one in listeners) > 1, "a socket lost its web and came back"


@pytest.mark.gen_test(timeout=90)
async def test_a_web_dies_inside_the_transaction_that_settles(market: Market) -> None:
    stack = market.stack
    first, second = stack.webs
    async with market.listening() as listeners:
        learner, course_id = market.next_pair()
        async with slow_gateway(market):
            started = await cashier.start(learner, course_id)
            await cashier.pay(stack.gateway, started.data)
            payment_id = started.data["payment_id"]
            with gate(stack.postgres.port, "payments", "NEW.status = 'completed'") as is_settling:
                confirming = asyncio.create_task(cashier.confirm(learner.at(first.url), payment_id))
                await eventually(is_settling, "the settling transaction")
                await cut_off(market, first, confirming)
            done = await cashier.confirm(learner.at(second.url), payment_id)
            assert (done.status, done.data["status"]) == (200, "completed"), done.content
            market.bought.append(payment_id)
        await stack.meanwhile(first.start)
    assert max(len(one.served_by) for one in listeners) > 1, "a socket lost its web and came back"


@pytest.mark.parametrize("service", ["rabbit", "redis", "postgres"])
@pytest.mark.gen_test(timeout=120)
async def test_a_service_restarts_under_load(market: Market, service: str) -> None:
    async with market.listening(), market.load():
        await market.stack.meanwhile(getattr(market.stack, service).restart)


@pytest.mark.gen_test(timeout=90)
async def test_redis_forgets_everything_under_load(market: Market) -> None:
    async with market.listening(), market.load():
        with redis.Redis.from_url(market.stack.redis.url) as store:
            for _ in range(3):
                store.flushall()
                await market.more_purchases()
