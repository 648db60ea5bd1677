"""Waiting for the end of an answer, for a request that cannot stay open for as long as a socket can."""

from __future__ import annotations

import asyncio
from uuid import UUID

from edurise.adapters.redis_announcer import RedisAnnouncer, RedisListener
from edurise.ports import ChannelEvent

ENDS = frozenset({"done", "interrupted"})
"""Types of the event that ends an answer."""


class RedisAnswers:
    """The port ``Answers``: hears the channels of the conversations that somebody waits in. It may miss an end: whoever
    waits looks at the stored question anyway. Begins to listen when it is first asked."""

    def __init__(self, announcer: RedisAnnouncer) -> None:
        self._announcer = announcer
        self._listener: RedisListener | None = None
        self._waiting: dict[str, dict[asyncio.Future[bool], UUID]] = {}

    async def wait(self, channel: str, question_id: UUID, seconds: float) -> bool:
        """Return True as soon as the answer has ended, False after ``seconds`` or when an end may have been missed."""
        if self._listener is None:
            self._listener = self._announcer.listen(event=self._heard, restored=self._restored)
            self._listener.start()
        waiting = self._waiting.get(channel)
        if waiting is None:
            waiting = self._waiting[channel] = {}
            self._listener.follow(channel)
        ended = asyncio.get_running_loop().create_future()
        waiting[ended] = question_id
        try:
            return await asyncio.wait_for(ended, seconds)
        except TimeoutError:
            return False
        finally:
            del waiting[ended]
            if not waiting and self._waiting.get(channel) is waiting:
                del self._waiting[channel]
                self._listener.leave(channel)

    async def close(self) -> None:
        """Stop listening."""
        if self._listener is not None:
            await self._listener.close()

    def _heard(self, event: ChannelEvent) -> None:
        if event.type in ENDS:
            about = str(event.data.get("question_id"))
            for ended, question_id in self._waiting.get(event.channel, {}).items():
                if str(question_id) == about and not ended.done():
                    ended.set_result(True)

    def _restored(self) -> None:
        for waiting in self._waiting.values():
            for ended in waiting:
                if not ended.done():
                    ended.set_result(False)
