"""A hall in which people ask and producers answer: real database, real Redis, tutors that say what they were told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from actors.tutor import SILENT_S, TutorLoop, end_overdue
from edurise.adapters.bells import RedisBells
from edurise.adapters.clock import SetClock
from edurise.adapters.provision import DatabaseUrls
from edurise.ai.models import RUNNING
from edurise.ai.ports import Brief, Piece, Text, Usage
from edurise.ai.service import QUESTIONS, STOPS, channel_of
from edurise.config import read_settings
from edurise.container import Container, build
from edurise.db import Urls
from edurise.errors import Overloaded
from edurise.ports import ChannelEvent
from tests.actors.workshop import START, owner_engine
from tests.harness.machine import forget_keys, redis_prefix, require
from tests.harness.talks import Talk, stored
from tests.harness.waiting import eventually
from tests.harness.world import World

SETTINGS = {
    "EDU_MODE": "test",
    "EDU_DRAIN_S": "5",
    "EDU_AI_PROMPT_USD_PER_M": "2",
    "EDU_AI_COMPLETION_USD_PER_M": "10",
    "EDU_AI_STALL_S": "5",
}
Step = str | Usage | Exception | asyncio.Event


class Script:
    """A tutor that says what it was told, and waits where it finds an event. It notes whom it answered."""

    name, model = "script", "script-1"

    def __init__(self, *steps: Step) -> None:
        self.steps = steps
        self.asked: list[Brief] = []
        self.left = 0
        self.most = 0

    async def answer(self, brief: Brief) -> AsyncGenerator[Piece]:
        self.asked.append(brief)
        self.most = max(self.most, len(self.asked) - self.left)
        try:
            for step in self.steps:
                if isinstance(step, asyncio.Event):
                    await step.wait()
                elif isinstance(step, Exception):
                    raise step
                else:
                    yield Text(step) if isinstance(step, str) else step
        finally:
            self.left += 1

    async def close(self) -> None:
        """Nothing is open."""


@dataclass
class Streams:
    """The real channels, while Redis is not ``away``; ``before`` looks at each event first."""

    real: Any
    away: bool = False
    before: list[Callable[[str, Mapping[str, object]], None]] = field(default_factory=list)

    async def append(self, channel: str, type: str, data: Mapping[str, object], **how: Any) -> ChannelEvent | None:  # noqa: A002 - the port's word
        for look in self.before:
            look(type, data)
        return None if self.away else await self.real.append(channel, type, data, **how)

    async def read(self, *position: Any) -> Any:
        return await self.real.read(*position)


@dataclass
class Base:
    """The real database, while it is not ``away`` for the functions that are named so."""

    real: Any
    away: set[str] = field(default_factory=set)
    unheard: set[str] = field(default_factory=set)
    """Functions that are carried out once without anybody hearing of it."""
    refused: int = 0

    async def run(self, who: Any, fn: Any, *args: Any) -> Any:
        self._check(fn)
        found = await self.real.run(who, fn, *args)
        if fn.__name__ in self.unheard:
            self.unheard.discard(fn.__name__)
            self.refused += 1
            raise Overloaded("DATABASE_UNAVAILABLE")
        return found

    async def system(self, fn: Any, *args: Any) -> Any:
        self._check(fn)
        return await self.real.system(fn, *args)

    def _check(self, fn: Any) -> None:
        if fn.__name__ in self.away:
            self.refused += 1
            raise Overloaded("DATABASE_UNAVAILABLE")


class Hall:
    """A container, people who ask, and as many producers as a test wants."""

    def __init__(self, c: Container, clock: SetClock) -> None:
        self.world = World(c, clock)
        self.clock = clock
        self.streams, self.db = Streams(c.streams), Base(c.db)
        self.c = replace(c, streams=self.streams, db=self.db)  # type: ignore[arg-type]  # what the producer uses of them
        self.bells = RedisBells(c.announcer, [QUESTIONS, STOPS])
        self.tasks: dict[TutorLoop, asyncio.Task[None]] = {}

    def talk(self) -> Talk:
        return Talk(self.world, self.world.person())

    def producer(self, teacher: Any, **settings: Any) -> TutorLoop:
        """One that is not started."""
        c = replace(self.c, tutor=teacher, settings=replace(self.c.settings, **settings))
        return TutorLoop(c, self.bells)

    def start(self, teacher: Any, **settings: Any) -> TutorLoop:
        made = self.producer(teacher, **settings)
        self.tasks[made] = asyncio.create_task(made.run())
        return made

    async def end(self, producer: TutorLoop) -> None:
        """As a worker that is stopped does."""
        task = self.tasks.pop(producer)
        task.cancel()
        await asyncio.wait({task})

    async def kill(self, producer: TutorLoop) -> None:
        """As a worker that is killed: nothing is given back, nothing is stored."""

        async def nothing() -> None:
            """It is dead."""

        producer._drain = nothing  # type: ignore[method-assign]  # the point
        answering_tasks = {task for _, task in producer._running.values()}
        for task in answering_tasks:
            task.cancel()
        await self.end(producer)
        await asyncio.wait(answering_tasks)

    async def told(self, talk: Talk) -> list[ChannelEvent]:
        """All that the conversation's channel holds."""
        return (await self.streams.real.read(channel_of(talk.id), 0, None)).events

    async def heard(self, talk: Talk, count: int) -> list[ChannelEvent]:
        """The events of the channel, once there are so many."""

        async def enough() -> list[ChannelEvent]:
            found = await self.told(talk)
            return found if len(found) >= count else []

        return await eventually(enough, f"{count} events")

    async def ended(self, talk: Talk, question_id: UUID) -> dict[str, Any]:
        """The question's row, once its end was told."""

        async def is_told() -> bool:
            return any(one.type in ("done", "interrupted") for one in await self.told(talk))

        await eventually(lambda: self.row(question_id)["state"] not in RUNNING, "the answer ends")
        await eventually(is_told, "its end is told")
        return self.row(question_id)

    async def forget(self, talk: Talk) -> None:
        """Make Redis forget the conversation's channel."""
        real = self.streams.real
        await real._redis.delete(*real._keys(channel_of(talk.id)))

    async def overdue(self, seconds: float = SILENT_S + 1) -> None:
        """Let time pass, then do what the scheduler would."""
        self.clock.advance(timedelta(seconds=seconds))
        await end_overdue(self.c)

    def row(self, question_id: UUID) -> dict[str, Any]:
        return stored(self.world, question_id)


@asynccontextmanager
async def hall(urls: DatabaseUrls) -> AsyncIterator[Hall]:
    settings = read_settings({**SETTINGS, "EDU_REDIS_PREFIX": redis_prefix()})
    engine = owner_engine(urls)
    with engine.begin() as connection:
        connection.exec_driver_sql("TRUNCATE ai_conversations CASCADE")
    engine.dispose()
    clock = SetClock(START)
    c = build(settings, Urls(urls.application, urls.system), require("redis"), clock)
    found = Hall(c, clock)
    found.bells.start()
    try:
        yield found
    finally:
        for task in found.tasks.values():
            task.cancel()
        if found.tasks:
            await asyncio.wait(set(found.tasks.values()))
        await found.bells.close()
        await c.close()
        forget_keys(redis_prefix())


def text_of(events: list[ChannelEvent]) -> str:
    """What a client that follows the rules shows."""
    text = ""
    for one in events:
        if one.type == "token":
            text = ("" if one.data.get("replace") else text) + str(one.data["text"])
    return text


def words(count: int) -> str:
    return "".join(f"w{number} " for number in range(count))
