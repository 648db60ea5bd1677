"""``/ws/session/``: one socket of ours for every channel that a person may follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from edurise import channels
from edurise.authz import ANY_PERSON, About, Permission, Principal
from edurise.channels import Replay
from edurise.errors import Invalid, Limited, NotFound, Problem
from edurise.identity import liveness
from handlers.guards import permit
from handlers.ws.base import Frame, Job, uuid_or_none
from handlers.ws.hub import subscribed_frame
from handlers.ws.renewing import RenewingSocket, epoch_of, offset_of

FOLLOWED = 100
"""Channels that one socket may follow."""


@dataclass(frozen=True)
class ChannelKind:
    """Who may follow the channels ``kind:id``.

    ``about`` names the row that ``id`` stands for, so that the hop enters its organization, or None where the caller's
    own standing is enough; it raises NotFound for a channel that the caller may not know of. ``needs`` is checked then.
    """

    needs: Permission
    about: Callable[[Principal, UUID], About | None]


CHANNEL_KINDS: dict[str, ChannelKind] = {}
"""Every kind of durable channel, by the word before the colon. A capability adds its own where its socket is made."""


@permit(ANY_PERSON)
class SessionSocket(RenewingSocket):
    """Subscriptions by name. A newer token is handed in by a frame; when the last has expired the socket ends."""

    async def opened(self) -> None:
        who = self.who
        await self.c.db.run(who, liveness.admitted)  # the person may have been deactivated since the token was issued
        self.send("connection_established", {"user_id": who.user_id, "tenant_id": who.wanted})

    def job_of(self, frame: Frame) -> Job | None:
        """``subscribe``, ``resume``, ``unsubscribe`` and ``renew``."""
        found = {
            "subscribe": self._subscribe,
            "resume": self._resume,
            "unsubscribe": self._unsubscribe,
        }.get(frame["type"])
        return partial(found, frame) if found is not None else super().job_of(frame)

    async def _resume(self, frame: Frame) -> None:
        if offset_of(frame) is None:
            raise Invalid("FRAME_INVALID", errors={"offset": [Problem("required")]})
        await self._subscribe(frame)

    async def _subscribe(self, frame: Frame) -> None:
        name, kind, subject = _channel(frame)
        after, epoch = offset_of(frame), epoch_of(frame)
        peer = self.peer
        if peer is None:
            return
        if len(peer.following) >= FOLLOWED and name not in peer.following:
            raise Limited("TOO_MANY_SUBSCRIPTIONS")
        who = self.who.needing(kind.needs)
        about = kind.about(who, subject)

        async def read() -> Replay:
            found: Replay = await self.c.db.run(who, channels.read, name, after, epoch, about=about)
            return found

        await self.hub.join(
            peer, name, read, lambda found: peer.wire.send(subscribed_frame(name, found, self.hub.now()))
        )

    async def _unsubscribe(self, frame: Frame) -> None:
        name = _channel(frame)[0]
        if self.peer is None or not self.hub.leave(self.peer, name):
            raise NotFound("SUBSCRIPTION_NOT_FOUND")
        self.send("unsubscribed", {}, channel=name)


def _channel(frame: Frame) -> tuple[str, ChannelKind, UUID]:
    """Name, kind and subject of the frame's channel; the name is written one way only. Raises NotFound."""
    name = frame.get("channel")
    word, _, rest = name.partition(":") if isinstance(name, str) else ("", "", "")
    kind, subject = CHANNEL_KINDS.get(word), uuid_or_none(rest)
    if kind is None or subject is None or name != f"{word}:{subject}":
        raise NotFound("CHANNEL_NOT_FOUND")
    return name, kind, subject


routes = [("/ws/session/", SessionSocket)]
