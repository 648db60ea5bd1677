"""Over a real broker: what is sent arrives, what is not answered comes again, what kills its workers ends, and a
restart loses nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aio_pika
import pytest
from aio_pika.exceptions import DeliveryError
from aiormq import spec
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from actors.registry import actor
from actors.runtime import DeliveryHop
from edurise.adapters import rabbit
from edurise.adapters.rabbit import RabbitTransport
from edurise.authz import Principal
from edurise.outbox import Event
from edurise.ports import Dispatch
from tests.actors.workshop import START, Happened, Workshop, leave, run, until
from tests.harness.machine import amqp_prefix, require
from tests.harness.services import OwnRabbit, scratch

ACTOR = "tests.react"
NUMBERS = itertools.count()
PORT = 21_500 + 10 * (os.getpid() % 9)


@pytest.fixture
def prefix() -> Iterator[str]:
    """A prefix of this test's own; its queues are deleted afterwards."""
    found = f"{amqp_prefix()}{next(NUMBERS)}."
    yield found
    asyncio.run(forget(require("rabbitmq"), found))


async def forget(url: str, prefix: str) -> None:
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        for name in (ACTOR, "tests.fail", "dead-letters"):
            await channel.queue_delete(f"{prefix}{name}")


@asynccontextmanager
async def opened(url: str, prefix: str, *, prefetch: int = 8) -> AsyncIterator[RabbitTransport]:
    transport = RabbitTransport(url, prefix, prefetch=prefetch, drain_s=3)
    try:
        yield transport
    finally:
        await transport.close()


@asynccontextmanager
async def running(*work: Awaitable[None]) -> AsyncIterator[None]:
    """Run parts of a process beside the test, and end them as a process does."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def reacting(shop: Workshop) -> list[Event]:
    called: list[Event] = []

    @actor(on=Happened, name=ACTOR, registry=shop.registry)
    async def react(c: object, event: Happened, hop: DeliveryHop) -> None:
        called.append(event)
        await hop(leave, event, event.note, final=True)

    return called


async def ignore(dispatch: Dispatch) -> None:
    """Nothing is lost here."""


def test_recorded_published_consumed_done(shop: Workshop, prefix: str) -> None:
    called = reacting(shop)
    notes = [f"{number} 🎓" for number in range(50)]

    async def story() -> None:
        url = require("rabbitmq")
        async with (
            opened(url, prefix) as sender,
            opened(url, prefix) as receiver,
            running(shop.relay(sender, batch=20).run(), shop.runtime.run(receiver)),
        ):
            for note in notes:
                await asyncio.to_thread(shop.record, Happened(note=note))
            shop.bells.ring()
            await until(lambda: len(shop.effects()) == len(notes))

    run(story())
    assert sorted(shop.effects()) == sorted(notes)
    assert len(called) == len(notes)
    assert {event.at for event in called} == {START}
    assert shop.read("SELECT count(*) AS n FROM deliveries WHERE done_at IS NULL") == [{"n": 0}]


def test_two_workers_and_every_message_twice(shop: Workshop, prefix: str) -> None:
    reacting(shop)
    ids = [shop.record(Happened()) for _ in range(40)]

    class Twice(RabbitTransport):
        async def publish(self, dispatches: list[Dispatch]) -> list[Dispatch]:  # type: ignore[override]  # narrower on purpose
            await super().publish(dispatches)
            return list(await super().publish(dispatches))

    async def story() -> None:
        async with opened(require("rabbitmq"), prefix) as first, opened(require("rabbitmq"), prefix) as second:
            sender = Twice(require("rabbitmq"), prefix)
            async with running(shop.runtime.run(first), shop.runtime.run(second)):
                await shop.relay(sender).round()
                await until(lambda: len(shop.effects()) >= len(ids))
                await empty(prefix)
            await sender.close()

    run(story())
    assert [len(shop.effects(one)) for one in ids] == [1] * len(ids)


async def empty(prefix: str) -> None:
    """Wait until the queue holds nothing, delivered or not."""
    connection = await aio_pika.connect(require("rabbitmq"))
    async with connection:
        channel = await connection.channel()
        while True:
            queue = await channel.declare_queue(f"{prefix}{ACTOR}", passive=True)
            if not queue.declaration_result.message_count:
                return
            await asyncio.sleep(0.02)


def test_a_worker_that_dies_before_its_ack_is_followed_by_another(shop: Workshop, prefix: str) -> None:
    reacting(shop)
    event_id = shop.record(Happened())
    seen: list[bool] = []

    async def story() -> None:
        url = require("rabbitmq")
        async with opened(url, prefix) as sender:
            await shop.relay(sender).round()
        done = asyncio.Event()

        async def dies(dispatch: Dispatch) -> None:
            await shop.runtime.handle(dispatch)
            seen.append(dispatch.again)
            done.set()
            await asyncio.Event().wait()

        dying = RabbitTransport(url, prefix, drain_s=0)
        async with running(dying.consume([ACTOR], dies, ignore)):
            await done.wait()
        await dying.close()
        done.clear()

        async def lives(dispatch: Dispatch) -> None:
            seen.append(dispatch.again)
            await shop.runtime.handle(dispatch)
            done.set()

        async with opened(url, prefix) as receiver, running(receiver.consume([ACTOR], lives, ignore)):
            await done.wait()

    run(story())
    assert seen == [False, True]
    assert len(shop.effects(event_id)) == 1


def test_a_message_that_kills_its_workers_is_lost_after_the_limit(shop: Workshop, prefix: str) -> None:
    reacting(shop)
    event_id = shop.record(Happened())
    tries: list[int] = []

    async def kills(dispatch: Dispatch) -> None:
        tries.append(1)
        raise MemoryError

    async def story() -> None:
        async with opened(require("rabbitmq"), prefix) as transport:
            await shop.relay(transport).round()
            async with running(transport.consume([ACTOR], kills, shop.runtime.lost)):
                await until(lambda: shop.delivery(event_id)["attempts"] == 1)

    run(story())
    assert len(tries) == rabbit.DELIVERY_LIMIT + 1
    assert "its workers ended" in shop.delivery(event_id)["last_error"]


def test_a_drain_finishes_what_runs_and_gives_back_the_rest(shop: Workshop, prefix: str) -> None:
    inside, gate = threading.Event(), threading.Event()

    def slow(session: Session, who: Principal, event: Event) -> None:
        inside.set()
        assert gate.wait(10)
        leave(session, who, event)

    @actor(on=Happened, name=ACTOR, registry=shop.registry)
    async def react(c: object, event: Happened, hop: DeliveryHop) -> None:
        await hop(slow, event, final=True)

    for _ in range(3):
        shop.record(Happened())

    async def story() -> None:
        url = require("rabbitmq")
        async with opened(url, prefix, prefetch=1) as transport:
            await shop.relay(transport).round()
            worker = asyncio.ensure_future(shop.runtime.run(transport))
            await until(inside.is_set)
            worker.cancel()
            asyncio.get_running_loop().call_later(0.1, gate.set)
            await asyncio.wait({worker})
        connection = await aio_pika.connect(url)
        async with connection:
            queue = await (await connection.channel()).declare_queue(f"{prefix}{ACTOR}", passive=True)
            assert queue.declaration_result.message_count == 2

    run(story())
    assert len(shop.effects()) == 1


def test_a_message_that_cannot_be_read_stands_in_nobodys_way(shop: Workshop, prefix: str) -> None:
    reacting(shop)
    shop.record(Happened())

    async def story() -> None:
        url = require("rabbitmq")
        async with opened(url, prefix) as transport:
            async with running(shop.runtime.run(transport)):
                connection = await aio_pika.connect(url)
                async with connection:
                    channel = await connection.channel()
                    await channel.declare_queue(
                        f"{prefix}{ACTOR}", passive=False, durable=True, arguments=arguments(prefix)
                    )
                    for body in (b"", b"[]", b"{", b'{"event_id": 7}', b"\xff\xfe", b"null"):
                        await channel.default_exchange.publish(aio_pika.Message(body), f"{prefix}{ACTOR}")
                await shop.relay(transport).round()
                await until(lambda: len(shop.effects()) == 1)
            await empty(prefix)

    run(story())


def arguments(prefix: str) -> dict[str, object]:
    return {
        "x-queue-type": "quorum",
        "x-delivery-limit": rabbit.DELIVERY_LIMIT,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": f"{prefix}dead-letters",
    }


def test_a_queue_that_somebody_deletes_is_declared_again(shop: Workshop, prefix: str) -> None:
    reacting(shop)

    async def story() -> None:
        url = require("rabbitmq")
        async with opened(url, prefix) as sender, opened(url, prefix) as receiver:
            relay = shop.relay(sender)
            async with running(shop.runtime.run(receiver)):
                await asyncio.to_thread(shop.record, Happened(note="before"))
                await relay.round()
                await until(lambda: shop.effects() == ["before"])
                connection = await aio_pika.connect(url)
                async with connection:
                    await (await connection.channel()).queue_delete(f"{prefix}{ACTOR}")
                await asyncio.to_thread(shop.record, Happened(note="after"))
                async with running(relay.run(), keep_time(shop)):
                    await until(lambda: len(shop.effects()) == 2)

    run(story())


async def keep_time(shop: Workshop) -> None:
    """Let the set clock go on by a second now and then, for what is tried again after a second."""
    while True:
        await asyncio.sleep(0.1)
        shop.advance(1)


def test_a_broker_that_is_away_confirms_nothing(shop: Workshop, caplog: pytest.LogCaptureFixture) -> None:
    reacting(shop)
    event_id = shop.record(Happened())

    async def story() -> None:
        async with opened("amqp://guest:guest@127.0.0.1:21599/", "nobody.") as transport:
            batch = await transport.publish([Dispatch(event_id, ACTOR, Happened.topic, None, START, {}, 0, False)])
            assert batch == []

    run(story())
    assert "cannot be reached" in caplog.text


def registered(server: OwnRabbit, queue: str) -> bool:
    """Whether a crash would leave the queue: its name reaches the disk half a second after it is declared
    (rabbitmq/ra#443).
    """
    return any(queue.encode() in file.read_bytes() for file in server.directory.glob("mnesia/*/quorum/*/names.dets"))


@pytest.mark.faults
def test_a_restart_of_the_broker_loses_and_doubles_nothing(shop: Workshop) -> None:
    require("rabbitmq-server")
    reacting(shop)

    async def story(server: OwnRabbit) -> None:
        async with (
            opened(server.url, "restart.") as sender,
            opened(server.url, "restart.") as receiver,
            running(shop.relay(sender, batch=10).run(), shop.runtime.run(receiver), keep_time(shop)),
        ):
            for number in range(30):
                await asyncio.to_thread(shop.record, Happened(note=str(number)))
            await until(lambda: len(shop.effects()) >= 10 and registered(server, f"restart.{ACTOR}"))
            await asyncio.to_thread(server.kill)
            for number in range(30, 60):
                await asyncio.to_thread(shop.record, Happened(note=str(number)))
            await asyncio.to_thread(server.start)
            await until(lambda: len(shop.effects()) >= 60)

    async def bounded(server: OwnRabbit) -> None:
        async with asyncio.timeout(120):
            await story(server)

    with scratch() as directory, OwnRabbit(Path(directory), PORT) as server:
        asyncio.run(bounded(server))
    assert sorted(map(int, shop.effects())) == list(range(60))
    assert shop.read("SELECT count(*) AS n FROM deliveries WHERE done_at IS NULL") == [{"n": 0}]


def test_a_refused_message_is_tried_again_at_once(prefix: str) -> None:
    """A quorum queue refuses until it has a leader; the relay must not wait for the delivery's next turn."""
    nack = spec.Basic.Nack(delivery_tag=1, multiple=True)
    answers: list[Exception | None] = [DeliveryError(None, nack), DeliveryError(None, nack), None]

    class Exchange:
        async def publish(self, *_: object, **__: object) -> None:
            answer = answers.pop(0)
            if answer is not None:
                raise answer

    class Channel:
        default_exchange = Exchange()

    dispatch = Dispatch(uuid7(), "tests.react", "tests.happened.v1", None, START, {}, 0, False)
    run(RabbitTransport("amqp://nowhere", prefix)._send(Channel(), dispatch))  # type: ignore[arg-type]  # a channel's only use
    assert answers == []


def test_a_message_that_comes_back_is_not_tried_again(prefix: str) -> None:
    """Its queue is gone: it has to be declared first."""

    class Exchange:
        async def publish(self, *_: object, **__: object) -> None:
            raise DeliveryError(None, spec.Basic.Return(reply_code=312, exchange="", routing_key="gone"))

    class Channel:
        default_exchange = Exchange()

    dispatch = Dispatch(uuid7(), "tests.react", "tests.happened.v1", None, START, {}, 0, False)
    with pytest.raises(DeliveryError):
        run(RabbitTransport("amqp://nowhere", prefix)._send(Channel(), dispatch))  # type: ignore[arg-type]  # as above
