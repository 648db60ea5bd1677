"""What uploads are held against: a bare Tornado handler that writes what it receives to a file, and nothing more.

``python -m benchmarks.bare_uploads PORT DIRECTORY CORE``. With ``?sync`` it waits until the file is on the disk, as a
store must before it says that it has it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import BinaryIO

import uvloop
from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler, stream_request_body

from edurise.adapters.affinity import AFFINITY

_MOST = 4 * 1024**3


@stream_request_body
class WriteHandler(RequestHandler):
    """Each chunk is written on the loop."""

    def initialize(self, directory: Path) -> None:
        self._path = directory / f"bare-{id(self)}"
        self._file: BinaryIO = self._path.open("wb")

    def data_received(self, chunk: bytes) -> None:
        self._file.write(chunk)

    def post(self) -> None:
        self._file.flush()
        if self.request.query == "sync":
            os.fsync(self._file.fileno())
        self._file.close()
        self._path.unlink()
        self.finish(b"ok")


async def main(port: int, directory: Path, core: int) -> None:
    """Serve until the process is ended."""
    AFFINITY.pin(core)
    application = Application([("/", WriteHandler, {"directory": directory})], log_function=lambda _: None)
    HTTPServer(application, max_body_size=_MOST).listen(port, "127.0.0.1")
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
