"""What HTTP figures are held against: a bare Tornado handler on uvloop. ``python -m benchmarks.hello PORT``."""

from __future__ import annotations

import asyncio
import sys

import uvloop
from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler


class HelloHandler(RequestHandler):
    """The least that a handler can do."""

    def get(self) -> None:
        self.finish(b"hello")


async def main(port: int) -> None:
    """Serve until the process is ended."""
    server = HTTPServer(Application([("/", HelloHandler)], log_function=lambda _: None))
    server.listen(port, "127.0.0.1")
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
