"""All open sockets of a process, and what is done to them by the clock: one timer for all, none for each."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from uuid import UUID

from handlers.ws.frames import Close, control_frame
from handlers.ws.peer import Peer

PING_EVERY = 25
"""Ticks between two pings of one socket. One that said nothing in between is dropped."""
RECONNECT_MS = 5000
"""Clients that are sent away on a restart come back within this time, each at its own moment."""
SENT_AWAY_AT_ONCE = 200


class Crowd:
    """The open sockets, dealt into as many slots as there are ticks between pings, so that each tick pings a few."""

    def __init__(self, most_of_a_person: int) -> None:
        """``most_of_a_person``: sockets that one person may have open here, so that nobody takes a whole school's."""
        self._most_of_a_person = most_of_a_person
        self._of_person: Counter[UUID] = Counter()
        self.slow = 0
        """Sockets ended because they did not read, since the start."""
        self.silent = 0
        """Sockets dropped because nothing came from them, since the start."""
        self._slots: tuple[set[Peer], ...] = tuple(set() for _ in range(PING_EVERY))
        self._next_slot = itertools.cycle(range(PING_EVERY))
        self._next_ping = itertools.cycle(range(PING_EVERY))
        self._emptied = asyncio.Event()

    def __len__(self) -> int:
        return sum(len(slot) for slot in self._slots)

    def __iter__(self) -> Iterator[Peer]:
        return iter(list(itertools.chain.from_iterable(self._slots)))

    def has_room_for(self, person_id: UUID) -> bool:
        """Whether a person may open another one."""
        return self._of_person[person_id] < self._most_of_a_person

    def add(self, peer: Peer) -> None:
        """A socket was admitted."""
        peer.slot = next(self._next_slot)
        self._slots[peer.slot].add(peer)
        self._of_person[peer.person_id] += 1

    def discard(self, peer: Peer) -> None:
        """A socket has ended."""
        if peer in self._slots[peer.slot]:
            self._slots[peer.slot].remove(peer)
            self._of_person[peer.person_id] -= 1
            if not self._of_person[peer.person_id]:
                del self._of_person[peer.person_id]
        if not len(self):
            self._emptied.set()

    def end_slow(self, peer: Peer) -> None:
        """A socket does not read what it is sent."""
        self.slow += 1
        peer.shed(Close.SLOW, "slow")

    def ping(self) -> None:
        """Ping the sockets whose turn it is, and drop those of them that said nothing since their last turn."""
        for peer in list(self._slots[next(self._next_ping)]):
            if peer.heard:
                peer.heard = False
                peer.wire.ping()
            else:
                self.silent += 1
                peer.wire.drop()

    def sweep(self, now: datetime, is_revoked: Callable[[UUID], bool]) -> None:
        """Close the sockets of revoked sessions, and those that may not outlive their token."""
        for peer in self:
            if is_revoked(peer.session_id):
                peer.refuse(Close.UNAUTHENTICATED, "TOKEN_INVALID")
            elif peer.expires_at <= now and not peer.manner.lasting:
                peer.refuse(Close.UNAUTHENTICATED, "TOKEN_EXPIRED")

    async def send_away(self, now: datetime, seconds: float) -> bool:
        """End every socket, spread over at most half of ``seconds``; returns whether all went before the time was over.

        Sessions are told when to come back; doors are dropped without a close frame, upon which clients come back.
        """
        peers = list(self)
        pause = min(0.1, seconds / 2 / (1 + len(peers) // SENT_AWAY_AT_ONCE))
        try:
            async with asyncio.timeout(seconds):
                for start in range(0, len(peers), SENT_AWAY_AT_ONCE):
                    if start:
                        await asyncio.sleep(pause)
                    for peer in peers[start : start + SENT_AWAY_AT_ONCE]:
                        _send_away(peer, now)
                while len(self):
                    self._emptied.clear()
                    await self._emptied.wait()
        except TimeoutError:
            return False
        return True

    def drop_all(self) -> None:
        """Drop what is left, without a word."""
        for peer in self:
            peer.wire.drop()


def _send_away(peer: Peer, now: datetime) -> None:
    if not peer.manner.lasting:
        peer.wire.send(control_frame("reconnect", {"delay_ms": secrets.randbelow(RECONNECT_MS)}, now))
    peer.shed(Close.RESTART, "restart")
