"""Threads for the disk. A hop that was begun is waited for, also by who is cancelled: nothing is removed or closed
while a thread works on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, TypeVarTuple

from edurise.adapters.affinity import AFFINITY

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class DiskThreads:
    """``workers`` threads; what is more waits in order."""

    def __init__(self, workers: int, name: str) -> None:
        self._threads = ThreadPoolExecutor(workers, name, initializer=AFFINITY.release)

    async def hop(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        """The result of ``work``, or what it raises."""
        hop = asyncio.get_running_loop().run_in_executor(self._threads, work, *args)
        try:
            return await asyncio.shield(hop)
        except asyncio.CancelledError:
            await _ended(hop)
            raise

    async def close(self) -> None:
        """Wait for what is under way, and end the threads."""
        await asyncio.to_thread(self._threads.shutdown)


async def _ended(hop: asyncio.Future[T]) -> None:
    """Wait for a thread, however often this is cancelled; the caller raises the first cancellation."""
    while not hop.done():
        try:
            await asyncio.wait({hop})
        except asyncio.CancelledError:
            continue
    if not hop.cancelled():
        hop.exception()  # looked at, so that asyncio does not report it as never retrieved
