"""The promise of the hub: each event exactly once and in order on an open connection, whatever the fast path does."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID, uuid4

import orjson
import pytest
from uuid_utils.compat import uuid7

from edurise.adapters.clock import SetClock
from edurise.channels import Replay
from edurise.db import Database
from edurise.errors import Kind, NotFound, Overloaded
from edurise.ports import ChannelEvent
from handlers.ws.frames import CLOSE_OF, Close
from handlers.ws.peer import SESSION, Peer, Subscription
from handlers.ws.topic import SLICE, Topic
from tests.harness.machine import require
from tests.harness.services import OwnRedis, scratch
from tests.ws.conftest import NOON, Client, Connect, Site, clients_of, run, running_site

REDIS_PORT = 21410


@dataclass
class PaperWire:
    """A wire that writes down."""

    sent: list[bytes] = field(default_factory=list)
    closed: bool = False
    ended: str = ""

    def send(self, frame: bytes) -> None:
        self.sent.append(frame)

    def ping(self) -> None: ...

    def close(self, code: int, reason: str) -> None:
        self.closed, self.ended = True, f"{code} {reason}"

    def drop(self) -> None:
        self.closed, self.ended = True, "dropped"

    def gone(self) -> None:
        self.closed = True

    def offsets(self) -> list[int]:
        bodies = (frame[2 if frame[1] < 126 else 4 :] for frame in self.sent)
        return [body["offset"] for body in map(orjson.loads, bodies) if body["type"] == "x"]


def paper_peer() -> tuple[Peer, PaperWire]:
    wire = PaperWire()
    return Peer(wire, SESSION, uuid7(), uuid7(), NOON + timedelta(hours=1)), wire


def events(channel: str, epoch: UUID, *offsets: int) -> list[ChannelEvent]:
    return [ChannelEvent(channel, offset, epoch, "x", {}, NOON) for offset in offsets]


async def opened(connect: Connect, site: Site, person: UUID) -> Client:
    client = await connect("/ws/session/", token=site.c.tokens.issue(person))
    await client.receive_type("connection_established")
    client.send(type="subscribe", channel=f"notifications:{person}")
    await client.receive_type("subscribed")
    return client


@pytest.mark.parametrize("seed", range(20))
def test_any_order_and_any_repetition_becomes_each_once_in_order(seed: int) -> None:
    async def scenario() -> None:
        random.seed(seed)
        epoch, topic = uuid4(), Topic("room:1")
        topic.learn(Replay(False, [], 10, epoch, 10), spawn)
        peer, wire = paper_peer()
        topic.members[peer] = subscription = Subscription(peer)
        subscription.offset = 10
        arriving = events("room:1", epoch, *range(5, 41)) * 2
        random.shuffle(arriving)
        for event in arriving:
            topic.take(event, spawn)
        assert topic.complete
        assert topic.held is None
        assert wire.offsets() == list(range(11, 41))

    run(scenario)


def spawn(work: object) -> None:
    raise AssertionError("nothing here needs a task")


def test_events_that_come_before_the_first_position_are_kept() -> None:
    epoch, topic = uuid4(), Topic("room:1")
    for event in events("room:1", epoch, 3, 5, 4):
        topic.take(event, spawn)
    topic.learn(Replay(False, [], 3, epoch, 3), spawn)
    assert (topic.offset, topic.complete) == (5, True)


def test_another_numbering_is_doubted_not_believed() -> None:
    topic = Topic("room:1")
    topic.learn(Replay(False, [], 3, uuid4(), 3), spawn)
    assert topic.take(events("room:1", uuid4(), 1)[0], spawn) is False
    assert (topic.offset, topic.complete) == (3, False)


def test_a_broadcast_to_many_yields_to_the_loop_and_keeps_the_order() -> None:
    async def scenario() -> None:
        epoch, topic = uuid4(), Topic("room:1")
        topic.learn(Replay(False, [], 0, epoch, 0), spawn)
        wires = []
        for _ in range(3 * SLICE):
            peer, wire = paper_peer()
            wires.append(wire)
            topic.members[peer] = subscription = Subscription(peer)
            subscription.offset = 0
        tasks: list[asyncio.Task[None]] = []
        for event in events("room:1", epoch, 1, 2):
            topic.take(event, lambda work: tasks.append(asyncio.create_task(work)))
        turns = 0
        while not tasks[0].done():
            turns += 1
            await asyncio.sleep(0)
        assert len(tasks) == 1
        assert turns >= 6
        assert all(wire.offsets() == [1, 2] for wire in wires)
        assert topic.outbox is None

    run(scenario)


def test_who_joins_during_a_storm_gets_each_event_once(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            count = 60

            async def storm() -> None:
                for number in range(count):
                    await site.tell(person, number)

            storming = asyncio.create_task(storm())
            for _ in range(6):
                client = await connect("/ws/session/", token=site.c.tokens.issue(person))
                await client.receive_type("connection_established")
                client.send(type="subscribe", channel=f"notifications:{person}")
                start = (await client.receive_type("subscribed"))["offset"]
                got = await client.notifications(count - start)
                assert got == [(offset, offset - 1) for offset in range(start + 1, count + 1)]
                await client.nothing()
            await storming

    run(scenario)


def test_without_the_fast_path_the_tick_brings_everything(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            client = await opened(connect, site, person)
            site.mute = True
            for number in range(3):
                await site.tell(person, number)
            site.hub.tick()
            assert await client.notifications(3) == [(1, 0), (2, 1), (3, 2)]
            site.mute = False
            await site.tell(person, 3)
            assert await client.notifications(1) == [(4, 3)]
            site.hub.tick()
            await client.nothing()

    run(scenario)


def test_a_lost_message_is_noticed_by_the_next_one(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            client = await opened(connect, site, person)
            await site.tell(person, 0)
            site.mute = True
            await site.tell(person, 1)
            site.mute = False
            await site.tell(person, 2)
            assert await client.notifications(3) == [(1, 0), (2, 1), (3, 2)]
            assert site.hub.repairs == 1

    run(scenario)


def test_two_processes_each_tell_their_own_sockets(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        async with (
            running_site(database, clock, redis_url) as one,
            running_site(database, clock, redis_url) as two,
            clients_of(one) as connect_one,
            clients_of(two) as connect_two,
        ):
            clients = [await opened(connect_one, one, person), await opened(connect_two, two, person)]
            for number in range(5):
                await (one if number % 2 else two).tell(person, number)
            for client in clients:
                assert await client.notifications(5) == [(number + 1, number) for number in range(5)]
                await client.nothing()

    run(scenario)


def test_a_restart_of_redis_loses_and_doubles_nothing(database: Database, clock: SetClock, person: UUID) -> None:
    require("redis-server")

    async def scenario(redis: OwnRedis) -> None:
        async with running_site(database, clock, redis.url) as site, clients_of(site) as connect:
            listener = site.hub._listener
            await asyncio.wait_for(listener.connected.wait(), 5)
            client = await opened(connect, site, person)
            await site.tell(person, 0)
            assert await client.notifications(1) == [(1, 0)]
            await asyncio.to_thread(redis.kill)
            for number in range(1, 4):
                await site.tell(person, number)
            assert site.c.announcer.lost > 0 or site.announcing
            site.hub.tick()
            assert await client.notifications(3) == [(2, 1), (3, 2), (4, 3)]
            site.mute = True
            await site.tell(person, 4)  # nobody is told, and no tick follows
            site.mute = False
            await asyncio.to_thread(redis.start)
            assert await client.notifications(1) == [(5, 4)]  # the restored connection compares at once
            await asyncio.gather(*site.announcing)
            site.c.announcer._away_until = 0.0
            await site.tell(person, 5)
            assert await client.notifications(1) == [(6, 5)]
            await client.nothing()

    with scratch() as directory, OwnRedis(directory, REDIS_PORT) as redis:
        run(lambda: scenario(redis))


def test_redis_away_from_the_start_to_the_end_costs_only_time(
    database: Database, clock: SetClock, person: UUID
) -> None:
    async def scenario() -> None:
        url = "redis://127.0.0.1:21419"  # nothing listens there
        async with running_site(database, clock, url) as site, clients_of(site) as connect:
            client = await opened(connect, site, person)
            for number in range(3):
                await site.tell(person, number)
            await site.reconciled()
            assert await client.notifications(3) == [(1, 0), (2, 1), (3, 2)]

    run(scenario)


def test_a_refused_join_leaves_nothing_behind(database: Database, clock: SetClock, redis_url: str) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site:
            peer, _ = paper_peer()

            async def refused() -> Replay:
                raise NotFound

            with pytest.raises(NotFound):
                await site.hub.join(peer, "room:1", refused, lambda _: None)
            assert site.hub.topics == 0
            assert peer.following == {}

    run(scenario)


def test_who_leaves_while_joining_is_not_kept(database: Database, clock: SetClock, redis_url: str) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site:
            peer, wire = paper_peer()

            async def gone() -> Replay:
                site.hub.remove(peer)
                return Replay(False, [], 0, None, 0)

            await site.hub.join(peer, "room:1", gone, lambda _: pytest.fail("greeted after its end"))
            assert (site.hub.topics, wire.sent) == (0, [])

    run(scenario)


def test_the_first_event_ever_between_two_joins_is_no_new_numbering(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            first = await opened(connect, site, person)
            site.mute = True
            await site.tell(person, 0)
            second = await opened(connect, site, person)
            assert await first.notifications(1) == [(1, 0)]
            await second.nothing()
            assert site.hub.renumbered == 0

    run(scenario)


def test_the_database_away_for_a_tick_is_survived(
    database: Database, clock: SetClock, redis_url: str, person: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            client = await opened(connect, site, person)
            site.mute = True
            await site.tell(person, 0)

            async def away(*_: object, **__: object) -> None:
                raise Overloaded("DATABASE_UNAVAILABLE")

            with monkeypatch.context() as patched:
                patched.setattr(database, "system", away)
                site.hub.tick()
                await site.until(lambda: not site.hub._reconciling)
            site.hub.tick()
            assert await client.notifications(1) == [(1, 0)]

    run(scenario)


def test_kinds_of_close_are_mapped_for_every_kind_of_error() -> None:
    assert set(CLOSE_OF) == set(Kind)
    assert all(1011 <= code < 5000 for code in Close)
