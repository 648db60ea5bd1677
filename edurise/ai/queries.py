"""Reads of one's own conversations. Row-level security shows nobody another person's."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, func, select
from sqlalchemy.orm import Session

from edurise.ai import views
from edurise.ai.models import RUNNING, Conversation, Question, StoredMessage
from edurise.authz import Principal
from edurise.db import first, moment, rows, scalar
from edurise.errors import NotFound
from edurise.paging import EVERYTHING, Found, Listing, Orderings, Window

_CONVERSATION = (
    Conversation.id,
    Conversation.tenant_id,
    Conversation.user_id,
    Conversation.title,
    Conversation.conversation_type,
    Conversation.context,
    Conversation.course_id,
    Conversation.is_active,
    Conversation.last_activity,
    Conversation.message_count,
    Conversation.created_at,
    Conversation.updated_at,
)
CONVERSATION = select(*_CONVERSATION).where(Conversation.id == bindparam("id"))
ORDER = Orderings("-last_activity", Conversation.id, {"last_activity": Conversation.last_activity})
_LISTING = Listing(select(*_CONVERSATION).where(Conversation.user_id == bindparam("person")), ORDER, {})
MESSAGE = (
    StoredMessage.id,
    StoredMessage.role,
    StoredMessage.content,
    StoredMessage.state,
    StoredMessage.tokens_used,
    StoredMessage.response_time_ms,
    StoredMessage.created_at,
)
_NEWEST = (
    select(*MESSAGE)
    .where(
        StoredMessage.tenant_id == bindparam("tenant"),
        StoredMessage.conversation_id == bindparam("conversation"),
    )
    .order_by(StoredMessage.number.desc())
    .limit(bindparam("limit"))
)
_QUESTION = (
    Question.id,
    Question.conversation_id,
    Question.state,
    Question.stream_offset,
    Question.stream_epoch,
)


def conversations(session: Session, who: Principal, window: Window) -> Found:
    """The caller's conversations over all organizations, newest activity first; two statements."""
    found = _LISTING.page(session, {"person": who.person}, window)
    return Found(found.count, [views.conversation_view(row) for row in found.rows])


def conversation(session: Session, who: Principal, conversation_id: UUID) -> dict[str, Any]:
    """One of the caller's conversations. Raises NotFound."""
    found = first(session, CONVERSATION, {"id": conversation_id})
    if found is None or found["user_id"] != who.person:
        raise NotFound
    return views.conversation_view(found)


def messages(session: Session, who: Principal, conversation_id: UUID) -> list[dict[str, Any]]:
    """The newest 10,000 messages of one of the caller's conversations, oldest first. Raises NotFound."""
    conversation(session, who, conversation_id)
    values = {"tenant": who.tenant, "conversation": conversation_id, "limit": EVERYTHING}
    return [views.message_view(row) for row in reversed(rows(session, _NEWEST, values))]


def newest(session: Session, tenant_id: UUID, conversation_id: UUID, limit: int) -> list[dict[str, Any]]:
    """The columns of the newest messages of a conversation, newest first."""
    return rows(session, _NEWEST, {"tenant": tenant_id, "conversation": conversation_id, "limit": limit})


def asked(session: Session, question_id: UUID) -> dict[str, Any]:
    """What the asker of a question is told (``views.question_view``). Raises NotFound."""
    found = first(
        session,
        select(*_QUESTION, Question.message_id).where(Question.id == question_id),
    )
    if found is None:
        raise NotFound
    message = first(session, select(*MESSAGE).where(StoredMessage.id == found["message_id"]))
    if message is None:
        raise NotFound
    return views.question_view(found, views.message_view(message))


def question(session: Session, who: Principal, question_id: UUID) -> dict[str, Any] | None:
    """A question of the caller's and what became of it, or None.

    ``{id, conversation_id, state, stream, text, asked, message, error_code, usage}``: ``asked`` and ``message`` are the
    question and its answer as messages, the latter None as long as there is none; ``text`` is the answer, while it
    runs what was last stored of it.
    """
    found = first(
        session,
        select(
            *_QUESTION,
            Question.message_id,
            Question.answer_id,
            Question.partial,
            Question.error_code,
            Question.prompt_tokens,
            Question.completion_tokens,
            Question.cost_micros,
        ).where(Question.id == question_id, Question.user_id == who.person),
    )
    if found is None:
        return None
    both = rows(session, select(*MESSAGE).where(StoredMessage.id.in_([found["message_id"], found["answer_id"]])))
    views_by_id = {row["id"]: views.message_view(row) for row in both}
    answer = views_by_id.get(found["answer_id"])
    return {
        "id": found["id"],
        "conversation_id": found["conversation_id"],
        "state": found["state"],
        "stream": views.stream_view(found),
        "text": answer["content"] if answer else found["partial"],
        "asked": views_by_id[found["message_id"]],
        "message": answer,
        "error_code": found["error_code"],
        "usage": views.usage_view(found),
    }


def running(session: Session, who: Principal, conversation_id: UUID) -> dict[str, Any] | None:
    """The question that is being answered in a conversation, or None.

    ``{question_id, state, offset, epoch}``: the position before the answer's first part, None as long as there is none.
    """
    return first(
        session,
        select(
            Question.id.label("question_id"),
            Question.state,
            Question.stream_offset.label("offset"),
            Question.stream_epoch.label("epoch"),
        ).where(
            Question.conversation_id == conversation_id, Question.user_id == who.person, Question.state.in_(RUNNING)
        ),
    )


def remaining(session: Session, who: Principal, per_day: int) -> int:
    """How many of ``per_day`` questions within 24 hours the caller has left."""
    used = scalar(session, select(func.count()).where(*counted(who.person, moment(session)))) or 0
    return max(per_day - used, 0)


def counted(person_id: UUID, now: datetime) -> tuple[ColumnElement[bool], ...]:
    """Which questions count against a day's quota: those of the last 24 hours that were not refused by the provider."""
    return (
        Question.user_id == person_id,
        Question.asked_at > now - timedelta(hours=24),
        Question.state != "failed",
    )
