"""One durable channel in this process: events in order, once, to the sockets that follow it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID

from edurise.channels import Replay
from edurise.ports import ChannelEvent
from handlers.ws.frames import Message
from handlers.ws.peer import Peer, Subscription

SLICE = 200
"""Sends between two turns of the loop: about a millisecond."""
HELD = 1000
"""Events kept that came before their predecessors. What is not kept is read from the database."""

DOUBT = 2**63

Heard = Callable[[ChannelEvent], None]
Spawn = Callable[[Coroutine[Any, Any, None]], None]


class Topic:
    """Where the channel stands here, and who follows it.

    ``offset`` is the last event taken, None until the first reader has brought a position. Every member has been sent,
    or will be by the broadcast under way, exactly the events up to ``offset`` from its own position on.
    """

    __slots__ = (
        "epoch",
        "heard",
        "held",
        "joining",
        "members",
        "name",
        "offset",
        "outbox",
        "recent",
        "repairing",
        "target",
    )

    def __init__(self, name: str, heard: Heard | None = None) -> None:
        self.name = name
        self.heard = heard
        """Who in this process is told of every event, beside the sockets."""
        self.epoch: UUID | None = None
        self.offset: int | None = None
        self.members: dict[Peer, Subscription] = {}
        self.joining = 0
        self.recent: list[Message] | None = None
        """Events taken while somebody joins, for that one to catch up with."""
        self.held: dict[int, ChannelEvent] | None = None
        self.outbox: deque[Message] | None = None
        self.repairing = False
        self.target = 0
        """The highest offset that is known to exist, or DOUBT when the stored numbering has to be looked at."""

    @property
    def idle(self) -> bool:
        return not self.members and not self.joining

    @property
    def complete(self) -> bool:
        """Whether nothing is known to be missing."""
        return self.offset is not None and self.target <= self.offset

    def take(self, event: ChannelEvent, spawn: Spawn) -> bool:
        """Take an event from whichever path it came; False says that there is a gap before it, or another numbering."""
        if self.offset is None:
            self._hold(event)
            return True
        if event.epoch != self.epoch:
            if self.epoch is not None or self.offset:
                self.target = DOUBT
                return False
            self.epoch = event.epoch  # the first event ever
        if event.offset <= self.offset:
            return True
        self.target = max(self.target, event.offset)
        if event.offset > self.offset + 1:
            self._hold(event)
            return False
        following: ChannelEvent | None = event
        while following is not None:
            self.offset = following.offset
            self._broadcast(Message(following), spawn)
            following = self._held_next()
        return self.complete

    def learn(self, found: Replay, spawn: Spawn) -> None:
        """Take the first position, and then the events that came before it was known."""
        if self.offset is not None:
            return
        self.epoch, self.offset, self.target = found.epoch, found.head, found.head
        early, self.held = self.held or {}, None
        for _, event in sorted(early.items()):
            self.take(event, spawn)

    def expect(self, epoch: UUID | None, head: int) -> bool:
        """Somebody read where the channel stands; returns whether nothing is missing here."""
        if self.epoch is None and not self.offset:
            self.epoch = epoch
        self.target = max(self.target, head if epoch == self.epoch else DOUBT)
        return self.complete

    def settle(self, head: int) -> None:
        """Everything up to the stored ``head`` was read."""
        if self.offset is not None and self.offset >= head:
            self.target = self.offset

    def renumber(self, found: Replay) -> list[Peer]:
        """Go on in another numbering; returns the members, who must all load the state anew."""
        self.epoch, self.offset, self.target = found.epoch, found.start, found.head
        self.held = None
        if self.outbox is not None:
            self.outbox.clear()
        if self.recent is not None:
            self.recent.clear()
        for member in self.members.values():
            member.offset = found.start
        return list(self.members)

    def since(self, offset: int) -> list[Message] | None:
        """The events after ``offset``, if all of them are at hand."""
        if self.offset is None or self.offset <= offset:
            return []
        if not self.recent or self.recent[0].event.offset > offset + 1:
            return None
        return [message for message in self.recent if message.event.offset > offset]

    def begin_join(self) -> None:
        """Somebody joins: from here on events are kept until ``end_join``."""
        self.joining += 1
        if self.recent is None:
            self.recent = []

    def end_join(self) -> None:
        self.joining -= 1
        if not self.joining:
            self.recent = None

    def _hold(self, event: ChannelEvent) -> None:
        if self.held is None:
            self.held = {}
        if len(self.held) < HELD:
            self.held[event.offset] = event

    def _held_next(self) -> ChannelEvent | None:
        """The held event that is due now; what was held and came another way is let go."""
        if self.held is None or self.offset is None:
            return None
        self.held.pop(self.offset, None)
        following = self.held.pop(self.offset + 1, None)
        if not self.held:
            self.held = None
        return following if following is not None and following.epoch == self.epoch else None

    def _broadcast(self, message: Message, spawn: Spawn) -> None:
        if self.heard is not None:
            self.heard(message.event)
        if self.recent is not None:
            if len(self.recent) >= HELD:  # a join that takes this long reads the rest from the database
                self.recent.clear()
            self.recent.append(message)
        if self.outbox is not None:
            self.outbox.append(message)
        elif len(self.members) <= SLICE:
            for member in list(self.members.values()):
                member.give(message)
        else:
            self.outbox = deque([message])
            spawn(self._pump())

    async def _pump(self) -> None:
        """Broadcast to many in slices, so that no other socket waits for the last of them."""
        sent = 0
        while self.outbox:
            message = self.outbox.popleft()
            for member in list(self.members.values()):
                member.give(message)
                sent += 1
                if sent % SLICE == 0:
                    await asyncio.sleep(0)
        self.outbox = None
