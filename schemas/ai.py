"""Bodies, queries and answers of conversations with the tutor."""

from __future__ import annotations

from edurise.ai.queries import ORDER
from edurise.ai.service import LONGEST_QUESTION
from schemas.base import (
    Bool,
    Choice,
    Id,
    Ignored,
    Instant,
    Int,
    JsonObject,
    Nested,
    Ordering,
    OutSchema,
    PageQuery,
    StrictSchema,
    Text,
)

TYPES = ["tutor", "general", "course_help"]
LONGEST_ANSWER = 200_000
STATES = ["waiting", "claimed", "streaming", "done", "stopped", "interrupted"]


class ConversationQuery(PageQuery):
    """The list of one's own conversations."""

    ordering = Ordering(list(ORDER.columns))


class ConversationIn(StrictSchema):
    """A new conversation. It is about ``course``, else about ``context.course_id``; the rest of ``context`` is kept
    and not read."""

    title = Text(max=200)
    conversation_type = Choice(TYPES)
    context = JsonObject()
    course = Id(allow_none=True)


class ConversationOut(OutSchema):
    """The contract's AIConversation. ``title`` is empty until the first question, unless it was given."""

    id = Id()
    title = Text(max=200)
    conversation_type = Choice(TYPES)
    context = JsonObject()
    course = Id(allow_none=True)
    is_active = Bool()
    last_activity = Instant()
    message_count = Int()
    created_at = Instant()
    updated_at = Instant()


class MessageOut(OutSchema):
    """The contract's AIMessage. The content is text, not HTML. What was not measured is null."""

    id = Id()
    role = Choice(["user", "assistant", "system"])
    content = Text(max=LONGEST_ANSWER, lines=True, strip=False)
    state = Choice(["complete", "interrupted", "stopped"], description="Whether an answer came to its end.")
    tokens_used = Int(allow_none=True)
    response_time_ms = Int(allow_none=True)
    created_at = Instant()


class SendMessageIn(StrictSchema):
    """A question. What it is about is the conversation's course, whatever the page at hand."""

    message = Text(min=1, max=LONGEST_QUESTION, lines=True, required=True)
    context = Ignored()


class SentMetadataOut(OutSchema):
    """Where the answer stands. ``ai_message_id`` is null while it runs, and where nothing was said."""

    conversation_id = Id()
    question_id = Id()
    user_message_id = Id()
    ai_message_id = Id(allow_none=True)
    state = Choice(STATES, description="waiting, claimed, streaming: more is to come.")
    tokens_used = Int(allow_none=True)
    response_time_ms = Int(allow_none=True)
    remaining_quota = Int(description="Questions left within 24 hours.")


class SentMessageOut(OutSchema):
    """The answer, or what there was of it after 12 seconds."""

    success = Bool()
    ai_response = Text(max=LONGEST_ANSWER, lines=True, strip=False)
    metadata = Nested(SentMetadataOut)
