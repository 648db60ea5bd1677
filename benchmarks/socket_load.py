"""The load generator of sockets: thousands of them on one epoll, in a process of its own.

``python -m benchmarks.socket_load CORE`` reads commands as lines of JSON and answers each with a line; ``fleet.py``
speaks the other side. Between two commands nobody reads, so they follow each other within seconds. A frame is counted,
not decoded: a delivery costs here a fraction of what it costs the server, and that stands in the answer as ``cpu_s``.
"""

from __future__ import annotations

import itertools
import os
import resource
import select
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
import redis

from benchmarks.frames import EMPTY_PONG, masked_text, scan

_PIECE = 256 * 1024
_PATIENCE_S = 60.0
_CLOCK = time.perf_counter


class Conn:
    """One socket. ``frames`` counts text frames since the count was last set to zero."""

    __slots__ = ("began", "frames", "greeted", "is_up", "request", "rest", "sock")

    def __init__(self, sock: socket.socket, request: bytes) -> None:
        self.sock = sock
        self.request: bytes | None = request
        self.rest = b""
        self.is_up = self.greeted = False
        self.frames = 0
        self.began = _CLOCK()


@dataclass
class Expected:
    """What a run waits for: so many frames at each socket. ``sent`` holds when each frame set out, for latencies."""

    each: int
    sent: list[float] | None
    latencies: list[float]
    last: float = 0.0


class Fleet:
    """All sockets of the run; ``driver`` is one more, which speaks and is not counted."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._by_fd: dict[int, Conn] = {}
        self._conns: list[Conn] = []
        self._driver: Conn | None = None
        self._ready = b""
        self._lost: Counter[str] = Counter()
        self._opened: list[float] = []
        self._total = self._bytes = 0
        self._expected: Expected | None = None

    # Commands

    def open(self, port: int, requests: list[str], ready: str, at_a_time: int) -> dict[str, Any]:
        """Open sockets, ``at_a_time`` in the making, each made when the frame with ``ready`` came (empty: the 101)."""
        self._opened, self._lost, self._ready = [], Counter(), ready.encode()
        waiting = iter([one.encode("latin-1") for one in requests])
        began, cpu = _CLOCK(), _cpu_s()
        wanted, started = len(requests), 0
        while (done := len(self._opened) + self._lost.total()) < wanted:
            for request in itertools.islice(waiting, at_a_time - (started - done)):
                self._conns.append(self._connect(port, request))
                started += 1
            self._turn(1.0)
            if _CLOCK() - began > _PATIENCE_S:
                raise TimeoutError(f"only {len(self._opened)} of {wanted} sockets were opened")
        told = {"opened": len(self._opened), "seconds": _CLOCK() - began, "cpu_s": _cpu_s() - cpu}
        return {**told, **_shares(self._opened), "lost": dict(self._lost)}

    def drive_from(self, port: int, request: str, ready: str) -> dict[str, Any]:
        """Open the driver's socket."""
        self._ready, self._opened = ready.encode(), []
        self._driver = self._connect(port, request.encode("latin-1"))
        self._until(lambda: bool(self._opened), "the driver's socket was not opened")
        return {}

    def say(self, text: str, until: str, at_a_time: int) -> dict[str, Any]:
        """Have every socket send a text, each after the other was answered, ``at_a_time`` at once."""
        self._ready, self._opened = until.encode(), []
        frame, spoken, began = masked_text(text), 0, _CLOCK()
        waiting = iter(list(self._conns))
        while (done := len(self._opened)) < len(self._conns):
            for conn in itertools.islice(waiting, at_a_time - (spoken - done)):
                conn.greeted, conn.began = False, _CLOCK()
                conn.sock.sendall(frame)
                spoken += 1
            self._turn(1.0)
            if _CLOCK() - began > _PATIENCE_S:
                raise TimeoutError(f"only {done} of {len(self._conns)} sockets were answered")
        return {"seconds": _CLOCK() - began, **_shares(self._opened)}

    def run(
        self, messages: list[Any], each: int, rate: float, window: int, redis_url: str | None, quiet_s: float
    ) -> dict[str, Any]:
        """Send messages and count what they bring: ``each`` frames a message at every socket.

        By the driver's socket, or published in Redis as [key, body] where a URL is given. ``rate`` a second, each frame
        timed; 0: at once; ``window`` bounds how many of the driver's messages may be unanswered.
        """
        self._be_quiet(quiet_s)
        publisher = redis.Redis.from_url(redis_url) if redis_url else None
        expected = Expected(len(messages) * each, [] if rate else None, [])
        self._expected, self._total, self._bytes = expected, 0, 0
        for conn in self._by_fd.values():
            conn.frames = 0
        wanted = expected.each * len(self._conns)
        began, cpu = _CLOCK(), _cpu_s()
        try:
            if rate:
                self._paced(messages, each, rate, expected, publisher)
            elif publisher is not None:
                with publisher.pipeline(transaction=False) as pipeline:
                    for key, body in messages:
                        pipeline.publish(key, body)
                    pipeline.execute()
            else:
                self._windowed(messages, window)
            self._until(lambda: self._total >= wanted, "frames are missing")
        finally:
            self._expected = None
            if publisher is not None:
                publisher.close()
        seconds = expected.last - began
        told = {"count": self._total, "seconds": seconds, "cpu_s": _cpu_s() - cpu, "bytes": self._bytes / wanted}
        return {**told, **_shares(expected.latencies), "lost": dict(self._lost)}

    def rest(self, seconds: float) -> dict[str, Any]:
        """Only answer pings for so long."""
        limit = _CLOCK() + seconds
        while (left := limit - _CLOCK()) > 0:
            self._turn(left)
        return {"lost": dict(self._lost)}

    def close(self) -> dict[str, Any]:
        """Close every socket."""
        for conn in self._by_fd.values():
            conn.sock.close()
        closed = len(self._by_fd)
        self._by_fd, self._conns, self._driver = {}, [], None
        return {"closed": closed}

    # Parts

    def _paced(
        self, messages: list[Any], each: int, rate: float, expected: Expected, publisher: redis.Redis | None
    ) -> None:
        began, sent = _CLOCK(), expected.sent
        for number, message in enumerate(messages):
            while (left := began + number / rate - _CLOCK()) > 0:
                self._turn(left)
            if sent is not None:
                sent.extend([_CLOCK()] * each)
            if publisher is None:
                self._speak(message)
            else:
                publisher.publish(*message)

    def _windowed(self, messages: list[Any], window: int) -> None:
        """The driver hears its own messages too, which tells how many are under way."""
        for number, message in enumerate(messages):
            while window and self._driver is not None and number - self._driver.frames >= window:
                self._turn(1.0)
            self._speak(message)

    def _speak(self, text: str) -> None:
        if self._driver is None:
            raise RuntimeError("nobody drives")
        self._driver.sock.sendall(masked_text(text))

    def _connect(self, port: int, request: bytes) -> Conn:
        sock = socket.socket()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        conn = Conn(sock, request)
        sock.connect(("127.0.0.1", port))  # of this machine: the kernel answers at once
        sock.sendall(request)
        sock.setblocking(False)
        self._by_fd[sock.fileno()] = conn
        self._epoll.register(sock.fileno(), select.EPOLLIN)
        return conn

    def _turn(self, timeout: float) -> None:
        by_fd = self._by_fd
        for fd, _ in self._epoll.poll(timeout, 2048):
            conn = by_fd[fd]
            try:
                data = conn.sock.recv(_PIECE)
            except BlockingIOError:
                continue
            except OSError as failed:
                self._lose(conn, str(failed.strerror))
                continue
            if not data:
                self._lose(conn, "closed without a word")
                continue
            self._take(conn, conn.rest + data if conn.rest else data)

    def _take(self, conn: Conn, data: bytes) -> None:
        now = _CLOCK()
        if not conn.is_up:
            head = data.find(b"\r\n\r\n")
            if head < 0:
                conn.rest = data
                return
            if data[9:12] != b"101":
                self._lose(conn, f"answered {data[9:12].decode()}")
                return
            conn.is_up, data = True, data[head + 4 :]
        if not conn.greeted and self._ready in data:
            conn.greeted = True
            self._opened.append(now - conn.began)
        found = scan(data)
        conn.rest = data[found.used :]
        if found.pings:
            conn.sock.sendall(EMPTY_PONG * found.pings)
        if found.closed:
            self._lose(conn, f"closed with {found.code}")
            return
        before = conn.frames
        conn.frames = before + found.texts
        expected = self._expected
        if expected is not None and conn is not self._driver:
            self._total += found.texts
            self._bytes += found.used
            expected.last = now
            if expected.sent is not None:
                for number in range(before, conn.frames):
                    expected.latencies.append(now - expected.sent[number])

    def _lose(self, conn: Conn, why: str) -> None:
        self._lost[why] += 1
        self._by_fd.pop(conn.sock.fileno(), None)
        conn.sock.close()
        if conn in self._conns:
            self._conns.remove(conn)
        if self._expected is not None:
            raise ConnectionError(f"a socket was {why} in the middle of a run")

    def _until(self, done: Callable[[], bool], otherwise: str) -> None:
        limit = _CLOCK() + _PATIENCE_S
        while not done():
            self._turn(1.0)
            if _CLOCK() > limit:
                raise TimeoutError(f"{otherwise} ({self._total} came)")

    def _be_quiet(self, seconds: float) -> None:
        """Wait until nothing came for a while: greetings and rosters are no part of what is measured."""
        seen, since = -1, _CLOCK()
        while _CLOCK() - since < seconds:
            self._turn(0.05)
            if (frames := sum(conn.frames for conn in self._by_fd.values())) != seen:
                seen, since = frames, _CLOCK()


def _shares(seconds: list[float]) -> dict[str, float]:
    if not seconds:
        return {}
    found = sorted(seconds)
    return {
        "p50_ms": found[len(found) // 2] * 1000,
        "p99_ms": found[min(len(found) - 1, int(len(found) * 0.99))] * 1000,
        "worst_ms": found[-1] * 1000,
    }


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _leave_core(core: int) -> None:
    """Keep off the core of the measured process, where there is another: what wakes this one is that one's work."""
    if sys.platform == "linux" and (others := os.sched_getaffinity(0) - {core}):
        os.sched_setaffinity(0, others)


def main() -> None:
    """Carry out commands until there is none; what fails is told in the answer."""
    _leave_core(int(sys.argv[1]))
    fleet = Fleet()
    commands: dict[str, Callable[..., dict[str, Any]]] = {
        "open": fleet.open,
        "driver": fleet.drive_from,
        "say": fleet.say,
        "run": fleet.run,
        "rest": fleet.rest,
        "close": fleet.close,
    }
    for line in sys.stdin.buffer:
        command = orjson.loads(line)
        try:
            told = commands[command.pop("do")](**command)
        except (TimeoutError, ConnectionError, ValueError, RuntimeError) as failed:
            told = {"failed": f"{type(failed).__name__}: {failed}"}
        sys.stdout.write(orjson.dumps(told).decode() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
