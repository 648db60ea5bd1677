"""The waiting side of the bells: a listener on Redis sets an event, whoever waits takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from edurise.adapters.redis_announcer import RedisAnnouncer


class RedisBells:
    """Hears the named bells. A ring between two waits is not lost; several rings are one."""

    def __init__(self, announcer: RedisAnnouncer, bells: Iterable[str]) -> None:
        self._events = {name: asyncio.Event() for name in bells}
        self._listener = announcer.listen(bell=self._rang, bells=tuple(self._events), restored=self._restored)

    def start(self) -> None:
        self._listener.start()

    async def wait(self, bell: str, timeout_s: float) -> bool:
        event = self._events[bell]
        try:
            await asyncio.wait_for(event.wait(), timeout_s)
        except TimeoutError:
            return False
        event.clear()
        return True

    async def close(self) -> None:
        await self._listener.close()

    def _rang(self, bell: str) -> None:
        self._events[bell].set()

    def _restored(self) -> None:
        # What rang while the connection was away was not heard.
        for event in self._events.values():
            event.set()
