"""Ephemeral channels over a real Redis: numbers, positions, what is trimmed or forgotten, a server that goes away."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from edurise.adapters import redis_streams
from edurise.adapters.clock import SetClock
from edurise.adapters.redis_announcer import RedisAnnouncer
from edurise.adapters.redis_streams import RedisStreams
from edurise.errors import Overloaded
from edurise.ports import ChannelEvent
from tests.harness.machine import redis_prefix, require
from tests.harness.services import OwnRedis, scratch
from tests.ws.conftest import SOON, run

PORT = 21412
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CHANNEL = "ai:of-a-test"


@asynccontextmanager
async def streams_at(url: str, *, kept: int = redis_streams.KEPT) -> AsyncIterator[RedisStreams]:
    found = RedisStreams(url, f"{redis_prefix()}{uuid4()}:", SetClock(NOON), kept=kept)
    try:
        yield found
    finally:
        await found.close()


async def tokens(streams: RedisStreams, count: int, channel: str = CHANNEL) -> list[ChannelEvent]:
    made = await asyncio.gather(*(streams.append(channel, "token", {"text": f"é{n}\u2028"}) for n in range(count)))
    assert None not in made
    return [one for one in made if one is not None]


def test_events_are_numbered_in_the_order_of_the_calls_and_published_as_they_are_kept() -> None:
    async def scenario() -> None:
        url = require("redis")
        async with streams_at(url) as streams:
            announcer = RedisAnnouncer(url, streams._prefix)
            heard: asyncio.Queue[ChannelEvent] = asyncio.Queue()
            listener = announcer.listen(event=heard.put_nowait)
            listener.follow(CHANNEL)
            listener.start()
            try:
                await asyncio.wait_for(listener.connected.wait(), SOON)
                made = await tokens(streams, 1200)
                assert [one.offset for one in made] == list(range(1, 1201))
                assert len({one.epoch for one in made}) == 1
                assert [await asyncio.wait_for(heard.get(), SOON) for _ in made] == made
                found = await streams.read(CHANNEL, 0, None)
                assert (found.recovered, found.head, found.start, found.events) == (True, 1200, 0, made)
            finally:
                await listener.close()
                await announcer.close()

    run(scenario)


def test_channels_do_not_mix_and_heads_are_one_question() -> None:
    async def scenario() -> None:
        async with streams_at(require("redis")) as streams:
            one, other = await asyncio.gather(tokens(streams, 3, "ai:a"), tokens(streams, 5, "ai:b"))
            heads = await streams.heads(["ai:a", "ai:b", "ai:nobody"])
            assert heads == {"ai:a": (3, one[0].epoch), "ai:b": (5, other[0].epoch)}
            assert (await streams.read("ai:nobody", 0, None)).recovered is True
            assert await streams.heads([]) == {}

    run(scenario)


@pytest.mark.parametrize("after", range(5))
def test_a_position_continues_with_exactly_what_followed(after: int) -> None:
    async def scenario() -> None:
        async with streams_at(require("redis")) as streams:
            made = await tokens(streams, 4)
            found = await streams.read(CHANNEL, after, made[0].epoch)
            assert (found.recovered, found.start, found.head) == (True, after, 4)
            assert found.events == made[after:]

    run(scenario)


@pytest.mark.parametrize(
    ("after", "epoch", "recovered"),
    [
        (0, None, True),
        (2, None, False),
        (5, "held", False),
        (10**17, "held", False),
        (2, "other", False),
        (None, None, False),
    ],
)
def test_a_position_that_does_not_continue_is_refused(after: int | None, epoch: str | None, recovered: bool) -> None:
    async def scenario() -> None:
        async with streams_at(require("redis")) as streams:
            made = await tokens(streams, 4)
            told = {"held": made[0].epoch, "other": uuid4(), None: None}[epoch]
            found = await streams.read(CHANNEL, after, told)
            assert (found.recovered, found.head, found.epoch) == (recovered, 4, made[0].epoch)
            # In another numbering, as long as all of it is kept, one begins before its first event.
            assert found.start == (after if recovered else 0 if after == 2 and epoch != "held" else 4)

    run(scenario)


def test_a_position_before_what_was_trimmed_is_refused_and_the_first_kept_one_is_not() -> None:
    async def scenario() -> None:
        async with streams_at(require("redis"), kept=3) as streams:
            made = await tokens(streams, 10)
            epoch = made[0].epoch
            assert [(await streams.read(CHANNEL, after, epoch)).recovered for after in range(11)] == [False] * 7 + [
                True
            ] * 4
            assert (await streams.read(CHANNEL, 7, epoch)).events == made[7:]

    run(scenario)


@pytest.mark.parametrize("forgotten", ["numbering", "stream", "both"])
def test_what_redis_forgot_is_never_resumed_silently(forgotten: str) -> None:
    async def scenario() -> None:
        async with streams_at(require("redis")) as streams:
            made = await tokens(streams, 4)
            stream, numbering = streams._keys(CHANNEL)
            await streams._redis.delete(
                *{"numbering": [numbering], "stream": [stream], "both": [stream, numbering]}[forgotten]
            )
            assert (await streams.read(CHANNEL, 2, made[0].epoch)).recovered is False
            after = await tokens(streams, 2)
            found = await streams.read(CHANNEL, 2, made[0].epoch)
            assert (found.recovered, found.events) == (False, [])
            if forgotten != "stream":
                assert [one.offset for one in after] == [1, 2]
                assert after[0].epoch != made[0].epoch
            assert (await streams.read(CHANNEL, after[0].offset, after[0].epoch)).events == after[1:]

    run(scenario)


def test_an_event_of_another_numbering_is_not_taken_and_a_renewed_one_begins_anew() -> None:
    async def scenario() -> None:
        async with streams_at(require("redis")) as streams:
            first = await streams.append(CHANNEL, "token", {"text": "a"})
            assert first is not None
            assert await streams.append(CHANNEL, "token", {"text": "b"}, epoch=uuid4()) is None
            assert await streams.append("ai:unknown", "token", {"text": "b"}, epoch=uuid4()) is None
            assert "ai:unknown" not in await streams.heads(["ai:unknown"])
            again = await streams.append(CHANNEL, "token", {"text": "ab", "replace": True}, renew=True)
            assert again is not None
            assert (again.offset, again.epoch != first.epoch) == (1, True)
            second = await streams.append(CHANNEL, "token", {"text": "c"}, epoch=again.epoch)
            assert second is not None
            assert (await streams.read(CHANNEL, 0, again.epoch)).events == [again, second]
            assert (await streams.read(CHANNEL, 1, first.epoch)).recovered is False

    run(scenario)


def test_a_server_that_forgot_its_scripts_is_given_them_again() -> None:
    async def scenario() -> None:
        with scratch() as directory, OwnRedis(directory / "redis", PORT) as server:
            async with streams_at(server.url) as streams:
                await tokens(streams, 2)
                await streams._redis.script_flush()
                assert [one.offset for one in await tokens(streams, 3)] == [3, 4, 5]

    run(scenario)


def test_while_the_server_is_away_nothing_is_taken_and_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_streams, "CALL_S", 0.3)

    async def scenario() -> None:
        with scratch() as directory, OwnRedis(directory / "redis", PORT) as server:
            async with streams_at(server.url) as streams:
                made = await tokens(streams, 2)
                assert server.pid is not None
                os.kill(server.pid, signal.SIGSTOP)
                try:
                    assert await streams.append(CHANNEL, "token", {}, epoch=made[0].epoch) is None
                    began = asyncio.get_running_loop().time()
                    assert await streams.append(CHANNEL, "token", {}, epoch=made[0].epoch) is None
                    assert asyncio.get_running_loop().time() - began < 0.1
                    with pytest.raises(Overloaded):
                        await streams.read(CHANNEL, 0, None)
                    with pytest.raises(Overloaded):
                        await streams.heads([CHANNEL])
                    streams._away_until = 0.0
                    for longest in (0.6, 0.1):  # who asks after the first one is refused at once
                        began = asyncio.get_running_loop().time()
                        with pytest.raises(Overloaded):
                            await streams.read(CHANNEL, 0, None)
                        assert asyncio.get_running_loop().time() - began < longest
                finally:
                    os.kill(server.pid, signal.SIGCONT)
                streams._away_until = 0.0
                renewed = await streams.append(CHANNEL, "token", {"text": "all"}, renew=True)
                assert renewed is not None
                # What the server was given while it stood still may be carried out only now: it belongs to the old
                # numbering and must not show up in the new one.
                second = await streams.append(CHANNEL, "token", {"text": "more"}, epoch=renewed.epoch)
                assert second is not None
                assert (await streams.read(CHANNEL, 0, renewed.epoch)).events == [renewed, second]
                assert streams.lost >= 2

    run(scenario)


def test_a_restarted_server_begins_anew() -> None:
    async def scenario() -> None:
        with scratch() as directory, OwnRedis(directory / "redis", PORT) as server:
            async with streams_at(server.url) as streams:
                made = await tokens(streams, 2)
                server.restart()
                # The first one finds that the connection is gone.
                lost = await streams.append(CHANNEL, "token", {"text": "x"}, epoch=made[0].epoch)
                assert lost is None
                streams._away_until = 0.0
                assert await streams.append(CHANNEL, "token", {"text": "x"}, epoch=made[0].epoch) is None
                renewed = await streams.append(CHANNEL, "token", {"text": "xy"}, renew=True)
                assert renewed is not None
                assert (renewed.offset, isinstance(renewed.epoch, UUID)) == (1, True)

    run(scenario)
