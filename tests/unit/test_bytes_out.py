"""What bytes_out.py relies on in Tornado 6.6 and in the kernel, pinned, and what it promises itself."""

from __future__ import annotations

import asyncio
import inspect
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import tornado
import uvloop
from tornado.http1connection import HTTP1Connection
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream, SSLIOStream
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from edurise.files.ports import ObjectMissing, StoreUnavailable
from handlers import bytes_out
from handlers.bytes_out import ClientGone, Outlet, PlainFile, open_file
from tests.harness.authority import Authority
from tests.harness.waiting import eventually

CONTENT = b"".join(b"%07d\n" % n for n in range(400_000))
Send = Callable[[Outlet, Path], Coroutine[Any, Any, None]]


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(scenario(), 20))


class Handler(RequestHandler):
    """Sends what the test gives it; keeps what came of it."""

    path: Path
    send: Send
    length = len(CONTENT)
    came_to: list[BaseException | None]

    async def get(self) -> None:
        self.set_header("Content-Length", str(self.length))
        outlet = self.outlet = Outlet(self)
        try:
            await outlet.perform(type(self).send(outlet, self.path))
        except (ClientGone, StoreUnavailable) as failed:
            self.came_to.append(failed)
        else:
            self.came_to.append(None)
            self.finish()

    def on_connection_close(self) -> None:
        self.outlet.drop()


class Served:
    """A server whose one answer is sent by ``send``."""

    def __init__(self, path: Path, send: Send, tls: ssl.SSLContext | None = None, length: int = len(CONTENT)) -> None:
        values = {"path": path, "send": send, "came_to": [], "length": length}
        self.handler: Any = type("_Handler", (Handler,), values)
        self.server = HTTPServer(Application([("/", self.handler)]), ssl_options=tls)
        sockets = bind_sockets(0, "127.0.0.1", family=socket.AF_INET)
        self.server.add_sockets(sockets)
        self.port = sockets[0].getsockname()[1]

    async def __aenter__(self) -> Served:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.stop()
        await self.server.close_all_connections()

    async def answer(self) -> bytes:
        """The body, until the end of the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        found = await reader.read()
        writer.close()
        return found.partition(b"\r\n\r\n")[2]


async def by_kernel(outlet: Outlet, path: Path) -> None:
    file = await open_file(path, len(CONTENT), 0, len(CONTENT))
    try:
        await outlet.send_file(file)
    finally:
        file.close()


async def by_pieces(outlet: Outlet, path: Path) -> None:
    content = await asyncio.to_thread(path.read_bytes)
    for at in range(0, len(content), 700_001):
        await outlet.write(content[at : at + 700_001])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "content"
    made.write_bytes(CONTENT)
    return made


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_the_version_is_the_one_that_was_read() -> None:
    assert tornado.version_info[:2] == (6, 6)


def test_the_internals_that_are_used_exist() -> None:
    written = inspect.getsource(HTTP1Connection.write_headers)
    assert 'self._expected_content_remaining = parse_int(headers["Content-Length"])' in written
    finished = inspect.getsource(HTTP1Connection.finish)
    assert "self._expected_content_remaining != 0" in finished
    assert list(inspect.signature(HTTP1Connection.write).parameters) == ["self", "chunk"]
    assert issubclass(SSLIOStream, IOStream)


@pytest.mark.parametrize("send", [by_kernel, by_pieces])
def test_what_is_sent_is_what_comes_and_nothing_stays_open(send: Send, path: Path) -> None:
    async def scenario() -> None:
        async with Served(path, send) as served:
            assert await served.answer() == CONTENT
            before = open_descriptors()
            for _ in range(3):
                assert await served.answer() == CONTENT
            await eventually(lambda: open_descriptors() <= before, "descriptors are closed")
            assert served.handler.came_to == [None] * 4

    run(scenario)


def test_the_connection_counts_what_the_kernel_sent(path: Path) -> None:
    async def twice(outlet: Outlet, path: Path) -> None:
        await by_kernel(outlet, path)
        assert outlet._connection._expected_content_remaining == 0
        assert outlet.sent == len(CONTENT)

    async def scenario() -> None:
        async with Served(path, twice) as served:
            assert await served.answer() == CONTENT
            assert served.handler.came_to == [None]

    run(scenario)


def test_parts_and_threads(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PlainFile, "is_in_memory", lambda *_: False)

    async def part(outlet: Outlet, path: Path) -> None:
        file = await open_file(path, len(CONTENT), 12_345, 1_500_000)
        await outlet.send_file(file)
        file.close()

    async def scenario() -> None:
        async with Served(path, part, length=1_500_000) as served:
            assert await served.answer() == CONTENT[12_345:1_512_345]

    run(scenario)


def test_the_kernel_says_what_is_in_memory(path: Path) -> None:
    whole = PlainFile(os.open(path, os.O_RDONLY), 0, len(CONTENT))
    beyond = PlainFile(whole.descriptor, len(CONTENT), 1)
    try:
        assert whole.is_in_memory()
        assert not beyond.is_in_memory(), "behind the end there is nothing"
    finally:
        whole.close()


def test_a_file_is_opened_only_if_it_is_the_one(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(path)

    async def scenario() -> None:
        before = open_descriptors()
        with pytest.raises(ObjectMissing):
            await open_file(tmp_path / "none", 1, 0, 1)
        for wrong, size in ((link, len(CONTENT)), (path, len(CONTENT) - 1)):
            with pytest.raises(StoreUnavailable):
                await open_file(wrong, size, 0, 1)
        assert open_descriptors() <= before + 1  # the loop's own

    run(scenario)


def test_a_file_that_became_shorter_is_noticed(path: Path) -> None:
    async def scenario() -> None:
        async def shrinking(outlet: Outlet, path: Path) -> None:
            file = await open_file(path, len(CONTENT), 0, len(CONTENT))
            os.truncate(path, 1000)
            try:
                await outlet.send_file(file)
            finally:
                file.close()

        async with Served(path, shrinking) as served:
            assert len(await served.answer()) <= 1000
            assert [type(one) for one in served.handler.came_to] == [StoreUnavailable]

    run(scenario)


@pytest.mark.parametrize("send", [by_kernel, by_pieces])
def test_a_client_that_goes_away_ends_the_sending(send: Send, path: Path) -> None:
    path.write_bytes(CONTENT * 10)

    async def scenario() -> None:
        async def endless(outlet: Outlet, path: Path) -> None:
            while True:
                if send is by_pieces:
                    await by_pieces(outlet, path)
                else:
                    file = await open_file(path, len(CONTENT) * 10, 0, len(CONTENT) * 10)
                    try:
                        await outlet.send_file(file)
                    finally:
                        file.close()

        async with Served(path, endless, length=2**50) as served:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await reader.readexactly(1_000_000)
            before = open_descriptors()
            writer.close()
            await eventually(lambda: served.handler.came_to, "the sending ends")
            assert [type(one) for one in served.handler.came_to] == [ClientGone]
            await eventually(lambda: open_descriptors() < before, "descriptors are closed")

    run(scenario)


@pytest.mark.parametrize("send", [by_kernel, by_pieces])
def test_a_client_that_takes_nothing_is_dropped(send: Send, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bytes_out, "STALL_S", 0.2)

    async def scenario() -> None:
        async def endless(outlet: Outlet, path: Path) -> None:
            while True:
                await send(outlet, path)

        async with Served(path, endless, length=2**50) as served:
            _, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=1000)
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await eventually(lambda: served.handler.came_to, "the sending ends")
            assert [type(one) for one in served.handler.came_to] == [ClientGone]
            writer.close()

    run(scenario)


def test_waiting_for_the_store_is_no_stall_of_the_client(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bytes_out, "STALL_S", 0.1)

    async def scenario() -> None:
        slow = asyncio.Event()

        async def after_a_while(outlet: Outlet, path: Path) -> None:
            await slow.wait()
            await by_pieces(outlet, path)

        async with Served(path, after_a_while) as served:
            asyncio.get_running_loop().call_later(0.5, slow.set)
            assert await served.answer() == CONTENT

    run(scenario)


def test_an_encrypting_stream_takes_no_files_and_sends_pieces(path: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    made = authority.issue("server", ["localhost"])
    theirs = ssl.create_default_context(cafile=str(authority.path))
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(made.certificate, made.key)
    takes: list[bool] = []

    async def pieces(outlet: Outlet, path: Path) -> None:
        takes.append(outlet.takes_files)
        await by_pieces(outlet, path)

    async def scenario() -> None:
        async with Served(path, pieces, ours) as served:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", served.port, ssl=theirs, server_hostname="localhost"
            )
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(len(CONTENT)) == CONTENT
            writer.close()

    run(scenario)
    assert takes == [False]
