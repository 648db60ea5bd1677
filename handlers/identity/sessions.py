"""A person's log-in sessions."""

from __future__ import annotations

from uuid import UUID

from edurise.identity.flows import devices
from edurise.identity.permissions import Identity
from handlers.base import RestHandler
from handlers.guards import describe, permit
from schemas.base import EmptyIn
from schemas.sessions import EndedOut, SessionOut, SessionsEndIn

TAGS = ["sessions"]


class SessionsHandler(RestHandler):
    """Where one is logged in."""

    @permit(Identity.SESSIONS)
    @describe(
        summary="One's own live sessions, the last used first; a session counts as used when its token is refreshed",
        tags=TAGS,
        out=SessionOut,
        shape="array",
        errors=["SESSION_CONFINED"],
    )
    async def get(self) -> None:
        self.reply(200, await devices.listing(self.c, self.who))


class SessionHandler(RestHandler):
    """One session."""

    @permit(Identity.SESSIONS)
    @describe(summary="End one of one's own sessions", tags=TAGS, shape="none", errors=["SESSION_CONFINED"])
    async def delete(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        await devices.end(self.c, self.who, id)
        self.reply(200)


class SessionsEndHandler(RestHandler):
    """All sessions at once."""

    @permit(Identity.SESSIONS)
    @describe(
        summary="End one's own sessions, all but this one unless told otherwise",
        tags=TAGS,
        body=SessionsEndIn,
        out=EndedOut,
        errors=["SESSION_CONFINED"],
    )
    async def post(self) -> None:
        keep = self.body(SessionsEndIn)["keep_current"]
        self.reply(200, await devices.end_all(self.c, self.who, keep_current=keep))


class LogoutEverywhereHandler(RestHandler):
    """Log-out on every device."""

    lenient = True

    @permit(Identity.SESSIONS)
    @describe(
        summary="Log out on every device",
        tags=["auth"],
        body=EmptyIn,
        out=EndedOut,
        errors=["SESSION_CONFINED"],
    )
    async def post(self) -> None:
        self.body(EmptyIn)
        self.reply(200, await devices.end_all(self.c, self.who, keep_current=False))


_ROOT = "/api/v1/accounts/sessions"
routes = [
    (f"{_ROOT}/", SessionsHandler),
    (f"{_ROOT}/{{id:uuid}}/", SessionHandler),
    (f"{_ROOT}/end/", SessionsEndHandler),
    ("/api/v1/accounts/auth/logout/all/", LogoutEverywhereHandler),
]
aliases: list[tuple[str, str, str]] = []
