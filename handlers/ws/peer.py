"""One open socket as the hub sees it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from handlers.ws.frames import Close, Message


class Sender(Protocol):
    """What a peer needs of a wire."""

    closed: bool

    def send(self, frame: bytes) -> None: ...

    def ping(self) -> None: ...

    def close(self, code: int, reason: str) -> None: ...

    def drop(self) -> None: ...

    def gone(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Manner:
    """How a kind of socket speaks and ends.

    ``flat`` repeats a frame's data at the top level. A ``lasting`` socket outlives its access token while the session
    lives, and is dropped without a close frame where the client is to come back: its clients take every clean close for
    good.
    """

    flat: bool
    lasting: bool


DOOR = Manner(flat=True, lasting=True)
SESSION = Manner(flat=False, lasting=False)


class Peer:
    """The sending side of a socket, whose and of which session it is, and what it follows."""

    __slots__ = ("expires_at", "following", "heard", "manner", "person_id", "session_id", "slot", "wire")

    def __init__(self, wire: Sender, manner: Manner, person_id: UUID, session_id: UUID, expires_at: datetime) -> None:
        self.wire = wire
        self.manner = manner
        self.person_id = person_id
        self.session_id = session_id
        self.expires_at = expires_at
        self.following: dict[str, Subscription] = {}
        self.heard = True
        """Whether anything came from the other side since the last ping."""
        self.slot = 0

    @property
    def closed(self) -> bool:
        return self.wire.closed

    def give(self, message: Message) -> None:
        """Send a stored event in this socket's form."""
        self.wire.send(message.frame(self.manner.flat))

    def refuse(self, code: Close, reason: str) -> None:
        """Close for good, with a code that the client can read."""
        self.wire.close(code, reason)

    def shed(self, code: Close, reason: str) -> None:
        """End the socket for a reason that passes (slow, restart, overload), so that the client comes back."""
        if self.manner.lasting:
            self.wire.drop()
        else:
            self.wire.close(code, reason)


class Subscription:
    """One peer in one channel. ``offset`` is the last event that was sent to it; nothing up to there is sent again."""

    __slots__ = ("offset", "peer")

    ENDED = 2**63
    """An offset that no event exceeds."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.offset = self.ENDED

    def give(self, message: Message) -> None:
        """Send the event unless this peer has it."""
        if message.event.offset > self.offset:
            self.offset = message.event.offset
            self.peer.give(message)

    def end(self) -> None:
        """Give nothing more, also out of a broadcast that is under way."""
        self.offset = self.ENDED
