"""The transport of one process: a bounded queue, empty after a restart; the relay then recalls what was sent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from edurise.adapters.draining import drain
from edurise.ports import Dispatch

log = logging.getLogger(__name__)

Handle = Callable[[Dispatch], Awaitable[None]]


class LocalTransport:
    """Relay and actors on one loop. What is published beyond ``capacity`` waits, and the relay with it."""

    durable = False

    def __init__(self, *, concurrency: int = 32, capacity: int = 1_000, drain_s: float = 10.0) -> None:
        self._queue: asyncio.Queue[Dispatch] = asyncio.Queue(capacity)
        self._concurrency = concurrency
        self._drain_s = drain_s

    async def publish(self, dispatches: Sequence[Dispatch]) -> Sequence[Dispatch]:
        """Queue them; all are confirmed."""
        for one in dispatches:
            await self._queue.put(one)
        return dispatches

    async def consume(self, actors: Sequence[str], handle: Handle, lost: Handle) -> None:  # noqa: ARG002 - nothing is lost here
        """Handle what is queued for these actors, ``concurrency`` at a time, until cancelled; then finish what runs."""
        running: set[asyncio.Task[None]] = set()
        places = asyncio.Semaphore(self._concurrency)
        known = frozenset(actors)

        def ended(task: asyncio.Task[None]) -> None:
            running.discard(task)
            places.release()
            if not task.cancelled() and task.exception() is not None:
                log.error("a delivery could not be handled", exc_info=task.exception())

        try:
            while True:
                await places.acquire()
                dispatch = await self._queue.get()
                if dispatch.actor not in known:
                    places.release()
                    continue
                task = asyncio.ensure_future(handle(dispatch))
                running.add(task)
                task.add_done_callback(ended)
        finally:
            await drain(running, self._drain_s)

    async def close(self) -> None:
        """Nothing is open."""
