"""The fast path alone, over a real Redis: channels, bells, many subscriptions, a server that is away or comes back."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from edurise.adapters import redis_announcer
from edurise.adapters.redis_announcer import RedisAnnouncer, RedisListener
from edurise.ports import ChannelEvent
from tests.harness.machine import redis_prefix, require
from tests.harness.services import OwnRedis, scratch
from tests.ws.conftest import NOON, SOON, run

PORT = 21411


def event(channel: str, offset: int = 1) -> ChannelEvent:
    return ChannelEvent(channel, offset, uuid4(), "x", {"text": "é\u2028", "n": 1.5, "none": None}, NOON)


class Ear:
    """What a listener heard."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[ChannelEvent] = asyncio.Queue()
        self.bells: asyncio.Queue[str] = asyncio.Queue()
        self.restored = 0

    def note_restored(self) -> None:
        self.restored += 1

    async def event(self) -> ChannelEvent:
        return await asyncio.wait_for(self.events.get(), SOON)


@asynccontextmanager
async def listening(announcer: RedisAnnouncer, *bells: str) -> AsyncIterator[tuple[RedisListener, Ear]]:
    ear = Ear()
    listener = announcer.listen(
        event=ear.events.put_nowait, bell=ear.bells.put_nowait, bells=bells, restored=ear.note_restored
    )
    listener.start()
    await asyncio.wait_for(listener.connected.wait(), SOON)
    try:
        yield listener, ear
    finally:
        await listener.close()
        await announcer.close()


async def followed(announcer: RedisAnnouncer, listener: RedisListener, *names: str) -> None:
    """Wait until the server counts a subscriber on each of the channels."""
    for name in names:
        listener.follow(name)
    await until(announcer, names, 1)


async def until(announcer: RedisAnnouncer, names: tuple[str, ...], count: int) -> None:
    keys = [f"{redis_prefix()}ch:{name}" for name in names]
    async with asyncio.timeout(SOON):
        while any(number != count for _, number in await announcer._redis.pubsub_numsub(*keys)):  # noqa: ASYNC110 - Redis tells nobody
            await asyncio.sleep(0.005)


def test_an_event_arrives_as_it_was_announced_where_it_is_followed(redis_url: str) -> None:
    async def scenario() -> None:
        announcer = RedisAnnouncer(redis_url, redis_prefix())
        async with listening(announcer) as (listener, ear):
            await followed(announcer, listener, "room:1")
            sent = [event("room:2"), event("room:1", 7), event("room:1", 8)]
            await announcer.announce(sent)
            assert [await ear.event(), await ear.event()] == sent[1:]
            listener.leave("room:1")
            await until(announcer, ("room:1",), 0)
            assert ear.events.empty()

    run(scenario)


def test_a_bell_wakes_who_listens_for_it(redis_url: str) -> None:
    async def scenario() -> None:
        announcer = RedisAnnouncer(redis_url, redis_prefix())
        async with listening(announcer, "outbox") as (_, ear):
            await announcer.ring("other")
            await announcer.ring("outbox")
            assert await asyncio.wait_for(ear.bells.get(), SOON) == "outbox"

    run(scenario)


def test_many_channels_are_followed_in_portions(redis_url: str) -> None:
    async def scenario() -> None:
        announcer = RedisAnnouncer(redis_url, redis_prefix())
        async with listening(announcer) as (listener, ear):
            names = tuple(f"room:{number}" for number in range(2 * redis_announcer.BATCH + 1))
            await followed(announcer, listener, *names)
            await announcer.announce([event(name) for name in names])
            assert {(await ear.event()).channel for _ in names} == set(names)

    run(scenario)


def test_a_message_that_is_none_is_dropped_and_the_next_one_heard(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        announcer = RedisAnnouncer(redis_url, redis_prefix())
        async with listening(announcer) as (listener, ear):
            await followed(announcer, listener, "room:1")
            await announcer._redis.publish(f"{redis_prefix()}ch:room:1", b"{nonsense")
            await announcer.announce([event("room:1", 2)])
            assert (await ear.event()).offset == 2

    run(scenario)
    assert "was dropped" in caplog.text
    caplog.clear()


def test_without_a_server_announcing_returns_at_once_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        announcer = RedisAnnouncer("redis://127.0.0.1:21419", "p:")
        loop = asyncio.get_running_loop()
        began = loop.time()
        for _ in range(100):
            await announcer.announce([event("room:1")])
        assert announcer.lost == 100
        assert loop.time() - began < redis_announcer.CALL_S
        await announcer.close()

    run(scenario)


def test_it_comes_back_with_all_subscriptions_after_a_restart() -> None:
    require("redis-server")

    async def scenario(redis: OwnRedis) -> None:
        announcer = RedisAnnouncer(redis.url, redis_prefix())
        async with listening(announcer, "outbox") as (listener, ear):
            await followed(announcer, listener, "room:1", "room:2")
            await asyncio.to_thread(redis.kill)
            await wait(lambda: not listener.connected.is_set())
            listener.follow("room:3")
            listener.leave("room:2")
            await asyncio.to_thread(redis.start)
            await asyncio.wait_for(listener.connected.wait(), SOON)
            assert ear.restored == 2
            await announcer.announce([event("room:2"), event("room:3"), event("room:1")])
            assert [(await ear.event()).channel, (await ear.event()).channel] == ["room:3", "room:1"]
            await announcer.ring("outbox")
            assert await asyncio.wait_for(ear.bells.get(), SOON) == "outbox"

    with scratch() as directory, OwnRedis(directory, PORT) as redis:
        run(lambda: scenario(redis))


async def wait(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not condition():  # noqa: ASYNC110 - a connection that breaks sets no event
            await asyncio.sleep(0.005)


def test_a_server_that_hangs_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stopped process keeps its connections open and answers nothing."""
    require("redis-server")

    monkeypatch.setattr(redis_announcer, "SILENCE_S", 0.1)

    async def scenario(redis: OwnRedis) -> None:
        announcer = RedisAnnouncer(redis.url, redis_prefix())
        async with listening(announcer) as (listener, ear):
            os.kill(redis.pid, signal.SIGSTOP)
            try:
                await wait(lambda: not listener.connected.is_set())
            finally:
                os.kill(redis.pid, signal.SIGCONT)
            await asyncio.wait_for(listener.connected.wait(), SOON)
            assert ear.restored >= 2

    with scratch() as directory, OwnRedis(directory, PORT) as redis:
        run(lambda: scenario(redis))
