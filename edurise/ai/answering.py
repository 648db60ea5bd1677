"""Commands of whoever answers: claim, begin, beat, finish, and what becomes of a claim whose holder fell silent.

The question's row is the claim. Every change names the holder, so that one who lost it changes nothing any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from edurise.ai import prompting, queries, retrieval, service, views
from edurise.ai.models import Question
from edurise.ai.ports import Brief, Usage
from edurise.authz import Principal, actor_principal
from edurise.courses import queries as courses
from edurise.db import after_commit, first, moment, scalar
from edurise.errors import NotFound
from edurise.identity import queries as people

ATTEMPTS = 3
"""Claims of one question that may be lost before its first token."""
Ending = Literal["done", "stopped", "interrupted", "failed"]
_MESSAGE_STATE = {"done": "complete", "stopped": "stopped", "interrupted": "interrupted", "failed": "interrupted"}


@dataclass(frozen=True)
class Claimed:
    """A question that the caller of ``claim`` is to answer. ``attempts`` counts the claims that were lost before."""

    question_id: UUID
    conversation_id: UUID
    tenant_id: UUID
    user_id: UUID
    attempts: int


@dataclass(frozen=True)
class Overdue:
    """A question whose holder fell silent, and what ``overdue`` made of it.

    ``state``: ``waiting`` again; ``stopped`` or ``failed``, which is still to be told; or ``streaming``, now held by
    the caller, who is to finish it as interrupted. ``partial`` is what was last stored of the answer, ``stream`` the
    position (offset, epoch) before its first part.
    """

    question_id: UUID
    conversation_id: UUID
    tenant_id: UUID
    user_id: UUID
    state: str
    partial: str
    stream: tuple[int, UUID] | None


@dataclass(frozen=True)
class Beat:
    """What a beat brought back: answers to stop, and answers that are the holder's no longer."""

    stop: frozenset[UUID]
    lost: frozenset[UUID]


@dataclass(frozen=True)
class Prices:
    """US dollars for a million tokens, which is the same as micro-dollars for one; None where nobody said."""

    prompt: float | None
    completion: float | None


@dataclass(frozen=True)
class Outcome:
    """How an answer ended. ``text`` is all of it that was delivered; ``usage`` None where nobody counted."""

    state: Ending
    text: str
    usage: Usage | None = None
    error_code: str | None = None
    prices: Prices | None = None


def principal(found: Claimed | Overdue) -> Principal:
    """Whose hops ``brief``, ``begin`` and ``finish`` are: the service's, in the asker's organization and name."""
    return replace(actor_principal(found.tenant_id), user_id=found.user_id)


def claim(session: Session, holder: str, limit: int) -> list[Claimed]:
    """Take up to ``limit`` waiting questions, the oldest first (system role). Two who claim at once take different
    ones."""
    found = session.connection().exec_driver_sql(_CLAIM, {"limit": limit, "holder": holder, "now": moment(session)})
    return [Claimed(*row[:5]) for row in sorted(found.all(), key=lambda row: (row[5], row[0]))]


def brief(session: Session, who: Principal, question_id: UUID) -> Brief:
    """Everything that the answer is made from. The course is the conversation's own, whatever its context names.

    Raises NotFound where the question is gone.
    """
    asked = first(
        session,
        select(Question.conversation_id, Question.message_id).where(
            Question.id == question_id, Question.user_id == who.person
        ),
    )
    conversation = first(session, queries.CONVERSATION, {"id": asked["conversation_id"]}) if asked else None
    if asked is None or conversation is None:
        raise NotFound
    newest = queries.newest(session, who.tenant, conversation["id"], prompting.MOST_MESSAGES)
    question = next((row["content"] for row in newest if row["id"] == asked["message_id"]), None)
    if question is None:
        raise NotFound
    course_id = conversation["course_id"]
    passages = retrieval.passages(session, course_id, question) if course_id else ()
    course = retrieval.name(courses.title_of(session, who, course_id)) if course_id else None
    history = prompting.history(newest, asked["message_id"])
    return Brief(
        question_id=question_id,
        conversation_id=conversation["id"],
        question=question,
        course=course,
        passages=passages,
        messages=prompting.messages(question, history, course, passages),
        language=people.contact(session, who.person)["language"],
    )


def begin(
    session: Session,
    _who: Principal,
    question_id: UUID,
    holder: str,
    position: tuple[int, UUID] | None,
    model: str,
    provider: str,
) -> bool:
    """Say that the first token is about to be published; from here on the question is never claimed again.

    ``position`` is (offset, epoch) before it, None where the channel has none. False: the claim was lost.
    """
    now = moment(session)
    offset, epoch = position or (None, None)
    begun = session.execute(
        update(Question)
        .where(Question.id == question_id, Question.holder == holder, Question.state == "claimed")
        .values(
            state="streaming",
            stream_offset=offset,
            stream_epoch=epoch,
            model=model,
            provider=provider,
            first_token_at=now,
            beat_at=now,
        )
        .returning(Question.id)
        .execution_options(synchronize_session=False)
    )
    return begun.first() is not None


def beat(session: Session, holder: str, partials: Mapping[UUID, str | None]) -> Beat:
    """Say that the holder is alive and what it has delivered of each of its answers, None for what it said before; one
    statement (system role)."""
    if not partials:
        return Beat(frozenset(), frozenset())
    values = {
        "ids": [str(one) for one in partials],
        "partials": [None if text is None else _storable(text) for text in partials.values()],
        "holder": holder,
        "now": moment(session),
    }
    found = session.connection().exec_driver_sql(_BEAT, values).all()
    stop = frozenset(question_id for question_id, stop_requested in found if stop_requested)
    return Beat(stop, frozenset(partials) - frozenset(question_id for question_id, _ in found))


def finish(
    session: Session, _who: Principal, question_id: UUID, holder: str, outcome: Outcome
) -> dict[str, Any] | None:
    """End an answer: message, usage, cost and the conversation's counters, once.

    Returns what the channel is told, ``{question_id, conversation_id, state, message, usage, code}``, with ``message``
    None where nothing was delivered. None: it had ended already, or is not the holder's any more.
    """
    conversation_id = scalar(session, select(Question.conversation_id).where(Question.id == question_id))
    if conversation_id is None:
        return None
    conversation = service.lock(session, conversation_id)
    now = moment(session)
    usage = _measured(outcome.usage)
    delivered = _storable(outcome.text)
    counted = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cost_micros": cost_micros(usage, outcome.prices),
    }
    ended = session.execute(
        update(Question)
        .where(Question.id == question_id, Question.holder == holder, Question.state.in_(("claimed", "streaming")))
        .values(state=outcome.state, error_code=outcome.error_code, finished_at=now, partial="", **counted)
        .returning(Question.asked_at)
        .execution_options(synchronize_session=False)
    ).first()
    if ended is None:
        return None
    message = None
    if delivered:
        message = service.add_message(
            session,
            conversation,
            "assistant",
            delivered,
            state=_MESSAGE_STATE[outcome.state],
            tokens_used=_tokens(usage),
            response_time_ms=max(round((now - ended.asked_at) / timedelta(milliseconds=1)), 0),
        )
        session.execute(
            update(Question)
            .where(Question.id == question_id)
            .values(answer_id=message["id"])
            .execution_options(synchronize_session=False)
        )
    return {
        "question_id": question_id,
        "conversation_id": conversation_id,
        "state": outcome.state,
        "message": views.message_view(message) if message else None,
        "usage": views.usage_view(counted),
        "code": outcome.error_code,
    }


def release(session: Session, holder: str, question_ids: Sequence[UUID]) -> int:
    """Give claims back that have no token yet, for a process that ends (system role); returns how many. It costs no
    attempt."""
    values = {"ids": [str(one) for one in question_ids], "holder": holder}
    released = session.connection().exec_driver_sql(_RELEASE, values).rowcount
    if released:
        after_commit(session).bells.add(service.QUESTIONS)
    return released


def overdue(session: Session, holder: str, older_than_s: float, limit: int = 500) -> list[Overdue]:
    """Take questions from holders that were silent for ``older_than_s`` seconds, ``holder`` being the caller (system
    role).

    Without a token a question waits again, or has failed after ``ATTEMPTS``; with one it is the caller's to finish.
    """
    now = moment(session)
    values = {
        "before": now - timedelta(seconds=older_than_s),
        "limit": limit,
        "last": ATTEMPTS - 1,
        "holder": holder,
        "now": now,
    }
    found = session.connection().exec_driver_sql(_OVERDUE, values).all()
    taken = [_overdue(row) for row in found]
    if any(one.state == "waiting" for one in taken):
        after_commit(session).bells.add(service.QUESTIONS)
    return taken


def cost_micros(usage: Usage, prices: Prices | None) -> int | None:
    """prompt tokens × prompt price + completion tokens × completion price, in millionths of a US dollar, rounded
    half-even once; None where a number or a price is not known."""
    if prices is None or prices.prompt is None or prices.completion is None:
        return None
    if usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    exact = usage.prompt_tokens * Decimal(repr(prices.prompt)) + usage.completion_tokens * Decimal(
        repr(prices.completion)
    )
    return int(exact.quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


def _storable(text: str) -> str:
    """The text without what PostgreSQL cannot hold, NUL and lone surrogates: an answer must not fail to be stored."""
    return text.replace("\x00", "").encode(errors="replace").decode()


def _measured(usage: Usage | None) -> Usage:
    """The usage; a number that no answer can have is none."""
    told = (usage.prompt_tokens, usage.completion_tokens) if usage else (None, None)
    prompt, completion = (one if one is not None and 0 <= one < 2**30 else None for one in told)
    return Usage(prompt, completion)


def _overdue(row: Any) -> Overdue:
    stream = None if row.stream_offset is None else (row.stream_offset, row.stream_epoch)
    return Overdue(row.id, row.conversation_id, row.tenant_id, row.user_id, row.state, row.partial, stream)


def _tokens(usage: Usage) -> int | None:
    if usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    return usage.prompt_tokens + usage.completion_tokens


_CLAIM = """
WITH taken AS (
    SELECT id FROM ai_questions WHERE state = 'waiting' ORDER BY asked_at, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
UPDATE ai_questions q SET state = 'claimed', holder = %(holder)s, beat_at = %(now)s
  FROM taken WHERE q.id = taken.id
RETURNING q.id, q.conversation_id, q.tenant_id, q.user_id, q.attempts, q.asked_at
"""
_BEAT = """
UPDATE ai_questions q SET beat_at = %(now)s, partial = coalesce(b.partial, q.partial)
  FROM unnest(%(ids)s::uuid[], %(partials)s::text[]) AS b (id, partial)
 WHERE q.id = b.id AND q.holder = %(holder)s AND q.state IN ('claimed', 'streaming')
RETURNING q.id, q.stop_requested
"""
_RELEASE = """
UPDATE ai_questions SET state = 'waiting', holder = NULL, beat_at = NULL
 WHERE id = ANY (%(ids)s::uuid[]) AND holder = %(holder)s AND state = 'claimed'
"""
_OVERDUE = """
WITH late AS (
    SELECT id, state FROM ai_questions
     WHERE state IN ('claimed', 'streaming') AND beat_at < %(before)s
     ORDER BY beat_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED),
fate AS (
    SELECT q.id, CASE WHEN q.state = 'streaming' THEN 'streaming'
                      WHEN q.stop_requested THEN 'stopped'
                      WHEN q.attempts >= %(last)s THEN 'failed'
                      ELSE 'waiting' END AS state
      FROM ai_questions q JOIN late USING (id))
UPDATE ai_questions q
   SET state = fate.state, attempts = q.attempts + 1,
       holder = CASE WHEN fate.state = 'streaming' THEN %(holder)s END,
       beat_at = CASE WHEN fate.state = 'streaming' THEN %(now)s::timestamptz END,
       finished_at = CASE WHEN fate.state IN ('stopped', 'failed') THEN %(now)s::timestamptz END,
       error_code = CASE WHEN fate.state = 'failed' THEN 'AI_SERVICE_UNAVAILABLE' END
  FROM fate WHERE q.id = fate.id
RETURNING q.id, q.conversation_id, q.tenant_id, q.user_id, q.state, q.partial, q.stream_offset, q.stream_epoch
"""
