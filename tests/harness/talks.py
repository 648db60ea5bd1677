"""Conversations with the tutor as their owners and whoever answers have them, without a socket and without a worker."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.orm import Session

from edurise.ai import answering, queries, service
from edurise.ai.answering import Claimed, Outcome, Prices
from edurise.ai.permissions import Ai
from edurise.ai.ports import Brief, Usage
from edurise.authz import About, Principal
from edurise.tenants import service as memberships
from tests.harness.waiting import eventually
from tests.harness.world import Someone, World

PER_DAY = 100


class Talk:
    """One person's conversation. Every method is one hop, in the calling thread."""

    def __init__(self, world: World, person: Someone, course_id: UUID | None = None, **data: Any) -> None:
        self.world, self.person = world, person
        about = About("course", course_id) if course_id else None
        needed = Ai.ABOUT_COURSE if course_id else Ai.MINE
        made = world.c.db.run_sync(person.principal.needing(needed), service.create, data, course_id, about=about)
        self.id: UUID = made["id"]

    @property
    def owner(self) -> Principal:
        return self.person.principal.needing(Ai.CONVERSE)

    def hop(self, fn: Any, *args: Any, by: Someone | None = None) -> Any:
        who = by.principal.needing(Ai.CONVERSE) if by else self.owner
        return self.world.c.db.run_sync(who, fn, *args, about=About("conversation", self.id))

    def ask(
        self, text: str = "Why?", key: str | None = None, per_day: int = PER_DAY, by: Someone | None = None
    ) -> tuple[bool, dict[str, Any]]:
        return self.hop(service.ask, self.id, text, key, per_day, by=by)

    def stop(self) -> dict[str, Any] | None:
        return self.hop(service.stop, self.id)

    def messages(self) -> list[dict[str, Any]]:
        return self.hop(queries.messages, self.id)

    def view(self) -> dict[str, Any]:
        return self.hop(queries.conversation, self.id)

    def question(self, question_id: UUID) -> dict[str, Any] | None:
        return self.hop(queries.question, question_id)

    # -- whoever answers --------------------------------------------------------------------------------------------

    def claim(self, holder: str = "worker") -> Claimed:
        """The conversation's waiting question; whatever else waits in this database is taken and given back."""
        taken = self.world.c.db.system_sync(answering.claim, holder, 1000)
        found = next(one for one in taken if one.conversation_id == self.id)
        rest = [one.question_id for one in taken if one is not found]
        self.world.c.db.system_sync(answering.release, holder, rest)
        return found

    def brief(self, claimed: Claimed) -> Brief:
        return self.work(claimed, answering.brief, claimed.question_id)

    def begin(self, claimed: Claimed, holder: str = "worker", position: tuple[int, UUID] | None = None) -> bool:
        return self.work(
            claimed, answering.begin, claimed.question_id, holder, position or (1, uuid4()), "model", "provider"
        )

    def finish(
        self,
        claimed: Claimed,
        text: str = "Because.",
        state: answering.Ending = "done",
        holder: str = "worker",
        usage: Usage | None = None,
        prices: Prices | None = None,
        code: str | None = None,
    ) -> dict[str, Any] | None:
        outcome = Outcome(state, text, usage, code, prices)
        return self.work(claimed, answering.finish, claimed.question_id, holder, outcome)

    def work(self, claimed: Claimed | answering.Overdue, fn: Any, *args: Any) -> Any:
        return self.world.c.db.run_sync(answering.principal(claimed), fn, *args)

    def answered(self, question: str = "Why?", answer: str = "Because.") -> Claimed:
        """A whole exchange."""
        self.ask(question)
        claimed = self.claim()
        assert self.begin(claimed)
        assert self.finish(claimed, answer) is not None
        return claimed

    def taken(self, holder: str = "worker") -> Claimed | None:
        """As ``claim``, or None while no question of this conversation waits."""
        return None if self.hop(queries.running, self.id) is None else self.claim(holder)

    async def answer_soon(self, text: str = "Because.", state: answering.Ending = "done", **ended: Any) -> UUID:
        """Answer the conversation's next question, as a worker in another process does; returns its id."""
        claimed = await eventually(self.taken, "a question")
        told = {"question_id": str(claimed.question_id)}
        channel = service.channel_of(self.id)
        if text:
            begun = await self.world.c.streams.append(channel, "answer_started", told)
            assert begun is not None
            assert self.begin(claimed, position=(begun.offset, begun.epoch))
            await self.world.c.streams.append(channel, "token", told | {"text": text})
        assert self.finish(claimed, text, state, **ended) is not None
        await self.world.c.streams.append(channel, "interrupted" if state == "failed" else "done", told)
        return claimed.question_id


def stored(world: World, question_id: UUID) -> dict[str, Any]:
    """A question's row, past row-level security."""

    def read(session: Session) -> dict[str, Any]:
        return dict(
            session.execute(text("SELECT * FROM ai_questions WHERE id = :id"), {"id": question_id}).mappings().one()
        )

    found: dict[str, Any] = world.c.db.system_sync(read)
    return found


def stand(world: World, tenant_id: UUID, course_id: UUID, person_id: UUID, *, ended: bool = False) -> None:
    """Give a person a learner's standing in a course, or end it."""

    def change(session: Session) -> None:
        memberships.join(session, tenant_id, person_id)
        memberships.stand(session, tenant_id, course_id, person_id, "learner")
        session.flush()
        session.execute(
            text(
                "UPDATE standings SET until = CASE WHEN :ended THEN now() - interval '1 second' END WHERE person_id = :p"
            ),
            {"ended": ended, "p": person_id},
        )

    world.c.db.system_sync(change)
