"""``/ws/live-class/{id}/`` and ``/ws/live-class/{id}/instructor/``: the contract's doors to a live class.

Both follow the class's channel; the instructor's follows the desk's too, which holds what is for staff only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast
from uuid import UUID

from edurise import channels
from edurise.authz import About
from edurise.channels import Replay
from edurise.errors import Conflict, Invalid, NotFound
from edurise.live import queries, service
from edurise.live.permissions import Live
from handlers.guards import permit
from handlers.ws.base import Frame, Job, SocketHandler, uuid_or_none
from handlers.ws.peer import DOOR
from handlers.ws.register import Register
from handlers.ws.session import CHANNEL_KINDS, ChannelKind
from schemas.base import StrictSchema, load, made
from schemas.live_frames import AnnouncementFrame, MarkFrame, QuestionFrame

LEEWAY_S = 24 * 3600

CHANNEL_KINDS["class"] = ChannelKind(Live.ATTEND, lambda _, subject: About("live_class", subject))
CHANNEL_KINDS["desk"] = ChannelKind(Live.TEACH, lambda _, subject: About("live_class", subject))

Work = Callable[[Frame], Awaitable[None]]


class ClassDoor(SocketHandler):
    """What both doors have: the class of their path, and how they end."""

    manner = DOOR
    leeway_s = LEEWAY_S

    @property
    def class_id(self) -> UUID:
        """The class. Not kept: a socket that only listens should cost little. Raises NotFound for what is no id."""
        found = uuid_or_none(self.path_kwargs["id"])
        if found is None:
            raise NotFound
        return found

    def job_of(self, frame: Frame) -> Job | None:
        """The work that this door does for a type of frame."""
        work = self.works.get(frame["type"])
        return partial(work, frame) if work is not None else None

    @property
    def works(self) -> dict[str, Work]:
        """What is done for each type of frame."""
        raise NotImplementedError

    async def _hop(self, fn: Callable[..., Any], *args: object) -> Any:
        return await self.c.db.run(self.who, fn, *args, about=About("live_class", self.class_id))


@permit(Live.ATTEND)
class LiveClassDoor(ClassDoor):
    """A learner's socket. It attends from ``join_class`` on, until it closes or ``leave_class``."""

    async def opened(self) -> None:
        """Position first, then the class as it stands there, then what follows.

        A client whose connection was lost does not join again by itself, so its interval goes on here.
        """
        peer, class_id = self.peer, self.class_id
        if peer is None:
            return
        channel, position = service.class_channel(class_id), self.position()
        stands: dict[str, Any] = {}

        async def read() -> Replay:
            nonlocal stands
            found: Replay
            found, stands = await self._hop(queries.entrance, class_id, *position)
            return found

        def greet(found: Replay) -> None:
            told = {"message": "connected", "user_id": self.who.user_id, "recovered": found.recovered, **stands}
            self.send("connection_established", told, channel=channel, offset=found.start, epoch=found.epoch)

        await self.hub.join(peer, channel, read, greet)
        if stands["attendance"] is not None and not peer.closed:
            await self._attend(service.resume)

    @property
    def works(self) -> dict[str, Work]:
        return {"join_class": self._join, "leave_class": self._leave, "ask_question": self._ask}

    @property
    def register(self) -> Register:
        """Who sits in which class at this process."""
        return cast("Register", self.settings["register"])

    def on_close(self) -> None:
        super().on_close()
        if self.peer is not None:
            self.register.end(self.peer)

    async def _join(self, _frame: Frame) -> None:
        await self._attend(service.join)

    async def _attend(self, command: Callable[..., Any]) -> None:
        if self.peer is None:
            return
        joined = await self.register.enter(self.peer, partial(self._hop, command, self.class_id))
        if joined is not None:
            self.send("attendance_update", {"attendance": joined.attendance})

    async def _leave(self, _frame: Frame) -> None:
        seat = self.register.connection_of(self.peer) if self.peer is not None else None
        row = await self._hop(service.leave, self.class_id, seat) if seat is not None else None
        if self.peer is None or row is None:
            raise Conflict("CLASS_NOT_JOINED")
        self.register.leave(self.peer)
        self.send("attendance_update", {"attendance": row})

    async def _ask(self, frame: Frame) -> None:
        asked = _data(frame, QuestionFrame)
        await self._hop(service.ask_question, self.class_id, asked["question"])
        self.send("question_received", asked)


@permit(Live.TEACH)
class InstructorDoor(ClassDoor):
    """The desk of who teaches the class: everybody's attendance, and the commands of the class."""

    async def opened(self) -> None:
        """Both positions first, then the dashboard, which is that of the desk's head, then what follows.

        ``?offset=&epoch=`` is a position in the class's channel, ``?desk_offset=&desk_epoch=`` one in the desk's.
        """
        peer, class_id = self.peer, self.class_id
        if peer is None:
            return
        room, desk = service.class_channel(class_id), service.desk_channel(class_id)
        at_desk: list[Replay] = []
        dashboard: dict[str, Any] = {}

        async def read_room() -> Replay:
            nonlocal dashboard
            found: Replay
            inner = (channels.opening, room, *self.position(), queries.dashboard, class_id)
            stands, (found, dashboard) = await self._hop(channels.opening, desk, *self.position("desk_"), *inner)
            at_desk.append(stands)
            return found

        def greet(found: Replay) -> None:
            told = {"message": "connected", "user_id": self.who.user_id, "recovered": found.recovered}
            self.send("connection_established", told, channel=room, offset=found.start, epoch=found.epoch)
            stands = at_desk[-1]
            whole = {"dashboard": dashboard, "recovered": stands.recovered}
            self.send("dashboard_update", whole, channel=desk, offset=stands.start, epoch=stands.epoch)

        async def read_desk() -> Replay:
            if at_desk:  # asked again, for the desk's first event or a new numbering came in between
                again: Replay = await self._hop(channels.read, desk, at_desk[-1].start, at_desk[-1].epoch)
                return again
            await self.hub.join(peer, room, read_room, greet)
            return at_desk[-1]

        await self.hub.join(peer, desk, read_desk, lambda _: None)

    @property
    def works(self) -> dict[str, Work]:
        return {
            "start_class": partial(self._command, service.start),
            "end_class": partial(self._command, service.end),
            "send_announcement": self._announce,
            "update_attendance": self._mark,
        }

    async def _command(self, command: Callable[..., Any], _frame: Frame) -> None:
        self.send("live_class", {"class": await self._hop(command, self.class_id)})

    async def _announce(self, frame: Frame) -> None:
        said = _data(frame, AnnouncementFrame)
        await self._hop(service.announce, self.class_id, said["message"])

    async def _mark(self, frame: Frame) -> None:
        marked = _data(frame, MarkFrame)
        await self._hop(service.mark, self.class_id, marked["student_id"], marked["status"])


def _data(frame: Frame, schema: type[StrictSchema]) -> dict[str, Any]:
    """The frame's ``data``. Raises Invalid (FRAME_INVALID)."""
    try:
        return load(made(schema), frame.get("data"))
    except Invalid as wrong:
        raise Invalid("FRAME_INVALID", errors=wrong.errors) from None


routes = [
    ("/ws/live-class/{id:text}/", LiveClassDoor),
    ("/ws/live-class/{id:text}/instructor/", InstructorDoor),
]
