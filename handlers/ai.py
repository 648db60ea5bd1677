"""Conversations with the tutor, for clients without a socket."""

from __future__ import annotations

from uuid import UUID

from edurise.ai import flows, queries
from edurise.ai.permissions import Ai
from edurise.authz import About
from handlers.base import RestHandler
from handlers.guards import describe, permit
from schemas.ai import (
    ConversationIn,
    ConversationOut,
    ConversationQuery,
    MessageOut,
    SendMessageIn,
    SentMessageOut,
)


class ConversationsHandler(RestHandler):
    """One's own conversations."""

    @permit(Ai.MINE)
    @describe(
        summary="One's own conversations, newest activity first: a page with ?page=, else a bare array",
        tags=["ai"],
        query=ConversationQuery,
        out=ConversationOut,
        shape="listed",
    )
    async def get(self) -> None:
        query = self.query(ConversationQuery)
        window = self.window(query)
        self.reply_listed(await self.hop(queries.conversations, window), window, as_page=query["page"] is not None)

    @permit(Ai.MINE)
    @describe(
        summary="Begin a conversation, about a course or about none",
        tags=["ai"],
        body=ConversationIn,
        out=ConversationOut,
        status=201,
    )
    async def post(self) -> None:
        self.reply(201, await flows.create(self.c, self.who, self.body(ConversationIn)))


class ConversationHandler(RestHandler):
    """One conversation."""

    @permit(Ai.CONVERSE)
    @describe(summary="A conversation, without its messages", tags=["ai"], out=ConversationOut)
    async def get(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.reply(200, await self.hop(queries.conversation, id, about=About("conversation", id)))


class MessagesHandler(RestHandler):
    """What was said in a conversation."""

    @permit(Ai.CONVERSE)
    @describe(summary="The messages of a conversation, oldest first", tags=["ai"], out=MessageOut, shape="array")
    async def get(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.reply(200, await self.hop(queries.messages, id, about=About("conversation", id)))


class SendMessageHandler(RestHandler):
    """A question and the wait for its answer."""

    @permit(Ai.CONVERSE)
    @describe(
        summary="Ask, and get the answer, or what there is of it after 12 seconds",
        tags=["ai"],
        body=SendMessageIn,
        out=SentMessageOut,
        idempotent=True,
        errors=[
            "AI_QUOTA_EXCEEDED",
            "DAILY_LIMIT_REACHED",
            "AI_SERVICE_UNAVAILABLE",
            "ANSWER_RUNNING",
            "COURSE_ACCESS_ERROR",
            "IDEMPOTENCY_KEY_REUSED",
        ],
    )
    async def post(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        data, key = self.body(SendMessageIn), self.idempotency_key()
        self.reply(200, await flows.send(self.c, self.who, id, data["message"], key))


routes = [
    ("/api/v1/ai-conversations/", ConversationsHandler),
    ("/api/v1/ai-conversations/{id:uuid}/", ConversationHandler),
    ("/api/v1/ai-conversations/{id:uuid}/messages/", MessagesHandler),
    ("/api/v1/ai-conversations/{id:uuid}/send_message/", SendMessageHandler),
]
aliases: list[tuple[str, str, str]] = []
