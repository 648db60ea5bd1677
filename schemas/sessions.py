"""A person's log-in sessions."""

from __future__ import annotations

from schemas.base import Bool, Choice, Id, Instant, Int, OutSchema, StrictSchema, Text


class SessionOut(OutSchema):
    """One session. ``device`` is what the browser says of itself, empty where that says nothing."""

    id = Id()
    device = Text(max=400)
    user_agent = Text(max=300)
    ip_address = Text(max=64)
    method = Choice(["password", "google", "oidc", "invitation"])
    organization_name = Text()
    created_at = Instant()
    last_used_at = Instant()
    expires_at = Instant()
    is_current = Bool()


class SessionsEndIn(StrictSchema):
    """Whether the session that asks goes on."""

    keep_current = Bool(load_default=True)


class EndedOut(OutSchema):
    """How many sessions ended."""

    ended = Int()
