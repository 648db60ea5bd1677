"""One question on its way to its answer: brief, ask the tutor, relay what it says, store it once, say that it ended.

The order is what makes an answer survive: the question is marked as begun before its first token is published, so that
nobody asks for it a second time, and its end is stored before it is told.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from uuid import UUID

import structlog

from edurise.ai import answering, queries
from edurise.ai.answering import Claimed, Outcome, Prices
from edurise.ai.ports import Brief, Broken, Text, Usage
from edurise.ai.telling import Telling
from edurise.authz import Principal
from edurise.errors import DomainError, NotFound, Overloaded

if TYPE_CHECKING:
    from edurise.container import Container

T = TypeVar("T")

LOG = structlog.get_logger("tutor")

PAUSES_S = (0.2, 1.0, 2.0, 5.0)
"""Pauses between attempts while the database is away; the last one repeats."""
ATTEMPTS = 5
"""How often a hop is tried that fails otherwise."""
TELLING_PAUSES_S = (0.2, 0.6, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Pauses between attempts to tell an end while Redis is away; then only the stored answer says it."""
PARTIAL_S = 10.0
"""How often the text so far is stored. It is asked for only where Redis lost the channel and the worker died too, and
storing two hundred growing answers with every beat would cost more than answering them."""
RENEW_S = 1.0
"""How soon what Redis did not take is told again if nothing else comes."""

INTERRUPTED = "AI_INTERRUPTED"
UNAVAILABLE = "AI_SERVICE_UNAVAILABLE"
EMPTY = "AI_EMPTY_ANSWER"
Wish = Literal["stopped", "interrupted", "lost", "released"]


class Answer:
    """``run`` returns when the answer has ended, or is no longer this process's affair."""

    def __init__(self, c: Container, holder: str, claimed: Claimed) -> None:
        self.claimed = claimed
        self._c = c
        self._holder = holder
        self._who = answering.principal(claimed)
        self._telling = Telling(c.streams, claimed.conversation_id, claimed.question_id)
        self._usage: Usage | None = None
        self._stored_at = -PARTIAL_S
        self._phase: Literal["claimed", "streaming", "ended"] = "claimed"
        self._wish: Wish | None = None
        self._reading: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    @property
    def text(self) -> str:
        """All of the answer that came so far."""
        return self._telling.text

    def partial(self, now: float) -> str | None:
        """The text for the next beat to store; None while what was stored is news enough. ``now`` is the loop's."""
        if not self.text or now < self._stored_at + PARTIAL_S:
            return None
        self._stored_at = now
        return self.text

    def stop(self) -> None:
        """Somebody wants no more of it: end the tutor's stream at once, keep what came."""
        self._want("stopped")

    def interrupt(self) -> None:
        """The process ends: keep what came."""
        self._want("interrupted")

    def lose(self) -> None:
        """Another process has the question now: leave without a word."""
        if self._phase != "ended":
            self._wish = None
            self._want("lost")

    def give_back(self) -> bool:
        """Leave the question to another process, if none of its answer was told; returns whether that is so."""
        if self._phase == "claimed":
            self._want("released")
        return self._wish == "released"

    async def run(self) -> None:
        """Answer. Raises what keeps coming from the database although it is there."""
        try:
            await self._deliver()
        except NotFound:
            LOG.info("the question is gone", question_id=str(self.claimed.question_id))
            return
        finally:
            if self._reading is not None:
                self._reading.cancel()
                # Whatever it raised is looked at where the outcome is made of it; else nobody asks.
                await asyncio.gather(self._reading, return_exceptions=True)
        if self._wish not in ("lost", "released"):
            await self._end(self._outcome())

    async def _deliver(self) -> None:
        """Brief, ask, and relay until the tutor or a wish ends it."""
        brief, message = await self._hop(_material, self.claimed.question_id)
        if self._wish is not None:
            return
        self._reading = asyncio.create_task(self._read(brief), name="tutor-answer")
        self._reading.add_done_callback(lambda _: self._news.set())
        while not self.text and not self._reading.done():
            self._news.clear()
            await self._news.wait()
        if not self.text or self._wish is not None:
            return
        self._phase = "streaming"
        position = await self._telling.start(message)
        names = self._c.tutor.model, self._c.tutor.name
        if not await self._hop(_begun, self.claimed.question_id, self._holder, position, *names):
            LOG.info("the question is another process's", question_id=str(self.claimed.question_id))
            self.lose()
        await self._relay(self._reading)

    async def _relay(self, reading: asyncio.Task[None]) -> None:
        """Tell what comes. What came in one turn of the loop, or while the last frame was on its way, is one frame."""
        while self._wish != "lost":
            self._news.clear()
            over = reading.done()
            told = await self._telling.tell()
            if over:
                return
            try:
                await asyncio.wait_for(self._news.wait(), None if told else RENEW_S)
            except TimeoutError:
                LOG.debug("what the channel did not take is told again")

    async def _read(self, brief: Brief) -> None:
        async with aclosing(self._c.tutor.answer(brief)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Text):
                    self._telling.text += piece.text
                    self._news.set()
                else:
                    self._usage = piece

    def _outcome(self) -> Outcome:
        settings = self._c.settings
        state, code = self._ended()
        prices = Prices(settings.ai_prompt_usd_per_m, settings.ai_completion_usd_per_m)
        # What was never begun was never told, and is not stored either.
        text = "" if self._phase == "claimed" else self.text
        return Outcome(state, text, self._usage, code, prices)

    def _ended(self) -> tuple[answering.Ending, str | None]:
        """The state that the answer ends in, and why."""
        reading = self._reading
        if reading is None or reading.cancelled() or (self._wish is not None and self._phase == "claimed"):
            return ("stopped", None) if self._wish == "stopped" else ("interrupted", INTERRUPTED)
        failed = reading.exception()
        if failed is None:
            return ("done", None) if self.text else ("failed", EMPTY)
        about = {"question_id": str(self.claimed.question_id)}
        if isinstance(failed, Broken):
            LOG.warning("an answer broke off", reason=failed.reason, **about)
        elif isinstance(failed, DomainError):
            LOG.warning("the tutor does not answer", code=failed.code, **about)
        else:
            LOG.error("the tutor failed", exc_info=failed, **about)
        if self.text:
            return "interrupted", INTERRUPTED
        return "failed", failed.code if isinstance(failed, DomainError) else UNAVAILABLE

    async def _end(self, outcome: Outcome) -> None:
        """Store the end, then tell it. It may have been stored by an attempt that nobody heard back from."""
        self._phase = "ended"
        question_id = self.claimed.question_id
        ended = await self._hop(_finished, question_id, self._holder, outcome)
        if ended is None:
            LOG.info("an answer ended elsewhere", question_id=str(question_id), state=outcome.state)
            return
        LOG.info("answered", question_id=str(question_id), state=outcome.state, code=outcome.error_code)
        for pause in (*TELLING_PAUSES_S, None):
            if await self._telling.end(ended):
                return
            if pause is not None:
                await asyncio.sleep(pause)
        LOG.warning("the end of an answer could not be told", question_id=str(question_id))

    async def _hop(self, fn: Callable[..., T], *args: Any) -> T:
        """A hop in the asker's name. It waits for a database that is away, for as long as the process lives; whatever
        else it raises ends it after ``ATTEMPTS``, NotFound at once."""
        for attempt in itertools.count(1):
            try:
                result: T = await self._c.db.run(self._who, fn, *args)
            except NotFound:
                raise
            except Exception as failed:
                if attempt >= ATTEMPTS and not isinstance(failed, Overloaded):
                    raise
                pause = PAUSES_S[min(attempt, len(PAUSES_S)) - 1]
                LOG.warning("a step of an answer waits for the database", pause_s=pause, failure=type(failed).__name__)
                await asyncio.sleep(pause)
            else:
                return result
        raise AssertionError("unreachable")

    def _want(self, wish: Wish) -> None:
        if self._phase != "ended" and self._wish is None:
            self._wish = wish
            if self._reading is not None:
                self._reading.cancel()
            self._news.set()


def _material(session: Any, who: Principal, question_id: UUID) -> tuple[Brief, dict[str, Any]]:
    """What the tutor is given, and the question as a message."""
    return answering.brief(session, who, question_id), queries.asked(session, question_id)["message"]


def _begun(
    session: Any, who: Principal, question_id: UUID, holder: str, position: tuple[int, UUID] | None, *names: str
) -> bool:
    """``answering.begin``, also true where an earlier attempt did it whose commit was not heard of."""
    if answering.begin(session, who, question_id, holder, position, *names):
        return True
    found = queries.question(session, who, question_id)
    if found is None or found["state"] != "streaming" or found["stream"] is None:
        return False
    return (found["stream"]["offset"], found["stream"]["epoch"]) == position


def _finished(session: Any, who: Principal, question_id: UUID, holder: str, outcome: Outcome) -> dict[str, Any] | None:
    """``answering.finish``, or what an earlier attempt at it stored whose commit was not heard of."""
    ended = answering.finish(session, who, question_id, holder, outcome)
    if ended is not None:
        return ended
    found = queries.question(session, who, question_id)
    if found is None or found["state"] != outcome.state:
        return None
    return {**found, "question_id": found["id"], "code": found["error_code"]}
