"""``/ws/ai/{conversation}/``: a conversation with the tutor, whose answers arrive token by token.

The socket only relays: the question is a row, a worker answers it into the conversation's channel, and whoever comes
back with the position of the last token goes on after it, on whichever process.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from edurise.ai import flows, queries, service
from edurise.ai.permissions import Ai
from edurise.authz import About
from edurise.channels import Replay
from edurise.errors import Invalid, NotFound, Problem
from handlers.guards import permit
from handlers.ws.base import LONGEST_REF, Frame, Job, uuid_or_none
from handlers.ws.hub import subscribed_frame
from handlers.ws.renewing import RenewingSocket, epoch_of, offset_of
from schemas.ai import SendMessageIn
from schemas.base import load, made

if TYPE_CHECKING:
    from edurise.container import Container


@permit(Ai.CONVERSE)
class TutorSocket(RenewingSocket):
    """``ask``, ``stop`` and ``resume``; follows the rules of ``/ws/session/``. Nobody but its owner opens it."""

    conversation_id: UUID

    @property
    def all(self) -> Container:
        """The whole container, which flows take."""
        return cast("Container", self.c)

    async def opened(self) -> None:
        """Position first, then what is being answered, then the tokens that follow.

        Without a position (``?offset=&epoch=``) the socket begins before the first token of the answer that runs, or
        where the channel stands.
        """
        found = uuid_or_none(self.path_kwargs["id"])
        if found is None:
            raise NotFound
        self.conversation_id = found
        await self._follow(*self.position(), self._greet)

    def job_of(self, frame: Frame) -> Job | None:
        """``ask``, ``stop``, ``resume`` and ``renew``."""
        found = {"ask": self._ask, "stop": self._stop, "resume": self._resume}.get(frame["type"])
        return partial(found, frame) if found is not None else super().job_of(frame)

    async def _ask(self, frame: Frame) -> None:
        data = load(made(SendMessageIn), {"message": frame.get("message")})
        key = _key(frame)
        is_new, asked = await flows.ask(self.all, self.who, self.conversation_id, data["message"], key)
        self.send("asked", {"id": frame.get("id"), "question": asked, "is_new": is_new})

    async def _stop(self, _frame: Frame) -> None:
        stopped = await flows.stop(self.all, self.who, self.conversation_id)
        if stopped is None:
            raise NotFound("ANSWER_NOT_RUNNING")
        self.send("stopping", {"question": stopped})

    async def _resume(self, frame: Frame) -> None:
        offset = offset_of(frame)
        if offset is None:
            raise Invalid("FRAME_INVALID", errors={"offset": [Problem("required")]})
        await self._follow(offset, epoch_of(frame), self._say_where)

    async def _follow(self, after: int | None, epoch: UUID | None, greet: Any) -> None:
        """Follow the channel from a position. Every call asks anew whether the caller may."""
        peer = self.peer
        if peer is None:
            return
        channel = service.channel_of(self.conversation_id)
        running: dict[str, Any] | None = None

        async def read() -> Replay:
            nonlocal running
            found = await self.c.streams.read(channel, after, epoch)
            about = About("conversation", self.conversation_id)
            running = await self.c.db.run(self.who, queries.running, self.conversation_id, about=about)
            if after is not None:
                return found
            begun = running is not None and running["epoch"] is not None
            start = (running["offset"], running["epoch"]) if running and begun else (found.head, found.epoch)
            return await self.c.streams.read(channel, *start)

        await self.hub.join(peer, channel, read, lambda found: greet(found, running))

    def _greet(self, found: Replay, running: dict[str, Any] | None) -> None:
        told = {"user_id": self.who.user_id, "conversation_id": self.conversation_id, "running": running}
        self.send("connection_established", told)
        self._say_where(found, running)

    def _say_where(self, found: Replay, _running: dict[str, Any] | None) -> None:
        if self.peer is not None:
            self.peer.wire.send(subscribed_frame(service.channel_of(self.conversation_id), found, self.hub.now()))


def _key(frame: Frame) -> str | None:
    """The client's own id of a question: a number or a short text, by which a repeated ``ask`` finds the first."""
    found = frame.get("id")
    if found is None:
        return None
    if not (type(found) is int or (isinstance(found, str) and 0 < len(found) <= LONGEST_REF and "\x00" not in found)):
        raise Invalid("FRAME_INVALID", errors={"id": [Problem("bad_format")]})
    return str(found)


routes = [("/ws/ai/{id:text}/", TutorSocket)]
