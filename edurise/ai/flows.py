"""What clients do with the tutor: a conversation, a question, and, where no socket is open, the wait for its answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import UUID

from edurise.ai import queries, service, telling
from edurise.ai.models import RUNNING
from edurise.ai.permissions import Ai
from edurise.authz import About, Principal
from edurise.errors import Invalid, Problem, Upstream

if TYPE_CHECKING:
    from edurise.container import Container

PATIENCE_S = 12.0
"""How long ``send`` waits for an answer: clients give up after 15 seconds and repeat the request."""
_LOOK_S = 1.0


async def create(c: Container, who: Principal, data: dict[str, Any]) -> dict[str, Any]:
    """Begin a conversation, about ``course`` or else ``context.course_id`` where one is given.

    About a course it belongs to the course's organization. Raises Invalid for a course_id that is no id, and NotFound
    or Forbidden for a course that the caller may not open.
    """
    course_id = _course_of(data)
    about = None if course_id is None else About("course", course_id)
    maker = who if course_id is None else who.needing(Ai.ABOUT_COURSE)
    made: dict[str, Any] = await c.db.run(maker, service.create, data, course_id, about=about)
    return made


async def ask(
    c: Container, who: Principal, conversation_id: UUID, text: str, ask_key: str | None = None
) -> tuple[bool, dict[str, Any]]:
    """``service.ask`` in the conversation's organization."""
    found: tuple[bool, dict[str, Any]] = await c.db.run(
        who.needing(Ai.CONVERSE),
        service.ask,
        conversation_id,
        text,
        ask_key,
        c.settings.ai_questions_per_day,
        about=About("conversation", conversation_id),
    )
    return found


async def stop(c: Container, who: Principal, conversation_id: UUID) -> dict[str, Any] | None:
    """``service.stop`` in the conversation's organization. Nobody answers a question that nobody had taken yet, so its
    end is told here."""
    found: dict[str, Any] | None = await c.db.run(
        who.needing(Ai.CONVERSE), service.stop, conversation_id, about=About("conversation", conversation_id)
    )
    if found is not None and found["state"] == "stopped":
        told = {"question_id": found["id"], "state": "stopped", "message": None, "usage": None}
        await c.streams.append(service.channel_of(conversation_id), "done", told)
    return found


async def send(
    c: Container, who: Principal, conversation_id: UUID, text: str, ask_key: str | None = None
) -> dict[str, Any]:
    """Ask, and answer within ``PATIENCE_S`` seconds with what there is by then; ``metadata.state`` says whether more is
    to come.

    A repeat while the answer runs waits for that answer. Raises Upstream (AI_SERVICE_UNAVAILABLE) where the provider
    gave nothing, beside what ``service.ask`` raises.
    """
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    _, asked = await ask(c, who, conversation_id, text, ask_key)
    found = await _outcome(c, who, asked, deadline)
    if found["state"] == "failed":
        code = found["error_code"] or "AI_SERVICE_UNAVAILABLE"
        raise Upstream(code)
    said = found["text"]
    if found["state"] in RUNNING:
        stream = found["stream"]
        position = (stream["offset"], stream["epoch"]) if stream else None
        said = max(said, await telling.delivered(c.streams, conversation_id, found["id"], position), key=len)
    answer = found["message"] or {}
    about = About("conversation", conversation_id)
    reader = who.needing(Ai.CONVERSE)
    return {
        "success": True,
        "ai_response": said,
        "metadata": {
            "conversation_id": conversation_id,
            "question_id": found["id"],
            "user_message_id": found["asked"]["id"],
            "ai_message_id": answer.get("id"),
            "state": found["state"],
            "tokens_used": answer.get("tokens_used"),
            "response_time_ms": answer.get("response_time_ms"),
            "remaining_quota": await c.db.run(reader, queries.remaining, c.settings.ai_questions_per_day, about=about),
        },
    }


async def _outcome(c: Container, who: Principal, asked: dict[str, Any], deadline: float) -> dict[str, Any]:
    """What became of a question, at the deadline at the latest."""
    loop = asyncio.get_running_loop()
    channel = service.channel_of(asked["conversation_id"])
    about = About("conversation", asked["conversation_id"])
    reader = who.needing(Ai.CONVERSE)
    running = asked["state"] in RUNNING
    while True:
        left = deadline - loop.time()
        if running and left > 0:
            await c.answers.wait(channel, asked["id"], min(_LOOK_S, left))
        found: dict[str, Any] = await c.db.run(reader, queries.question, asked["id"], about=about)
        running = found["state"] in RUNNING
        if not running or loop.time() >= deadline:
            return found


def _course_of(data: dict[str, Any]) -> UUID | None:
    named: UUID | None = data.get("course")
    if named is not None:
        return named
    given = data.get("context", {}).get("course_id")
    if given is None or given == "":
        return None
    try:
        return UUID(given)
    except (ValueError, AttributeError, TypeError):
        raise Invalid(errors={"context.course_id": [Problem("not_a_uuid")]}) from None
