"""The producer of answers: takes waiting questions and has them answered, as many at a time as the settings allow.

A claim lives by its beats. Whoever falls silent loses it: what had no token yet waits again, what had one ends
interrupted, with what was delivered.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING
from uuid import UUID

import structlog
from uuid_utils.compat import uuid7

from actors.answering import INTERRUPTED, UNAVAILABLE, Answer
from actors.schedule import job
from edurise.adapters.draining import drain
from edurise.ai import answering, service
from edurise.ai.answering import Claimed, Outcome, Overdue
from edurise.ai.telling import delivered, ending
from edurise.errors import Overloaded
from edurise.ports import Bells

if TYPE_CHECKING:
    from edurise.container import Container

LOG = structlog.get_logger("tutor")

POLL_S = 1.0
"""A bell that nobody heard costs no more than this."""
BEAT_S = 2.0
SILENT_S = 10.0
"""Without a beat for this long a claim is lost."""
LAST_S = 3.0
"""After the time for draining: how long storing what was delivered may take."""
PAUSES_S = (0.2, 1.0, 5.0)
"""Pauses of the loop while the database is away; the last one repeats."""


class TutorLoop:
    """Takes questions and runs their answers. Several of them, in any number of processes, share the questions."""

    def __init__(self, c: Container, bells: Bells, *, holder: str | None = None) -> None:
        self._c = c
        self._bells = bells
        self._holder = holder or f"{socket.gethostname()}:{uuid7()}"
        self._running: dict[UUID, tuple[Answer, asyncio.Task[None]]] = {}
        self._freed = asyncio.Event()

    async def run(self) -> None:
        """Answer until cancelled. Then what has no token yet is given back, and what runs may finish, for as long as
        the settings let a process drain; what is left ends interrupted with what was delivered."""
        beats = asyncio.create_task(self._beat_on(), name="tutor-beats")
        try:
            await self._claim_on()
        finally:
            await self._drain()
            beats.cancel()
            await asyncio.wait({beats})

    async def claim(self) -> int:
        """Take what waits, as much as there is room for, and begin with it; returns how many were taken."""
        room = self._room()
        taken: list[Claimed] = await self._c.db.system(answering.claim, self._holder, room) if room else []
        for claimed in taken:
            # One that came back while it still runs here is answered by whoever runs: the holder is the same.
            if claimed.question_id not in self._running:
                answer = Answer(self._c, self._holder, claimed)
                task = asyncio.create_task(self._answer(answer), name="tutor")
                self._running[claimed.question_id] = answer, task
        return len(taken)

    async def beat(self) -> None:
        """Say that this process lives and, of each answer every ten seconds, what it delivered, of all at once; stop
        those that somebody stopped."""
        now = asyncio.get_running_loop().time()
        partials = {question_id: answer.partial(now) for question_id, (answer, _) in self._running.items()}
        if not partials:
            return
        found = await self._c.db.system(answering.beat, self._holder, partials)
        for question_id in found.stop:
            if question_id in self._running:
                self._running[question_id][0].stop()
        for question_id in found.lost:
            if question_id in self._running:
                self._running[question_id][0].lose()

    async def idle(self) -> None:
        """Wait for the answers that run."""
        while self._running:
            await asyncio.wait({task for _, task in self._running.values()})

    def _room(self) -> int:
        return max(self._c.settings.ai_streams - len(self._running), 0)

    async def _answer(self, answer: Answer) -> None:
        try:
            await answer.run()
        except Exception:
            # Its beats end here, so the claim is soon lost, and the question with it put right.
            LOG.exception("an answer failed", question_id=str(answer.claimed.question_id))
        finally:
            del self._running[answer.claimed.question_id]
            self._freed.set()

    async def _claim_on(self) -> None:
        failures = 0
        while True:
            step = asyncio.ensure_future(self._step())
            try:
                more = await asyncio.shield(step)
            except asyncio.CancelledError:
                await drain({step}, self._c.settings.drain_s)  # what it takes must be known, to be given back
                raise
            failures = failures + 1 if more is None else 0
            if more is None:
                await asyncio.sleep(PAUSES_S[min(failures, len(PAUSES_S)) - 1])
            elif not self._room():
                self._freed.clear()
                await self._freed.wait()
            elif not more:
                await self._bells.wait(service.QUESTIONS, POLL_S)

    async def _step(self) -> int | None:
        """One round of claims; None if it failed."""
        try:
            return await self.claim()
        except Overloaded as away:
            LOG.warning("questions cannot be taken", code=away.code)
        except Exception:
            LOG.exception("questions cannot be taken")
        return None

    async def _beat_on(self) -> None:
        while True:
            await self._bells.wait(service.STOPS, BEAT_S)
            try:
                await self.beat()
            except Overloaded as away:
                LOG.warning("a beat of the tutor failed", code=away.code)
            except Exception:
                LOG.exception("a beat of the tutor failed")

    async def _drain(self) -> None:
        back = {question_id: task for question_id, (answer, task) in self._running.items() if answer.give_back()}
        if back:
            await drain(set(back.values()), LAST_S)
            try:
                await self._c.db.system(answering.release, self._holder, list(back))
            except Exception:
                LOG.exception("claims could not be given back; they wait until they are overdue", count=len(back))
        left = {task for _, task in self._running.values()}
        if left:
            await asyncio.wait(left, timeout=self._c.settings.drain_s)
        for answer, _ in self._running.values():
            answer.interrupt()
        await drain({task for _, task in self._running.values()}, LAST_S)


_REAPER = f"reaper:{socket.gethostname()}:{uuid7()}"


@job(every_s=1)
async def end_overdue(c: Container) -> None:
    """Put right what a dead process had claimed: questions without a token wait again, answers that had begun end
    interrupted with what was delivered, as the channel or the last beat has it, whichever is more."""
    taken: list[Overdue] = await c.db.system(answering.overdue, _REAPER, SILENT_S)
    for outcome in await asyncio.gather(*(_put_right(c, one) for one in taken), return_exceptions=True):
        if isinstance(outcome, BaseException):
            LOG.error("an overdue answer could not be ended; it is tried again", exc_info=outcome)


async def _put_right(c: Container, one: Overdue) -> None:
    LOG.warning("whoever answered fell silent", question_id=str(one.question_id), state=one.state)
    ended = {"question_id": one.question_id, "state": one.state, "message": None, "usage": None, "code": UNAVAILABLE}
    if one.state == "waiting":
        return
    if one.state == "streaming":
        kept = await delivered(c.streams, one.conversation_id, one.question_id, one.stream)
        text = max(one.partial, kept, key=len)
        outcome = Outcome("interrupted", text, error_code=INTERRUPTED)
        ended = await c.db.run(answering.principal(one), answering.finish, one.question_id, _REAPER, outcome)
    if ended is not None:
        await c.streams.append(service.channel_of(one.conversation_id), *ending(ended))
