"""What socket figures are held against: a bare Tornado WebSocketHandler. ``python -m benchmarks.bare_sockets PORT``.

A text message ``N BYTES`` of one socket has one frame of so many bytes, built once, written N times to all other
sockets by ``IOStream.write``, one round a turn of the loop.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import uvloop
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.web import Application
from tornado.websocket import WebSocketHandler, WebSocketProtocol13

from benchmarks.probe import Probe
from edurise.adapters.affinity import AFFINITY
from handlers.ws.wire import text_frame


class BareHandler(WebSocketHandler):
    """The least that a socket can be: it is known to the process, and that is all."""

    def initialize(self, everybody: set[BareHandler]) -> None:
        self.everybody = everybody

    def open(self, *_args: str, **_kwargs: str) -> None:
        self.set_nodelay(True)
        self.everybody.add(self)

    def on_message(self, message: str | bytes) -> None:
        rounds, size = (int(part) for part in cast("str", message).split())
        self.task = asyncio.create_task(self._broadcast(rounds, size))

    def on_close(self) -> None:
        self.everybody.discard(self)

    async def _broadcast(self, rounds: int, size: int) -> None:
        frame = text_frame(b"x" * (size - (2 if size < 128 else 4)))
        streams = [_stream(one) for one in self.everybody if one is not self]
        for _ in range(rounds):
            for stream in streams:
                stream.write(frame)
            await asyncio.sleep(0)


def _stream(handler: BareHandler) -> IOStream:
    return cast("WebSocketProtocol13", handler.ws_connection).stream


async def main(port: int, cpu: int, probe_port: int) -> None:
    """Serve until the process is ended."""
    AFFINITY.pin(cpu)
    everybody: set[BareHandler] = set()
    server = HTTPServer(Application([("/", BareHandler, {"everybody": everybody})], log_function=lambda _: None))
    await Probe().serve(probe_port)
    server.listen(port, "127.0.0.1")
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(*(int(one) for one in sys.argv[1:4])))
