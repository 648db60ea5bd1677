"""The contract's shapes of conversations and messages, and what a question tells its asker, from plain rows."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

MICROS = Decimal(1_000_000)


def conversation_view(row: dict[str, Any]) -> dict[str, Any]:
    """The contract's AIConversation, without its messages."""
    return {
        "id": row["id"],
        "title": row["title"],
        "conversation_type": row["conversation_type"],
        "context": row["context"],
        "course": row["course_id"],
        "is_active": row["is_active"],
        "last_activity": row["last_activity"],
        "message_count": row["message_count"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }


def message_view(row: dict[str, Any]) -> dict[str, Any]:
    """The contract's AIMessage; ``state`` says whether an answer came to its end. What was not measured is None."""
    return {
        "id": row["id"],
        "role": row["role"],
        "content": row["content"],
        "state": row["state"],
        "tokens_used": row["tokens_used"],
        "response_time_ms": row["response_time_ms"],
        "created_at": row["created_at"],
    }


def question_view(row: dict[str, Any], message: dict[str, Any]) -> dict[str, Any]:
    """What the asker is told: where the question stands, and from where its answer can be followed."""
    return {
        "id": row["id"],
        "conversation_id": row["conversation_id"],
        "state": row["state"],
        "message": message,
        "stream": stream_view(row),
    }


def stream_view(row: dict[str, Any]) -> dict[str, Any] | None:
    """The position before the first part of an answer, or None as long as there is none."""
    if row["stream_offset"] is None:
        return None
    return {"offset": row["stream_offset"], "epoch": row["stream_epoch"]}


def usage_view(row: dict[str, Any]) -> dict[str, Any]:
    """Tokens as the provider counted them, and the cost in US dollars; None for what is not known."""
    micros = row["cost_micros"]
    return {
        "prompt_tokens": row["prompt_tokens"],
        "completion_tokens": row["completion_tokens"],
        "cost_usd": None if micros is None else float(micros / MICROS),
    }
