"""Sockets that end with their token unless they are handed a newer one, and the positions that their frames name."""

from __future__ import annotations

from functools import partial
from uuid import UUID

from edurise.errors import Invalid, Problem, Unauthenticated
from handlers.ws.base import Frame, Job, SocketHandler, uuid_or_none
from handlers.ws.peer import SESSION


class RenewingSocket(SocketHandler):
    """A socket of our own clients. ``renew`` hands in a newer token; when the last has expired the socket ends."""

    manner = SESSION

    def job_of(self, frame: Frame) -> Job | None:
        """``renew``; subclasses fall back on this."""
        return partial(self._renew, frame) if frame["type"] == "renew" else None

    async def _renew(self, frame: Frame) -> None:
        """Take a newer token of the same session."""
        token = frame.get("token")
        claims = self.c.tokens.verify(token if isinstance(token, str) else "")
        if self.peer is None or (claims.user_id, claims.session_id) != (self.who.user_id, self.who.session_id):
            raise Unauthenticated("TOKEN_INVALID")
        self.peer.expires_at = claims.expires_at
        self.send("renewed", {"expires_at": claims.expires_at})


def offset_of(frame: Frame) -> int | None:
    """The offset that a frame names, None for none. Raises Invalid."""
    offset = frame.get("offset")
    if offset is not None and (type(offset) is not int or not 0 <= offset < 2**63):
        raise Invalid("FRAME_INVALID", errors={"offset": [Problem("not_an_integer")]})
    return offset


def epoch_of(frame: Frame) -> UUID | None:
    """The epoch that a frame names, None for none. Raises Invalid."""
    epoch = frame.get("epoch")
    found = uuid_or_none(epoch)
    if found is None and epoch is not None:
        raise Invalid("FRAME_INVALID", errors={"epoch": [Problem("not_a_uuid")]})
    return found
