"""A client of a socket that comes back with its position, as browsers are to."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

from tornado.httpclient import HTTPError, HTTPRequest
from tornado.simple_httpclient import HTTPStreamClosedError, HTTPTimeoutError
from tornado.websocket import WebSocketClientConnection, WebSocketError, websocket_connect

from tests.harness.waiting import eventually

PAGE = "http://localhost:3000"
"""Where the page comes from that opens the socket."""
_AWAY = (OSError, HTTPError, HTTPStreamClosedError, HTTPTimeoutError, WebSocketError)


class Listener:
    """Keeps every frame. ``events`` are the stored ones, which have an offset; ``told`` are all the others."""

    def __init__(self, base_url: str, token: str, path: str = "/ws/notifications/") -> None:
        self._url = base_url.replace("http", "ws", 1) + path
        self._token = token
        self._connection: WebSocketClientConnection | None = None
        self.frames: list[dict[str, Any]] = []
        """All of them, in their order."""
        self.events: list[dict[str, Any]] = []
        self.told: list[dict[str, Any]] = []
        self.recovered: list[bool] = []
        """What each connection after the first was told."""
        self.served_by: list[str] = []
        """The web process of each connection, as nginx names it."""
        self._position: dict[str, object] = {}

    @property
    def offsets(self) -> list[int]:
        """The offsets that arrived, in that order."""
        return [event["offset"] for event in self.events]

    def types(self) -> list[str]:
        """The types of the notifications that arrived, in that order."""
        return [event["data"]["notification"]["type"] for event in self.events if event["type"] == "notification"]

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        """The data of the frames of a type, stored or not, in the order in which they arrived."""
        return [frame["data"] for frame in self.frames if frame["type"] == kind]

    async def send(self, kind: str, **fields: object) -> None:
        """Send a frame, as soon as there is a connection."""
        connection = await eventually(lambda: self._connection, "a connection to send on")
        await connection.write_message(json.dumps({"type": kind, **fields}))

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Listener]:
        """Connected, and connecting again whenever the connection is lost, until the end of the block."""
        task = asyncio.create_task(self._listen())
        try:
            await eventually(lambda: self.told, "the greeting of the socket")
            yield self
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _listen(self) -> None:
        while True:
            connection = await eventually(self._connect, "a connection to the socket", 60)
            self._connection = connection
            try:
                while (message := await connection.read_message()) is not None:
                    self._take(json.loads(message))
            finally:
                self._connection = None
                connection.close()

    async def _connect(self) -> WebSocketClientConnection | None:
        query = urlencode({"token": self._token, **self._position})
        try:
            made = await websocket_connect(
                HTTPRequest(f"{self._url}?{query}", headers={"Origin": PAGE}, connect_timeout=5)
            )
        except _AWAY:
            return None
        self.served_by.append(made.headers.get("X-Served-By", ""))
        return made

    def _take(self, frame: dict[str, Any]) -> None:
        self.frames.append(frame)
        if "recovered" in frame["data"]:
            if len(self.served_by) > 1:
                self.recovered.append(frame["data"]["recovered"])
            self.told.append(frame)
        elif "offset" in frame:
            self.events.append(frame)
        else:
            self.told.append(frame)
        if "offset" in frame:
            # The teacher's door follows two channels, the second of which has a position of its own.
            which = "desk_" if frame["channel"].startswith("desk:") else ""
            self._position[f"{which}offset"] = frame["offset"]
            if frame["epoch"]:
                self._position[f"{which}epoch"] = frame["epoch"]


async def one_at_each_web(
    base_url: str, token: str, webs: int, sockets: contextlib.AsyncExitStack, path: str = "/ws/notifications/"
) -> list[Listener]:
    """Open sockets through nginx until each of so many webs has one; returns one of each."""
    found: dict[str, Listener] = {}

    async def another() -> bool:
        listener = await sockets.enter_async_context(Listener(base_url, token, path).open())
        found.setdefault(listener.served_by[0], listener)
        return len(found) == webs

    await eventually(another, "a socket at each web")
    return list(found.values())
