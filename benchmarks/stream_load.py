"""Who reads answers token by token: many at once, in a process of its own. ``python -m benchmarks.stream_load``.

It reads a plan as JSON from standard input and writes what it saw as JSON to standard output. Each token says when the
provider sent it, by the clock that all processes of a machine share, and is timed the moment its bytes arrive.
"""

from __future__ import annotations

import asyncio
import re
import resource
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any, cast

import orjson
import uvloop

from benchmarks.frames import EMPTY_PONG, masked_text, scan, texts_of

_STAMP = re.compile(rb"t=(\d+) ")
_TOKEN, _DONE, _GREETING = b'"type":"token"', b'"type":"done"', b'"type":"subscribed"'


@dataclass(frozen=True)
class Plan:
    """One request each, begun evenly over ``spread_s``. ``ask`` is said on a socket once it is open; without, it is
    HTTP."""

    port: int
    requests: list[str]
    ask: str
    spread_s: float
    patience_s: float


@dataclass(frozen=True)
class Seen:
    """Delays of tokens since the provider sent them; ``ended`` counts the answers that ended well."""

    tokens: int
    ended: int
    p50_ms: float
    p99_ms: float
    worst_ms: float
    cpu_s: float


class Reader(asyncio.Protocol):
    """One answer over HTTP, as the provider streams it."""

    def __init__(self, request: bytes, delays: list[int]) -> None:
        self._request = request
        self._delays = delays
        self._rest = b""
        self.ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now, data = time.monotonic_ns(), self._rest + data
        used = self.take(data, now)
        self._rest = data[used:]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        self.end(well=False)

    def take(self, data: bytes, now: int) -> int:
        """Time the tokens that are whole; returns how many bytes were used."""
        used = data.rfind(b"\n") + 1
        self.note(data[:used], now)
        if b"data: [DONE]" in data:
            self.end(well=True)
        return used

    def note(self, data: bytes, now: int) -> None:
        self._delays.extend(now - int(stamp) for stamp in _STAMP.findall(data))

    def say(self, data: bytes) -> None:
        self._transport.write(data)

    def end(self, *, well: bool) -> None:
        """The answer is over."""
        if not self.ended.done():
            self.ended.set_result(well)
            self._transport.close()


class SocketReader(Reader):
    """The same through the product's socket: it asks, and reads the frames of tokens."""

    def __init__(self, request: bytes, delays: list[int], ask: bytes) -> None:
        super().__init__(request, delays)
        self._ask = ask
        self._is_up = False

    def take(self, data: bytes, now: int) -> int:
        if not self._is_up:
            head = data.find(b"\r\n\r\n")
            if head < 0:
                return 0
            self._is_up = True
            return head + 4 + self.take(data[head + 4 :], now)
        found = scan(data)
        for text in texts_of(data[: found.used]):
            kind = text[:64]
            if _TOKEN in kind:
                self.note(text, now)
            elif _GREETING in kind:
                self.say(self._ask)
            elif _DONE in kind:
                self.end(well=True)
        if found.pings:
            self.say(EMPTY_PONG * found.pings)
        if found.closed:
            self.end(well=False)
        return found.used


async def run(plan: Plan) -> Seen:
    """Read every answer to its end."""
    loop, delays = asyncio.get_running_loop(), list[int]()
    readers: list[Reader] = []
    before = _cpu_s()
    for number, text in enumerate(plan.requests):
        request = text.encode("latin-1")
        one = SocketReader(request, delays, masked_text(plan.ask)) if plan.ask else Reader(request, delays)
        readers.append(one)
        await loop.create_connection(lambda one=one: one, "127.0.0.1", plan.port)  # type: ignore[misc]
        if number:
            await asyncio.sleep(plan.spread_s / len(plan.requests))
    await asyncio.wait([one.ended for one in readers], timeout=plan.patience_s)
    cpu = _cpu_s() - before
    ended = sum(one.ended.done() and one.ended.result() for one in readers)
    found = sorted(delays) or [0]
    return Seen(
        tokens=len(delays),
        ended=ended,
        p50_ms=found[len(found) // 2] / 1e6,
        p99_ms=found[int(len(found) * 0.99)] / 1e6,
        worst_ms=found[-1] / 1e6,
        cpu_s=cpu,
    )


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Read the plan, run it, write the result."""
    told: dict[str, Any] = orjson.loads(sys.stdin.buffer.read())
    seen = uvloop.run(run(Plan(**told)))
    sys.stdout.write(orjson.dumps(asdict(seen)).decode() + "\n")


if __name__ == "__main__":
    main()
