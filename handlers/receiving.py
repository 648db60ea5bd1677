"""Requests whose body is too large to be held: the work begins before the body is read, and reads it as it comes."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from edurise.errors import DomainError
from edurise.streams import Pipe
from handlers.base import RestHandler

STALL_S = 60.0
"""How long a client may send nothing in the middle of a body."""
_NO_TIMEOUT_S = 7 * 86_400.0
_READ_TO_THE_END_BYTES = 4 * 1024 * 1024
"""So much of a body that nobody wants is still read before the answer. Where more is left the answer goes first."""
LINGER_S = 5.0
"""How long the rest of a body is read and dropped after the answer: a connection that is closed while the client still
sends loses the answer with it. nginx does the same (lingering_close)."""

_MOST_DROPPED_BYTES = 2**53

_TURN_BYTES = 64 * 1024
"""After so much of one body others have their turn; Tornado itself goes on while there is something to read."""


class BrokenOff(Exception):
    """The client went away, or sent nothing for too long, in the middle of its body."""


class ReceivingHandler(RestHandler):
    """Verbs of ``streaming`` await ``received()``, which is what ``receive`` made of their body.

    ``receive`` outlives the request: a client that goes away leaves it to clean up.
    """

    streaming: ClassVar[tuple[str, ...]] = ("POST",)
    _pipe: Pipe | None = None
    _watching: asyncio.Task[None] | None = None
    _gone = False
    _taken = 0
    _lingers = False
    _lingering: asyncio.TimerHandle | None = None

    async def prepare(self) -> None:
        try:
            await super().prepare()
        except DomainError as refused:
            if self.request.method not in self.streaming or not self._has_body:
                raise
            self._pipe = Pipe()
            self._pipe.discard()
            self._moved = asyncio.Event()
            self._answer_early(refused)
            return
        if self._finished or self.request.method not in self.streaming or self.is_answered:
            return
        connection: Any = self.request.connection
        connection.set_max_body_size(self.body_limit)
        connection.set_body_timeout(_NO_TIMEOUT_S)  # a large body takes long; ``_watch`` ends one that stands still
        self._pipe = Pipe()
        self._moved = asyncio.Event()
        self._outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._outcome.add_done_callback(self._came_to)
        self.c.tasks.spawn(self._perform(self._pipe))
        self._watching = asyncio.create_task(self._watch(self._pipe))

    @property
    def stream_limit(self) -> int:
        """Bodies above it are refused unread."""
        raise NotImplementedError

    @property
    def body_limit(self) -> int:
        return self.stream_limit if self.request.method in self.streaming else super().body_limit

    def announced_length(self) -> int:
        """The Content-Length; a body without one may take as much as is allowed at all."""
        length = self.request.headers.get("Content-Length", "")
        return int(length) if length.isdigit() else self.body_limit

    async def receive(self, pipe: Pipe) -> Any:
        """Read ``pipe`` to its end and return what the verb answers with."""
        raise NotImplementedError

    async def received(self) -> Any:
        """What ``receive`` returned, once the body has come. Raises what it raised."""
        if self._pipe is not None:
            self._pipe.end()
        return await self._outcome

    async def data_received(self, chunk: bytes) -> None:  # type: ignore[override]  # Tornado awaits what it returns
        if self._pipe is None:
            super().data_received(chunk)
            return
        self.received_bytes += len(chunk)
        self._moved.set()
        await self._pipe.feed(chunk)
        self._taken += len(chunk)
        if self._taken >= _TURN_BYTES:
            self._taken = 0
            await asyncio.sleep(0)

    def on_connection_close(self) -> None:
        self._gone = True
        if self._pipe is not None:
            self._pipe.fail(BrokenOff())
        super().on_connection_close()

    def on_finish(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        if self._lingering is not None:
            self._lingering.cancel()
        super().on_finish()

    def finish(self, chunk: Any = None) -> asyncio.Future[None]:
        """An answer that comes before its body has come is sent, and the request ends with the body or soon."""
        if not self._lingers:
            return super().finish(chunk)
        if self._headers_written:  # send_error finishes what write_error did not
            return self.flush()
        self.set_header("Content-Length", str(len(chunk or b"")))
        self.write(chunk or b"")
        self._answer_by(lambda **_: self._end())
        self._lingering = asyncio.get_running_loop().call_later(LINGER_S, self._end)
        return self.flush()

    def _end(self) -> None:
        if not self._finished and not self._gone:
            super().finish()

    def _answer_early(self, error: BaseException) -> None:
        """Answer at once; what the client still sends is dropped for a while, so that it hears the answer."""
        self._lingers = True
        connection: Any = self.request.connection
        connection.set_max_body_size(_MOST_DROPPED_BYTES)  # not for long: ``LINGER_S`` ends it
        told = (type(error), error, error.__traceback__)
        self.log_exception(*told)
        self.send_error(400 if isinstance(error, DomainError) else 500, exc_info=told)

    async def _perform(self, pipe: Pipe) -> None:
        try:
            result = await self.receive(pipe)
        except Exception as error:  # noqa: BLE001 - it is raised where the verb waits, and logged there
            self._outcome.set_exception(error)
        else:
            self._outcome.set_result(result)
        finally:
            pipe.discard()
            if not self._outcome.done():
                self._outcome.cancel()

    def _came_to(self, outcome: asyncio.Future[Any]) -> None:
        """Work that failed before its body came: the rest of a short one is read and dropped, a long one is cut off."""
        error = None if outcome.cancelled() else outcome.exception()
        if error is None or isinstance(error, BrokenOff):
            return
        if self._gone:
            self.log_exception(type(error), error, error.__traceback__)
            return
        length = self.request.headers.get("Content-Length", "")
        left = int(length) - self.received_bytes if length.isdigit() else _READ_TO_THE_END_BYTES + 1
        if left > _READ_TO_THE_END_BYTES and not self._finished:
            self._answer_early(error)

    async def _watch(self, pipe: Pipe) -> None:
        while True:
            self._moved.clear()
            try:
                async with asyncio.timeout(STALL_S):
                    await self._moved.wait()
            except TimeoutError:
                if pipe.is_waiting:
                    pipe.fail(BrokenOff())
                    connection: Any = self.request.connection
                    connection.close()
                    return
