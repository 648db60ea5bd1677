"""Conversations with the tutor, their messages, and questions, each of which is also the claim of who answers it."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from edurise.db import Base, PersonScoped

RUNNING = ("waiting", "claimed", "streaming")
"""States of a question whose answer has not ended. A conversation has at most one such question."""


class Conversation(PersonScoped, Base):
    """One person's talk with the tutor, about one course or about none."""

    __tablename__ = "ai_conversations"
    __table_args__ = (
        CheckConstraint("conversation_type IN ('tutor', 'general', 'course_help')", name="conversation_type"),
        UniqueConstraint("tenant_id", "id"),
        ForeignKeyConstraint(
            ["tenant_id", "course_id"], ["courses.tenant_id", "courses.id"], ondelete="SET NULL (course_id)"
        ),
        Index(None, "tenant_id", "course_id"),
        Index(None, "user_id", "last_activity", "id"),
    )

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"))
    title: Mapped[str] = mapped_column(default="")
    conversation_type: Mapped[str] = mapped_column(default="tutor")
    context: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)
    course_id: Mapped[UUID | None]
    is_active: Mapped[bool] = mapped_column(default=True)
    last_activity: Mapped[datetime]
    message_count: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class StoredMessage(PersonScoped, Base):
    """One message of a conversation; ``number`` counts from 1. ``state`` says whether an answer came to its end."""

    __tablename__ = "ai_messages"
    __table_args__ = (
        CheckConstraint("role IN ('user', 'assistant', 'system')", name="role"),
        CheckConstraint("state IN ('complete', 'interrupted', 'stopped')", name="state"),
        UniqueConstraint("tenant_id", "id"),
        UniqueConstraint("tenant_id", "conversation_id", "number"),
        ForeignKeyConstraint(
            ["tenant_id", "conversation_id"], ["ai_conversations.tenant_id", "ai_conversations.id"], ondelete="CASCADE"
        ),
        Index(None, "user_id"),
    )

    user_id: Mapped[UUID] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"))
    conversation_id: Mapped[UUID]
    number: Mapped[int]
    role: Mapped[str]
    content: Mapped[str]
    state: Mapped[str] = mapped_column(default="complete")
    tokens_used: Mapped[int | None]
    response_time_ms: Mapped[int | None]
    created_at: Mapped[datetime]


class Question(PersonScoped, Base):
    """A question and the claim on answering it.

    ``holder`` names the process that answers; ``stream_offset`` and ``stream_epoch`` are the position in the
    conversation's channel before the first part of the answer. ``cost_micros`` counts millionths of a US dollar.
    """

    __tablename__ = "ai_questions"
    __table_args__ = (
        CheckConstraint(
            "state IN ('waiting', 'claimed', 'streaming', 'done', 'stopped', 'interrupted', 'failed')", name="state"
        ),
        UniqueConstraint("tenant_id", "id"),
        UniqueConstraint("tenant_id", "conversation_id", "ask_key"),
        ForeignKeyConstraint(
            ["tenant_id", "conversation_id"], ["ai_conversations.tenant_id", "ai_conversations.id"], ondelete="CASCADE"
        ),
        ForeignKeyConstraint(
            ["tenant_id", "message_id"], ["ai_messages.tenant_id", "ai_messages.id"], ondelete="CASCADE"
        ),
        ForeignKeyConstraint(
            ["tenant_id", "answer_id"], ["ai_messages.tenant_id", "ai_messages.id"], ondelete="SET NULL (answer_id)"
        ),
        Index(
            "uq_ai_questions_running",
            "tenant_id",
            "conversation_id",
            unique=True,
            postgresql_where=text("state IN ('waiting', 'claimed', 'streaming')"),
        ),
        Index("ix_ai_questions_waiting", "asked_at", "id", postgresql_where=text("state = 'waiting'")),
        Index("ix_ai_questions_beat_at", "beat_at", postgresql_where=text("state IN ('claimed', 'streaming')")),
        Index(None, "tenant_id", "message_id"),
        Index(None, "tenant_id", "answer_id"),
        Index(None, "user_id", "asked_at"),
    )

    user_id: Mapped[UUID] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"))
    conversation_id: Mapped[UUID]
    ask_key: Mapped[str | None]
    text_digest: Mapped[str]
    message_id: Mapped[UUID]
    answer_id: Mapped[UUID | None]
    state: Mapped[str] = mapped_column(default="waiting")
    holder: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(default=0)
    beat_at: Mapped[datetime | None]
    stop_requested: Mapped[bool] = mapped_column(default=False)
    partial: Mapped[str] = mapped_column(default="")
    stream_offset: Mapped[int | None] = mapped_column(BigInteger)
    stream_epoch: Mapped[UUID | None]
    model: Mapped[str | None]
    provider: Mapped[str | None]
    prompt_tokens: Mapped[int | None]
    completion_tokens: Mapped[int | None]
    cost_micros: Mapped[int | None] = mapped_column(BigInteger)
    error_code: Mapped[str | None]
    asked_at: Mapped[datetime]
    first_token_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
