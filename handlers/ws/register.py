"""The register of one process: whose sockets sit in which class, their beats, and their ends.

A seat is an open interval of attendance in the database. What is certain only here (that the socket is still open, and
when it closed) is stored from here: all seats in one statement every ten seconds, those that closed in one hop a class.
What cannot be stored, the sweeper ends at the last beat.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

from edurise.authz import actor_principal
from edurise.errors import DomainError, Kind
from edurise.live import service
from edurise.live.service import Joined
from edurise.ports import ChannelEvent
from handlers.ws.hub import Hub
from handlers.ws.peer import Peer

log = logging.getLogger(__name__)

BEAT_TICKS = 10
"""Ticks of the hub between two beats: ten seconds."""
NOTICE_S = 0.25
"""Where people come in crowds, those of a quarter of a second are told of together."""
PAUSE_S = 0.1
"""Between two attempts to store the ends while the process ends. Before that it is a tick."""
SWEPT = timedelta(seconds=30)
"""After this time the sweeper has ended an interval; nothing is tried longer against a fault that does not pass."""
_PASSING = (Kind.OVERLOADED, Kind.UPSTREAM)


class Room(NamedTuple):
    """A class with seats here."""

    tenant_id: UUID
    class_id: UUID


class Seat:
    """One joined socket: its interval, and the id under which the interval knows the socket."""

    __slots__ = ("connection_id", "interval_id", "room")

    def __init__(self, room: Room, interval_id: UUID, connection_id: UUID) -> None:
        self.room = room
        self.interval_id = interval_id
        self.connection_id = connection_id


class Register:
    """Every joined socket of this process. A socket that has not joined is not in it."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._db = hub.c.db
        self._seats: dict[Peer, Seat] = {}
        self._ended: dict[Room, dict[UUID, datetime]] = {}
        """By class: connections that closed, when, and are not stored yet."""
        self._storing: set[Room] = set()
        self._crowded: dict[Room, bool] = {}
        """Classes that are being told of; True: since the last telling somebody came."""
        self._entering = 0
        self._ticks = 0
        self._beating = False
        hub.each_tick.append(self.tick)
        hub.heard["class"] = self.heard

    def __len__(self) -> int:
        return len(self._seats)

    @property
    def unstored(self) -> int:
        """Ends that the database does not know yet."""
        return sum(len(ended) for ended in self._ended.values())

    # Seats

    async def enter(self, peer: Peer, ask: Callable[[UUID], Awaitable[Joined | None]]) -> Joined | None:
        """Give a socket the interval that ``ask(connection_id)`` opens or continues; None where it opens none.

        A socket that closed while the database was asked ends its interval at once.
        """
        seat = self._seats.get(peer)
        connection_id = seat.connection_id if seat is not None else uuid4()
        self._entering += 1
        try:
            joined = await ask(connection_id)
            if joined is not None:
                room = Room(joined.tenant_id, joined.class_id)
                self._seats[peer] = Seat(room, joined.interval_id, connection_id)
                if joined.crowded:
                    self._tell_soon(room)
                if peer.closed:
                    self.end(peer)
        finally:
            self._entering -= 1
        return joined

    def connection_of(self, peer: Peer) -> UUID | None:
        """The id of a joined socket; None if it has no seat."""
        seat = self._seats.get(peer)
        return seat.connection_id if seat is not None else None

    def leave(self, peer: Peer) -> None:
        """The person left by a frame, which is stored already."""
        self._seats.pop(peer, None)

    def end(self, peer: Peer) -> None:
        """The socket has closed, for whatever reason; its interval, if it has one, ends now."""
        seat = self._seats.pop(peer, None)
        if seat is not None:
            self._ended.setdefault(seat.room, {})[seat.connection_id] = self._hub.now()
            self._store_soon(seat.room)

    # The clock and the class

    def tick(self) -> None:
        """Each second: end the seats of sockets that were closed from here, try again what could not be stored; and
        beat when it is time."""
        for peer in [one for one in self._seats if one.closed]:
            self.end(peer)
        self._store_all()
        self._ticks += 1
        if self._ticks % BEAT_TICKS == 0:
            self.beat_soon()

    def heard(self, event: ChannelEvent) -> None:
        """An event of a class that is followed here: if the class is over, its intervals end by a beat at once."""
        if event.type == "class_status_update" and event.data.get("status") not in ("scheduled", "live"):
            class_id = UUID(event.channel.partition(":")[2])
            seats = [(peer, seat) for peer, seat in self._seats.items() if seat.room.class_id == class_id]
            if seats:
                self._hub.spawn(self._beat(seats))

    def beat_soon(self) -> None:
        """Say of every seat that its socket is open, unless the beat before is still under way."""
        if self._seats and not self._beating:
            self._beating = True
            self._hub.spawn(self._beat_all())

    async def flush(self, seconds: float) -> bool:
        """Before the process ends: end every seat and wait until all ends are stored, at most so long; whether they
        are."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        for peer in list(self._seats):
            self.end(peer)
        while (self._entering or self._ended) and loop.time() < until:
            self._store_all()
            await asyncio.sleep(PAUSE_S if self._ended else 0.01)
        if self._entering or self._ended:
            log.warning(
                "%d ends of attendance were not stored, and %d joins not answered: the sweeper ends them",
                self.unstored,
                self._entering,
            )
        return not self._entering and not self._ended

    # Parts

    async def _beat_all(self) -> None:
        try:
            await self._beat(list(self._seats.items()))
        finally:
            self._beating = False

    async def _beat(self, seats: Iterable[tuple[Peer, Seat]]) -> None:
        """One statement. Whose interval is over by now gives up the seat, unless the socket has joined anew since."""
        seats = list(seats)
        try:
            over = set(await self._db.system(service.beat, [seat.interval_id for _, seat in seats]))
        except DomainError as failed:
            log.warning("a beat of %d seats was not stored: %s", len(seats), failed.code)
            return
        for peer, seat in seats:
            if seat.interval_id in over and self._seats.get(peer) is seat:
                del self._seats[peer]

    def _store_all(self) -> None:
        for room in list(self._ended):
            self._store_soon(room)

    def _store_soon(self, room: Room) -> None:
        if room not in self._storing:
            self._storing.add(room)
            self._hub.spawn(self._store(room))

    async def _store(self, room: Room) -> None:
        """Store the ends of one class, and those that come meanwhile. What the database is not there for stays."""
        try:
            while waiting := self._ended.get(room):
                ended = dict(waiting)
                try:
                    await self._db.run(actor_principal(room.tenant_id), service.closed, room.class_id, ended)
                except DomainError as failed:
                    log.warning("%d ends of attendance were not stored: %s", len(ended), failed.code)
                    if failed.kind in _PASSING:
                        return
                except Exception:
                    log.exception("%d ends of attendance were not stored", len(ended))
                    if max(ended.values()) > self._hub.now() - SWEPT:
                        return
                self._forget(room, ended)
        finally:
            self._storing.discard(room)

    def _forget(self, room: Room, stored: dict[UUID, datetime]) -> None:
        """What was stored is not stored again; a connection that ended once more meanwhile still waits."""
        waiting = self._ended.get(room, {})
        for connection_id, at in stored.items():
            if waiting.get(connection_id) == at:
                del waiting[connection_id]
        if not waiting:
            self._ended.pop(room, None)

    def _tell_soon(self, room: Room) -> None:
        is_telling = room in self._crowded
        self._crowded[room] = True
        if not is_telling:
            self._hub.spawn(self._tell(room))

    async def _tell(self, room: Room) -> None:
        """Tell of those who came in a crowd, until nobody is left untold. What fails here is the sweeper's to tell."""
        try:
            while self._crowded[room]:
                await asyncio.sleep(NOTICE_S)
                self._crowded[room] = False
                if await self._db.run(actor_principal(room.tenant_id), service.notice, room.class_id):
                    self._crowded[room] = True
        except DomainError as failed:
            log.warning("a crowd was not told of: %s", failed.code)
        finally:
            del self._crowded[room]
