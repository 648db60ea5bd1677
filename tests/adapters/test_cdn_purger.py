"""The purger against a cache that forgets, and against one that fails, stalls or sends elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest

from edurise.adapters.cdn_purger import CdnPurger, NoPurger
from edurise.adapters.resilience import CircuitBreaker, RetryBudget
from edurise.errors import Upstream

PORT = 23205
BASE = f"http://127.0.0.1:{PORT}/cdn"
STALLS, BREAKS_OFF, NONSENSE = "stalls", "breaks off", "nonsense"
Plan = int | str


@dataclass
class Cache:
    """Answers each request by the next of ``plan``, and by 200 when that is at its end."""

    plan: list[Plan] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)
    at_once: int = 0
    most_at_once: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    gate: asyncio.Event | None = None
    busy: asyncio.Event = field(default_factory=asyncio.Event)

    async def look(self) -> None:
        """Go to the cache and back, past its gate."""
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
        writer.write(b"LOOK / HTTP/1.1\r\n\r\n")
        assert await reader.read(-1) == b"here"
        writer.close()
        await writer.wait_closed()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.add(asyncio.current_task())
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._answer((await reader.readuntil(b"\r\n\r\n")).decode(), reader, writer):
                    pass
        finally:
            if not writer.is_closing():
                writer.transport.abort()

    async def _answer(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        line, *rest = head.strip().split("\r\n")
        if line.startswith("LOOK"):
            writer.write(b"here")
            await writer.drain()
            writer.close()
            return False
        headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in rest)}
        self.asked.append((line.split()[0], line.split()[1]))
        self.tokens.add(headers.get("authorization"))
        planned = self.plan.pop(0) if self.plan else 200
        if planned == STALLS:
            await reader.read(1)  # until the client goes
        if planned == NONSENSE:
            writer.write(b"what?\r\n\r\n")
        if not isinstance(planned, int):
            return False
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        if self.at_once == 4:
            self.busy.set()
        if self.gate is not None:
            await self.gate.wait()
        self.at_once -= 1
        where = "Location: http://127.0.0.1:1/\r\n" if planned == 302 else ""
        body = "" if planned == 204 else "Content-Length: 2\r\n"
        writer.write(f"HTTP/1.1 {planned} X\r\n{where}{body}\r\n{'' if planned == 204 else 'ok'}".encode())
        return True


@dataclass
class Bench:
    """A cache, a purger that asks it, and the time by which its breaker goes; pauses are noted, not made."""

    cache: Cache
    purger: CdnPurger
    pauses: list[float]
    clock: list[float]

    async def refused(self, *urls: str) -> None:
        with pytest.raises(Upstream) as told:
            await self.purger.purge(urls)
        assert told.value.code == "CDN_UNAVAILABLE"


@asynccontextmanager
async def bench(*plan: Plan, token: str | None = "secret", failures: int = 100) -> AsyncIterator[Bench]:
    pauses: list[float] = []
    clock = [0.0]

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    purger = CdnPurger(
        f"{BASE}/",
        token,
        timeout_s=0.3,
        breaker=CircuitBreaker("cdn", failures=failures, now=lambda: clock[0]),
        budget=RetryBudget(now=lambda: clock[0]),
        sleep=pause,
    )
    cache = Cache(list(plan))
    server = await asyncio.start_server(cache.take, "127.0.0.1", PORT)
    async with server:
        try:
            yield Bench(cache, purger, pauses, clock)
        finally:
            await purger.close()
            async with asyncio.timeout(5):
                await asyncio.gather(*cache.tasks)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(20):
            await test()

    asyncio.run(whole())


@pytest.mark.parametrize("status", [200, 202, 204, 404])
def test_what_is_forgotten_or_was_never_there_is_purged(status: int) -> None:
    async def test() -> None:
        async with bench(status) as on:
            await on.purger.purge(["/files/a%20b?v=1"])
            assert on.cache.asked == [("PURGE", "/cdn/files/a%20b?v=1")]
            assert on.cache.tokens == {"Bearer secret"}
            assert on.pauses == []

    run(test)


def test_without_a_token_none_is_sent_and_whole_urls_are_taken_as_they_are() -> None:
    async def test() -> None:
        async with bench(token=None) as on:
            await on.purger.purge([f"{BASE}/a", "/b?next=http://example.org/"])
            assert sorted(on.cache.asked) == [("PURGE", "/cdn/a"), ("PURGE", "/cdn/b?next=http://example.org/")]
            assert on.cache.tokens == {None}
            await on.purger.purge([])

    run(test)


@pytest.mark.parametrize("url", ["http://example.org/a", f"{BASE}.example.org/a", f"{BASE}s/a", "a", ""])
def test_the_token_goes_to_this_cache_alone(url: str) -> None:
    async def test() -> None:
        async with bench() as on:
            with pytest.raises(ValueError, match="not below the cache's own URL"):
                await on.purger.purge(["/a", url])
            assert on.cache.asked == []

    run(test)


@pytest.mark.parametrize("failure", [503, 500, 429, STALLS, BREAKS_OFF, NONSENSE])
def test_a_failure_that_passes_is_overcome(failure: Plan) -> None:
    async def test() -> None:
        async with bench(failure, failure) as on:
            await on.purger.purge(["/a"])
            assert on.cache.asked == [("PURGE", "/cdn/a")] * 3
            assert len(on.pauses) == 2
            assert 0 < on.pauses[0] < on.pauses[1] * 2

    run(test)


@pytest.mark.parametrize("failure", [503, STALLS, BREAKS_OFF, NONSENSE])
def test_a_failure_that_stays_is_told(failure: Plan) -> None:
    async def test() -> None:
        async with bench(failure, failure, failure) as on:
            await on.refused("/a")
            assert len(on.cache.asked) == 3

    run(test)


@pytest.mark.parametrize("answer", [405, 401, 403, 400, 302])
def test_a_cache_that_does_not_purge_is_not_asked_again(answer: int) -> None:
    async def test() -> None:
        async with bench(answer) as on:
            await on.refused("/a")
            assert on.cache.asked == [("PURGE", "/cdn/a")]
            assert on.pauses == []

    run(test)


def test_one_that_fails_does_not_keep_the_others_from_being_purged() -> None:
    async def test() -> None:
        async with bench(405) as on:
            await on.refused(*(f"/{number}" for number in range(10)))
            assert len({path for _, path in on.cache.asked}) == 10

    run(test)


def test_no_more_than_four_are_asked_for_at_once() -> None:
    async def test() -> None:
        async with bench() as on:
            on.cache.gate = asyncio.Event()
            purging = asyncio.ensure_future(on.purger.purge([f"/{number}" for number in range(12)]))
            await on.cache.busy.wait()
            for _ in range(5):  # time enough for whoever else would come: the loop serves all of them in turn
                await on.cache.look()
            assert on.cache.at_once == 4
            on.cache.gate.set()
            await purging
            assert (on.cache.most_at_once, len(on.cache.asked)) == (4, 12)

    run(test)


def test_a_cache_that_keeps_failing_is_left_alone_for_a_while() -> None:
    async def test() -> None:
        async with bench(*[503] * 3, failures=3) as on:
            await on.refused("/a")
            await on.refused("/b")
            assert {path for _, path in on.cache.asked} == {"/cdn/a"}
            on.clock[0] += 21.0
            await on.purger.purge(["/b"])

    run(test)


def test_nobody_there_is_told() -> None:
    async def test() -> None:
        async with bench() as on:
            elsewhere = CdnPurger("http://127.0.0.1:1", None, sleep=asyncio.sleep, budget=RetryBudget(capacity=0.0))
            on.purger, mine = elsewhere, on.purger
            await on.refused("/a")
            await elsewhere.close()
            on.purger = mine

    run(test)


def test_where_there_is_no_cache_nothing_is_done() -> None:
    async def test() -> None:
        purger = NoPurger()
        await purger.purge(["/a", "http://example.org/"])
        await purger.close()

    run(test)
