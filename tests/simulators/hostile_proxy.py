"""An HTTP/1.1 proxy before a server that does to requests and answers what networks and overloaded services do.

``proxy = HostileProxy(target_port)``, ``proxy.start(port)``, ``proxy.url``, ``proxy.stop()``; it runs in a thread of its
own. What goes wrong is a ``Fault``: set ``proxy.fault``, also while requests are under way, or use ``with
proxy.faulty(Fault(…))``. ``proxy.seen`` lists what was asked. It never changes a byte that it passes on, but for the
headers ``Connection`` and ``Expect``: each request has a connection of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal

CHUNK = 65_536
HEAD_BYTES = 131_072
_ERROR = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>%s</Code><Message>As asked.</Message></Error>'
_ANSWERS = {
    "error": (b"500 Internal Server Error", _ERROR % b"InternalError"),
    "slow_down": (b"503 Slow Down", _ERROR % b"SlowDown"),
    "page": (b"200 OK", b"<html><head><title>Please log in</title></head><body><p>Welcome.</p></body></html>"),
}


@dataclass(frozen=True)
class Seen:
    """A request as it came in; ``fault`` is what was done to it."""

    method: str
    path: str
    headers: Mapping[str, str]
    fault: str

    @property
    def size(self) -> int:
        """The length of its body."""
        return int(self.headers.get("content-length", "0"))


@dataclass(frozen=True)
class Fault:
    """What is done to requests.

    ``pass``: nothing. ``refuse``: the connection is reset before anything is read. ``stall``: the request is read, and
    no answer comes, until the fault is over. ``delay``: it is passed on only then. ``stall_body``: the answer stops in the middle of its body, until then.
    ``truncate``: it ends there. ``break_upload``: half of the request's body is passed on, then both ends are closed.
    ``hold_answer``: the server does what it was asked, and its answer is held back until then. ``lose_answer``: the
    connection is closed instead of it. ``page``: 200 and a page, as of a portal that wants a log-in. ``error``: 500 InternalError.
    ``slow_down``: 503 SlowDown.
    """

    mode: Literal[
        "pass",
        "refuse",
        "stall",
        "delay",
        "stall_body",
        "truncate",
        "break_upload",
        "hold_answer",
        "lose_answer",
        "page",
        "error",
        "slow_down",
    ] = "pass"
    times: int | None = None
    """How many requests, from now on; None: all."""
    where: Callable[[str, str], bool] = field(default=lambda method, path: True)
    """Which requests, by method and path with query; ``refuse`` hits all, for it reads none."""


class HostileProxy:
    """Listens on 127.0.0.1 and forwards to 127.0.0.1:``target``."""

    name = "hostile proxy"

    def __init__(self, target: int) -> None:
        self.port = 0
        self.seen: list[Seen] = []
        self._target = target
        self._fault = Fault()
        self._left: int | None = None
        self._lock = threading.Lock()
        self._changed = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def fault(self) -> Fault:
        """What is done to the next request."""
        return self._fault

    @fault.setter
    def fault(self, fault: Fault) -> None:
        with self._lock:
            self._fault, self._left = fault, fault.times
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._go_on)

    @contextlib.contextmanager
    def faulty(self, fault: Fault) -> Iterator[None]:
        """With a fault, which ends with the block."""
        self.fault = fault
        try:
            yield
        finally:
            self.fault = Fault()

    def start(self, port: int = 0) -> None:
        """Listen; port 0 takes a free one."""
        ready: Future[int] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(port, ready)), name=self.name)
        self._thread.start()
        self.port = ready.result(10)

    def stop(self) -> None:
        """End every connection and listen no more."""
        if self._thread is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join()
            self._thread = self._loop = None

    def _go_on(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _serve(self, port: int, ready: Future[int]) -> None:
        self._end = asyncio.Event()
        try:
            server = await asyncio.start_server(self._accept, "127.0.0.1", port, limit=HEAD_BYTES)
        except OSError as refused:
            ready.set_exception(refused)
            return
        self._loop = asyncio.get_running_loop()
        ready.set_result(server.sockets[0].getsockname()[1])
        await self._end.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await self._exchange(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # one of the two ends went away, which both see
        except asyncio.CancelledError:
            if not self._end.is_set():
                raise
        finally:
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._take("", "") == "refuse":
            return
        head = await reader.readuntil(b"\r\n\r\n")
        method, path, headers = _parsed(head)
        mode = self._take(method, path)
        self.seen.append(Seen(method, path, headers, mode))
        if headers.get("expect"):
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        size = int(headers.get("content-length", "0"))
        if mode in ("stall", *_ANSWERS):
            await _copied(reader, None, size)
            if mode == "stall":
                await self._changed.wait()
            else:
                await _answered(writer, *_ANSWERS[mode])
            return
        if mode == "delay":
            await self._changed.wait()
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target, limit=HEAD_BYTES)
        try:
            server_writer.write(_forwarded(head))
            await _copied(reader, server_writer, size // 2 if mode == "break_upload" else size)
            if mode != "break_upload":
                await self._answer(server_reader, writer, mode)
        finally:
            server_writer.transport.abort()

    async def _answer(self, server: asyncio.StreamReader, client: asyncio.StreamWriter, mode: str) -> None:
        head = await server.readuntil(b"\r\n\r\n")
        if mode == "lose_answer":
            return
        if mode == "hold_answer":
            await self._changed.wait()
        client.write(head)
        if mode in ("truncate", "stall_body"):
            length = int(_parsed(head)[2].get("content-length", "2"))
            await _copied(server, client, length // 2)
            if mode == "stall_body":
                await self._changed.wait()
            else:
                await _closed(client)
            return
        while data := await server.read(CHUNK):
            client.write(data)
            await client.drain()
        await _closed(client)

    def _take(self, method: str, path: str) -> str:
        """What to do to this request. The first question comes before it is read, and is for ``refuse`` alone."""
        with self._lock:
            fault = self._fault
            if (fault.mode == "refuse") == bool(method) or self._left == 0:
                return "pass"
            if method and not fault.where(method, path):
                return "pass"
            if self._left is not None:
                self._left -= 1
            return fault.mode


async def _copied(source: asyncio.StreamReader, target: asyncio.StreamWriter | None, size: int) -> None:
    while size:
        data = await source.read(min(CHUNK, size))
        if not data:
            raise asyncio.IncompleteReadError(b"", size)
        size -= len(data)
        if target is not None:
            target.write(data)
            await target.drain()


async def _answered(client: asyncio.StreamWriter, status: bytes, body: bytes) -> None:
    client.write(
        b"HTTP/1.1 %s\r\nContent-Type: application/xml\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
        % (status, len(body), body)
    )
    await _closed(client)


async def _closed(client: asyncio.StreamWriter) -> None:
    """Close in good order: what was written arrives, then the end."""
    await client.drain()
    client.close()
    await client.wait_closed()


def _parsed(head: bytes) -> tuple[str, str, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines if line)
    return method, path, {name.strip().lower(): value.strip() for name, _, value in pairs}


def _forwarded(head: bytes) -> bytes:
    first, *lines = head.rstrip(b"\r\n").split(b"\r\n")
    kept = [line for line in lines if line.split(b":")[0].lower() not in (b"connection", b"expect")]
    return b"\r\n".join([first, *kept, b"Connection: close", b"", b""])
