"""Finished answers of public reads, kept for seconds in the process: one filler at a time, no invalidation, bounded."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from handlers.envelope import Finished

Key = tuple[str, object]
_MOST_BYTES = 64 * 1024 * 1024


class PublicCache:
    """Answers by (URI, organization). ``lifetime_s`` is how old an answer may be; 0 switches the cache off."""

    def __init__(self, lifetime_s: float) -> None:
        self._lifetime = lifetime_s
        self._kept: OrderedDict[Key, tuple[float, Finished]] = OrderedDict()
        self._filling: dict[Key, asyncio.Future[Finished | None]] = {}
        self._bytes = 0

    @property
    def enabled(self) -> bool:
        return self._lifetime > 0

    def fresh(self, key: Key) -> Finished | None:
        """The kept answer, if it is young enough."""
        found = self._kept.get(key)
        if found is None or found[0] <= asyncio.get_running_loop().time():
            return None
        return found[1]

    async def answer_or_turn(self, key: Key) -> Finished | None:
        """A fresh answer, or one that another request is just making; None means that it is this caller's turn to make
        it.

        Whoever gets None must call ``fill`` or ``release``.
        """
        while True:
            found = self.fresh(key)
            if found is not None:
                return found
            waiting = self._filling.get(key)
            if waiting is None:
                self._filling[key] = asyncio.get_running_loop().create_future()
                return None
            found = await asyncio.shield(waiting)
            if found is not None:
                return found

    def fill(self, key: Key, answer: Finished) -> Finished:
        """Keep an answer with its compressed twin and hand it to those who wait; returns it."""
        finished = answer.compressed()
        self._drop(key)
        self._kept[key] = (asyncio.get_running_loop().time() + self._lifetime, finished)
        self._bytes += _size(finished)
        while self._bytes > _MOST_BYTES:
            self._drop(next(iter(self._kept)))
        self._settle(key, finished)
        return finished

    def release(self, key: Key) -> None:
        """The turn ended without an answer to keep; the next who waits takes it."""
        self._settle(key, None)

    def _settle(self, key: Key, finished: Finished | None) -> None:
        waiting = self._filling.pop(key, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(finished)

    def _drop(self, key: Key) -> None:
        gone = self._kept.pop(key, None)
        if gone is not None:
            self._bytes -= _size(gone[1])


def _size(finished: Finished) -> int:
    return len(finished.body) + len(finished.twin or b"") + 512
