"""Commands of the person who talks to the tutor. The conversation's row is locked first, then its question's: so two
who ask, stop or finish at once take turns, and the unique keys have the last word."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import case, func, select, update
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from edurise.ai import queries, views
from edurise.ai.models import RUNNING, Conversation, Question, StoredMessage
from edurise.ai.permissions import STUDYING
from edurise.authz import Principal
from edurise.db import add_row, after_commit, first, flush_unique, moment, quotas, scalar
from edurise.errors import Conflict, Forbidden, Invalid, Limited, NotFound, Problem, Retry
from edurise.tenants.quotas import AI_QUESTIONS

QUESTIONS = "questions"
"""The bell that says that a question waits."""
STOPS = "stops"
"""The bell that says that somebody wants no more of an answer."""
LONGEST_QUESTION = 4_000
"""Characters."""
LONGEST_TITLE = 80
_DAY = timedelta(hours=24)


def channel_of(conversation_id: UUID) -> str:
    """The ephemeral channel on which the answers of a conversation arrive."""
    return f"ai:{conversation_id}"


def create(session: Session, who: Principal, data: dict[str, Any], course_id: UUID | None) -> dict[str, Any]:
    """Begin a conversation in the organization entered; returns the contract's AIConversation.

    ``course_id`` is a course that the hop was entered about; ``data`` may hold ``title``, ``conversation_type`` and
    ``context``, which is kept and never read. Without a title the first question becomes it.
    """
    now = moment(session)
    row: dict[str, Any] = {
        "id": uuid7(),
        "tenant_id": who.tenant,
        "user_id": who.person,
        "title": data.get("title", ""),
        "conversation_type": data.get("conversation_type", "tutor"),
        "context": data.get("context", {}),
        "course_id": course_id,
        "is_active": True,
        "last_activity": now,
        "message_count": 0,
        "created_at": now,
        "updated_at": now,
    }
    add_row(session, Conversation, **row)
    return views.conversation_view(row)


def ask(
    session: Session, who: Principal, conversation_id: UUID, text: str, ask_key: str | None, per_day: int
) -> tuple[bool, dict[str, Any]]:
    """Put a question; returns (whether it is new, what ``views.question_view`` says of it).

    Not new is a question that this ``ask_key`` asked before, whatever became of it, and the same text while its answer
    runs. Enter about the conversation. Raises Conflict: ANSWER_RUNNING for another text meanwhile,
    IDEMPOTENCY_KEY_REUSED for another text under the same key; Forbidden (COURSE_ACCESS_ERROR) once the course may no
    longer be opened; Limited: DAILY_LIMIT_REACHED where the organization's plan is used up for the day,
    AI_QUOTA_EXCEEDED after ``per_day`` questions within 24 hours, those that failed not counted; Invalid for an empty
    or too long text, NotFound.
    """
    _check(text)
    conversation = lock(session, conversation_id)
    digest = hashlib.sha256(text.encode()).hexdigest()
    earlier = _asked(session, conversation_id, ask_key, digest) or _running(session, conversation_id, digest)
    if earlier is not None:
        return False, queries.asked(session, earlier)
    if conversation["course_id"] is not None and not who.stands(*STUDYING):
        raise Forbidden("COURSE_ACCESS_ERROR")
    _keep_quota(session, who, per_day)
    quotas(session).spend(session, who.tenant, AI_QUESTIONS)
    message = add_message(session, conversation, "user", text, title=conversation["title"] or title_of(text))
    question = Question(
        id=uuid7(),
        tenant_id=conversation["tenant_id"],
        user_id=who.person,
        conversation_id=conversation_id,
        ask_key=ask_key,
        text_digest=digest,
        message_id=message["id"],
        asked_at=moment(session),
    )
    session.add(question)
    flush_unique(
        session,
        on=("uq_ai_questions_running", "uq_ai_questions_tenant_id_conversation_id_ask_key"),
        raises=Retry,
    )
    after_commit(session).bells.add(QUESTIONS)
    told = {"id": question.id, "conversation_id": conversation_id, "state": "waiting", "stream_offset": None}
    return True, views.question_view(told, views.message_view(message))


def stop(session: Session, who: Principal, conversation_id: UUID) -> dict[str, Any] | None:
    """End the answer that runs in a conversation; returns its question, or None where none runs.

    A question that nobody took yet is ``stopped`` at once, and nobody else will tell so; else whoever answers it is
    asked to stop, and tells. Raises NotFound.
    """
    lock(session, conversation_id)
    waits = Question.state == "waiting"
    now = moment(session)
    found = session.execute(
        update(Question)
        .where(Question.conversation_id == conversation_id, Question.user_id == who.person, Question.state.in_(RUNNING))
        .values(
            state=case((waits, "stopped"), else_=Question.state),
            finished_at=case((waits, now), else_=None),
            stop_requested=True,
        )
        .returning(Question.id)
        .execution_options(synchronize_session=False)
    ).scalar_one_or_none()
    if found is None:
        return None
    after_commit(session).bells.add(STOPS)
    return queries.asked(session, found)


def lock(session: Session, conversation_id: UUID) -> dict[str, Any]:
    """The columns of a conversation of the caller's, whose row is held until the commit. Raises NotFound."""
    found = first(session, queries.CONVERSATION.with_for_update(key_share=True), {"id": conversation_id})
    if found is None:
        raise NotFound
    return found


def add_message(
    session: Session, conversation: dict[str, Any], role: str, content: str, title: str | None = None, **values: Any
) -> dict[str, Any]:
    """Add the next message to a locked conversation and count it; returns its columns."""
    now = moment(session)
    number = conversation["message_count"] + 1
    row: dict[str, Any] = {
        "id": uuid7(),
        "tenant_id": conversation["tenant_id"],
        "user_id": conversation["user_id"],
        "conversation_id": conversation["id"],
        "number": number,
        "role": role,
        "content": content,
        "state": "complete",
        "tokens_used": None,
        "response_time_ms": None,
        "created_at": now,
    } | values
    add_row(session, StoredMessage, **row)
    changed = {"message_count": number, "last_activity": now, "updated_at": now}
    session.execute(
        update(Conversation)
        .where(Conversation.id == conversation["id"])
        .values(changed if title is None else changed | {"title": title})
        .execution_options(synchronize_session=False)
    )
    return row


def title_of(text: str) -> str:
    """A title from a question: its first words, in one line, at most ``LONGEST_TITLE`` characters."""
    line = " ".join(text.split())
    if len(line) <= LONGEST_TITLE:
        return line
    cut = line[: LONGEST_TITLE - 1]
    words = cut.rpartition(" ")[0]
    return f"{words if len(words) > LONGEST_TITLE // 2 else cut}…"


def _check(text: str) -> None:
    if not text.strip():
        raise Invalid(errors={"message": [Problem("required_text")]})
    if len(text) > LONGEST_QUESTION:
        raise Invalid(errors={"message": [Problem("too_long", {"max": LONGEST_QUESTION})]})


def _asked(session: Session, conversation_id: UUID, ask_key: str | None, digest: str) -> UUID | None:
    if ask_key is None:
        return None
    found = first(
        session,
        select(Question.id, Question.text_digest).where(
            Question.conversation_id == conversation_id, Question.ask_key == ask_key
        ),
    )
    if found is None:
        return None
    if found["text_digest"] != digest:
        raise Conflict("IDEMPOTENCY_KEY_REUSED")
    question_id: UUID = found["id"]
    return question_id


def _running(session: Session, conversation_id: UUID, digest: str) -> UUID | None:
    found = first(
        session,
        select(Question.id, Question.text_digest).where(
            Question.conversation_id == conversation_id, Question.state.in_(RUNNING)
        ),
    )
    if found is None:
        return None
    if found["text_digest"] != digest:
        raise Conflict("ANSWER_RUNNING")
    question_id: UUID = found["id"]
    return question_id


def _keep_quota(session: Session, who: Principal, per_day: int) -> None:
    """Two conversations of one person may ask at once, so they take turns by a lock of that person's until the
    commit."""
    scalar(session, select(func.pg_advisory_xact_lock(func.hashtextextended(f"ai_questions:{who.person}", 0))))
    now = moment(session)
    oldest = scalar(
        session,
        select(Question.asked_at)
        .where(*queries.counted(who.person, now))
        .order_by(Question.asked_at.desc())
        .offset(per_day - 1)
        .limit(1),
    )
    if oldest is not None:
        raise Limited("AI_QUOTA_EXCEEDED", retry_after_s=max((oldest + _DAY - now).total_seconds(), 1.0), max=per_day)
