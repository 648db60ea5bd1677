"""What wire.py relies on in Tornado 6.6, pinned, and what it promises itself."""

from __future__ import annotations

import asyncio
import inspect
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import tornado
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream, SSLIOStream, StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application
from tornado.websocket import WebSocketClientConnection, WebSocketHandler, WebSocketProtocol13, websocket_connect

from handlers.ws.wire import PING, Wire, text_frame
from tests.ws.conftest import run

BIG = 300 * 1024


class Plain(WebSocketHandler):
    """A socket that keeps itself."""

    last: Plain

    def open(self) -> None:
        Plain.last = self
        self.heard: list[str | bytes] = []

    def on_message(self, message: str | bytes) -> None:
        self.heard.append(message)


@asynccontextmanager
async def socket_pair() -> AsyncIterator[tuple[Plain, WebSocketClientConnection]]:
    server = HTTPServer(Application([("/", Plain)]))
    sockets = bind_sockets(0, "127.0.0.1", family=socket.AF_INET)
    server.add_sockets(sockets)
    client = await websocket_connect(f"ws://127.0.0.1:{sockets[0].getsockname()[1]}/")
    assert client.protocol is not None
    stream = client.protocol.stream
    try:
        yield Plain.last, client
    finally:
        client.close()
        server.stop()
        await server.close_all_connections()
        stream.close()


def stalled(stream: IOStream) -> int:
    """Fill the connection until the operating system takes no more; the number of frames of BIG bytes that took."""
    frames = 0
    while not stream.writing():
        stream.write(text_frame(b"x" * BIG))
        frames += 1
    return frames


def test_the_version_is_the_one_that_was_read() -> None:
    assert tornado.version_info[:2] == (6, 6)


def test_the_internals_that_are_used_exist() -> None:
    for stream in (IOStream, SSLIOStream):
        assert list(inspect.signature(stream.write_to_fd).parameters) == ["self", "data"]
        assert list(inspect.signature(stream.writing).parameters) == ["self"]
    assert list(inspect.signature(WebSocketProtocol13.close).parameters) == ["self", "code", "reason"]
    assert "server_terminated" in inspect.getsource(WebSocketProtocol13.is_closing)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 70_000])
def test_a_frame_is_the_one_that_tornado_writes(size: int) -> None:
    payload = b"a" * size
    written: list[bytes] = []
    protocol = WebSocketProtocol13.__new__(WebSocketProtocol13)
    protocol.mask_outgoing = False
    protocol._wire_bytes_out = 0
    protocol.stream = type("Stream", (), {"write": staticmethod(written.append)})()
    protocol._write_frame(True, 0x1, payload)
    assert text_frame(payload) == written[0]
    protocol.write_ping(b"")
    assert written[1] == PING


def test_writing_nothing_resolves_when_everything_before_has_left() -> None:
    async def scenario() -> None:
        async with socket_pair() as (handler, client):
            stream = handler.ws_connection.stream
            count = stalled(stream)
            flushed = asyncio.ensure_future(stream.write(b""))
            assert not flushed.done()
            for _ in range(count):
                await client.read_message()
            await asyncio.wait_for(flushed, 5)
            assert not stream.writing()

    run(scenario)


def test_frames_arrive_whole_and_in_order_past_a_stall() -> None:
    async def scenario() -> None:
        async with socket_pair() as (handler, client):
            wire = Wire(handler, 1000, lambda: pytest.fail("it keeps up in the end"))
            sent = 0
            while wire.backlog < 5:
                wire.send(text_frame(b"%06d" % sent + b"x" * BIG))
                sent += 1
            received = []
            for _ in range(sent):
                message = await asyncio.wait_for(client.read_message(), 5)
                assert message is not None
                received.append(int(message[:6]))
            assert received == list(range(sent))
            wire.send(text_frame(b"again"))
            assert await client.read_message() == "again"
            assert wire.backlog == 0
            assert wire._task is None

    run(scenario)


def test_an_idle_socket_has_neither_queue_nor_task() -> None:
    async def scenario() -> None:
        async with socket_pair() as (handler, client):
            tasks = len(asyncio.all_tasks())
            wire = Wire(handler, 10, lambda: None)
            wire.send(text_frame(b"one"))
            assert (wire._queue, wire._task, len(asyncio.all_tasks())) == (None, None, tasks)
            assert not hasattr(wire, "__dict__")
            assert await client.read_message() == "one"

    run(scenario)


def test_tornado_reads_on_while_a_peer_does_not() -> None:
    async def scenario() -> None:
        async with socket_pair() as (handler, client):
            stalled(handler.ws_connection.stream)
            await client.write_message("still heard")
            async with asyncio.timeout(5):
                while not handler.heard:  # noqa: ASYNC110 - Tornado sets no event
                    await asyncio.sleep(0.005)

    run(scenario)


def test_over_the_bound_slow_is_called_once_and_the_queue_is_let_go() -> None:
    async def scenario() -> None:
        async with socket_pair() as (handler, client):
            called: list[str] = []
            wire = Wire(handler, 3, lambda: (called.append("slow"), wire.drop()))
            stalled(handler.ws_connection.stream)
            for _ in range(10):
                wire.send(text_frame(b"x"))
            assert called == ["slow"]
            assert wire.backlog == 0
            assert wire.closed
            while await client.read_message() is not None:
                pass
            assert client.close_code is None

    run(scenario)


def test_a_clean_close_carries_its_code() -> None:
    async def scenario() -> None:
        async with socket_pair() as (handler, client):
            wire = Wire(handler, 3, lambda: None)
            wire.close(4401, "TOKEN_INVALID")
            wire.send(text_frame(b"too late"))
            assert await client.read_message() is None
            assert (client.close_code, client.close_reason) == (4401, "TOKEN_INVALID")

    run(scenario)


def test_a_reset_by_the_peer_ends_quietly() -> None:
    async def scenario() -> None:
        async with socket_pair() as (handler, _):
            wire = Wire(handler, 3, lambda: None)
            stream = handler.ws_connection.stream
            stream.socket.shutdown(socket.SHUT_WR)
            wire.send(text_frame(b"into the void"))
            assert wire.closed
            with pytest.raises(StreamClosedError):
                stream.write(b"x")

    run(scenario)
