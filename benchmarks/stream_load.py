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
_RENEWED = b'"replace":true'


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
    """Delays of tokens since the provider sent them, of those that it sent while every answer ran.

    ``tokens`` is how many came at all and ``whole_p99_ms`` the delay of those; ``ended`` counts the answers that ended
    well, ``renewed`` the frames that told all of an answer anew, because Redis had not taken what came before.
    """

    tokens: int
    renewed: int
    ended: int
    window_s: float
    p50_ms: float
    p99_ms: float
    worst_ms: float
    whole_p99_ms: float
    cpu_s: float


class Reader(asyncio.Protocol):
    """One answer over HTTP, as the provider streams it."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._rest = b""
        self.renewed = 0
        self.tokens: list[tuple[int, int]] = []
        """When each was sent, and how much later it came."""
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

    def itself(self) -> Reader:
        """What makes the protocol of a connection: it is there already."""
        return self

    def take(self, data: bytes, now: int) -> int:
        """Time the tokens that are whole; returns how many bytes were used."""
        used = data.rfind(b"\n") + 1
        self.note(data[:used], now)
        if b"data: [DONE]" in data:
            self.end(well=True)
        return used

    def note(self, data: bytes, now: int, known: int = 0) -> None:
        """Time the tokens in ``data``, but for the first ``known``, which came before."""
        for stamp in _STAMP.findall(data)[known:]:
            sent = int(stamp)
            self.tokens.append((sent, now - sent))

    def say(self, data: bytes) -> None:
        self._transport.write(data)

    def end(self, *, well: bool) -> None:
        """The answer is over."""
        if not self.ended.done():
            self.ended.set_result(well)
            self._transport.close()


class SocketReader(Reader):
    """The same through the product's socket: it asks, and reads the frames of tokens."""

    def __init__(self, request: bytes, ask: bytes) -> None:
        super().__init__(request)
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
                renewed = _RENEWED in text
                self.renewed += renewed
                self.note(text, now, len(self.tokens) if renewed else 0)
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
    loop = asyncio.get_running_loop()
    readers: list[Reader] = []
    began, cpu = loop.time(), _cpu_s()
    for number, text in enumerate(plan.requests):
        await asyncio.sleep(max(0.0, began + plan.spread_s * number / len(plan.requests) - loop.time()))
        request = text.encode("latin-1")
        one = SocketReader(request, masked_text(plan.ask)) if plan.ask else Reader(request)
        readers.append(one)
        await loop.create_connection(one.itself, "127.0.0.1", plan.port)
    await asyncio.wait([one.ended for one in readers], timeout=plan.patience_s)
    return _seen(readers, _cpu_s() - cpu)


def _seen(readers: list[Reader], cpu_s: float) -> Seen:
    begin, end = 0, 0
    if all(one.tokens for one in readers):
        begin, end = max(one.tokens[0][0] for one in readers), min(one.tokens[-1][0] for one in readers)
    whole = sorted(delay for one in readers for _, delay in one.tokens) or [0]
    found = sorted(delay for one in readers for sent, delay in one.tokens if begin <= sent <= end) or [0]
    return Seen(
        tokens=sum(len(one.tokens) for one in readers),
        renewed=sum(one.renewed for one in readers),
        ended=sum(one.ended.done() and one.ended.result() for one in readers),
        window_s=(end - begin) / 1e9,
        p50_ms=found[len(found) // 2] / 1e6,
        p99_ms=found[int(len(found) * 0.99)] / 1e6,
        worst_ms=found[-1] / 1e6,
        whole_p99_ms=whole[int(len(whole) * 0.99)] / 1e6,
        cpu_s=cpu_s,
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
