"""The load generator: closed-loop keep-alive clients in a process of their own. ``python -m benchmarks.load``.

It reads a plan as JSON from standard input and writes what it saw as JSON to standard output. Requests are finished
bytes and an answer is only framed (status and length), so that it costs far less than the server it loads; how much is
part of the result.
"""

from __future__ import annotations

import asyncio
import itertools
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, cast

import orjson
import uvloop

_LENGTH = b"\r\ncontent-length:"
_NO_BODY = frozenset((204, 304))


@dataclass(frozen=True)
class Plan:
    """What to send: requests in turn; ``once`` sends each at most once and stops early if they run out."""

    port: int
    requests: list[str]
    connections: int
    warm_s: float
    seconds: float
    once: bool = False


@dataclass(frozen=True)
class Seen:
    """What came back within the measured time.

    ``cpu_s`` is the generator's own, ``bytes`` the size of one answer's body; ``closed`` counts connections that the
    server closed.
    """

    count: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_s: float
    bytes: int
    statuses: dict[str, int]
    closed: int


class Collector:
    """Latencies and statuses since the warm-up ended, and how often the server closed a connection."""

    def __init__(self) -> None:
        self.is_open = False
        self.latencies: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.bytes = 0
        self.closed = 0

    def add(self, seconds: float, status: int, length: int) -> None:
        if self.is_open:
            self.latencies.append(seconds)
            self.statuses[status] += 1
            self.bytes = length


class Client(asyncio.Protocol):
    """One client: sends a request, waits for the whole answer, sends the next.

    Like a browser it connects again where the server closes, and repeats the request that was not answered.
    """

    def __init__(self, port: int, requests: Iterator[bytes], collector: Collector) -> None:
        self._port = port
        self._requests = requests
        self._request: bytes | None = None
        self._connecting: asyncio.Task[object] | None = None
        self._collector = collector
        self._clock = time.perf_counter  # the time of a uvloop moves in whole milliseconds
        self._transport: asyncio.Transport | None = None
        self._head = b""
        self._missing = -1
        self._is_stopping = False
        self._status = self._length = 0
        self._began = 0.0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._head, self._missing = b"", -1
        if self._request is None:
            self._send()
        else:
            self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._missing < 0:
            data = self._headed(self._head + data)
            if self._missing < 0:
                return
        self._missing -= len(data)
        if self._missing <= 0:
            self._missing = -1
            self._collector.add(self._clock() - self._began, self._status, self._length)
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        if self._is_stopping:
            self.ended.set_result(None)
            return
        self._collector.closed += self._collector.is_open
        self._connecting = asyncio.get_running_loop().create_task(self.connect())

    async def connect(self) -> None:
        """Connect, which sends the first request; a server that is away ends the client."""
        try:
            await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", self._port)
        except OSError as away:
            self.ended.set_exception(away)

    def stop(self) -> None:
        """Send nothing more; the connection closes when the answer under way is there."""
        self._is_stopping = True

    def _send(self) -> None:
        request = self._request = None if self._is_stopping else next(self._requests, None)
        if self._transport is None:
            raise RuntimeError("a request before the connection")
        if request is None:
            self._is_stopping = True
            self._transport.close()
            return
        self._began = self._clock()
        self._transport.write(request)

    def _headed(self, data: bytes) -> bytes:
        """Take the head off; what is left is the beginning of the body."""
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._head = data
            return b""
        self._head = b""
        head = data[:end].lower()
        self._status = int(head[9:12])
        at = head.find(_LENGTH)
        if at < 0 and self._status not in _NO_BODY:
            raise ValueError("an answer without a length is not expected here")
        self._length = self._missing = 0 if at < 0 else int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0])
        return data[end + 4 :]


async def run(plan: Plan) -> Seen:
    """Load the server and return what was seen."""
    bodies = [one.encode("latin-1") for one in plan.requests]
    collector = Collector()
    requests = iter(bodies) if plan.once else itertools.cycle(bodies)
    loop = asyncio.get_running_loop()
    clients = [Client(plan.port, requests, collector) for _ in range(plan.connections)]
    for one in clients:
        await one.connect()
    ended = asyncio.gather(*(one.ended for one in clients))
    await asyncio.wait([ended], timeout=plan.warm_s)
    collector.is_open, began, cpu = True, loop.time(), _cpu()
    print("measuring", flush=True)
    await asyncio.wait([ended], timeout=plan.seconds)
    collector.is_open, seconds, cpu = False, loop.time() - began, _cpu() - cpu
    for one in clients:
        one.stop()
    await ended
    found = sorted(collector.latencies)
    return Seen(
        count=len(found),
        seconds=seconds,
        p50_ms=_share(found, 0.5) * 1000,
        p99_ms=_share(found, 0.99) * 1000,
        cpu_s=cpu,
        bytes=collector.bytes,
        statuses={str(status): count for status, count in collector.statuses.items()},
        closed=collector.closed,
    )


def _share(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Read the plan, run it, write the result as the last line."""
    told: dict[str, Any] = orjson.loads(sys.stdin.buffer.read())
    seen = uvloop.run(run(Plan(**told)))
    sys.stdout.write(orjson.dumps(asdict(seen)).decode() + "\n")


if __name__ == "__main__":
    main()
