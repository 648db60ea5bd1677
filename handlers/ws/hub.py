"""The hub of one process: channels to local sockets, in order, without loss or repetition, whatever Redis does.

The fast path (Redis) brings most events within milliseconds. Nothing depends on it: each second one statement reads the
heads of all channels that are followed here, and what is missing is read from the database.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from edurise.channels import Replay
from edurise.config import Settings
from edurise.db import Database
from edurise.errors import DomainError
from edurise.identity.tokens import Claims
from edurise.ports import ChannelEvent, Clock
from handlers.ws.crowd import Crowd
from handlers.ws.frames import Message, control_frame
from handlers.ws.peer import Peer, Subscription
from handlers.ws.places import Places
from handlers.ws.stores import EPHEMERAL, Store, StoredChannels
from handlers.ws.topic import Topic

log = logging.getLogger(__name__)

TICK_S = 1.0
TURNS = 64
"""Frames and openings that are worked on at a time. A class of a thousand that comes at once waits here, in order, and
not in the database's backlog, where who is too many is refused."""
GAP_S = 0.02
"""How long a missing event may still come by the fast path: two processes announce in any order."""


class Listener(Protocol):
    """The receiving side of the fast path."""

    def start(self) -> None: ...

    def follow(self, channel: str) -> None: ...

    def leave(self, channel: str) -> None: ...

    async def close(self) -> None: ...


class FastPath(Protocol):
    """What the hub needs of an announcer."""

    def listen(self, *, event: Callable[[ChannelEvent], None], restored: Callable[[], None]) -> Listener: ...


class SocketTokens(Protocol):
    """What sockets need of the tokens."""

    def verify(self, token: str, leeway_s: float = 0) -> Claims: ...

    def is_revoked(self, session_id: UUID) -> bool: ...


class SocketContainer(Protocol):
    """What sockets need of the container."""

    @property
    def settings(self) -> Settings: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def db(self) -> Database: ...

    @property
    def tokens(self) -> SocketTokens: ...

    @property
    def announcer(self) -> FastPath: ...

    @property
    def streams(self) -> Store: ...


class Hub:
    """Every open socket and every followed channel of this process."""

    def __init__(self, c: SocketContainer) -> None:
        self.c = c
        self.crowd = Crowd(c.settings.sockets_per_person)
        self.places = Places(c.db, self.spawn)
        self.draining = False
        self.turns = asyncio.Semaphore(TURNS)
        self.repairs = 0
        """Gaps that were filled from the database, since the start."""
        self.renumbered = 0
        """Channels whose followers had to load the state anew, since the start."""
        self.each_tick: list[Callable[[], None]] = [self.places.tick]
        """What else is done each second."""
        self.heard: dict[str, Callable[[ChannelEvent], None]] = {}
        """By kind of channel: who in this process is told of each event that a followed channel takes, in order."""
        self._durable = StoredChannels(c.db)
        self._topics: dict[str, Topic] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._beat: asyncio.Task[None] | None = None
        self._reconciling = False
        self._listener = c.announcer.listen(event=self.receive, restored=self._reconcile_soon)

    # Life of the process

    async def start(self, timer: bool = True) -> None:
        """Begin to listen. Without ``timer`` nothing happens by the clock: ``tick`` is called by hand."""
        self._listener.start()
        if timer:
            self._beat = asyncio.create_task(self._tick_for_ever(), name="hub")

    async def drain(self, seconds: float) -> None:
        """Let nobody in any more, send every socket away, and wait for them until the time is over."""
        self.draining = True
        if not await self.crowd.send_away(self.now(), seconds):
            log.info("%d sockets had not answered the close when the drain ended", len(self.crowd))
        await self.places.flush()

    async def close(self) -> None:
        """Drop what is left and stop."""
        self.draining = True
        self.crowd.drop_all()
        tasks = [*self._tasks, *([self._beat] if self._beat else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._listener.close()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run work of a socket or a channel beside the loop's other work; a failure is logged."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def now(self) -> datetime:
        """The time for frames that are no stored events."""
        return self.c.clock.now()

    def remove(self, peer: Peer) -> None:
        """A socket has ended."""
        peer.wire.gone()
        for name in list(peer.following):
            self.leave(peer, name)
        self.places.leave(peer)
        self.crowd.discard(peer)

    # Channels

    @property
    def topics(self) -> int:
        """How many channels are followed."""
        return len(self._topics)

    async def join(
        self,
        peer: Peer,
        name: str,
        read: Callable[[], Awaitable[Replay]],
        greet: Callable[[Replay], None],
        settled: Callable[[], None] | None = None,
    ) -> None:
        """Let a socket follow a channel: position, then what it missed, then everything new, each event once.

        ``read`` returns what followed the socket's position, or refuses; it runs after the channel is listened to, so
        that nothing falls between. ``greet`` is called with that before the first event is sent, ``settled`` after the
        last event up to ``head``.
        """
        self.leave(peer, name)
        topic = self._topics.get(name) or self._follow(name)
        topic.begin_join()
        try:
            found = await read()
            if topic.offset is not None and found.epoch != topic.epoch:
                found = await read()  # the first event, or a new numbering, came in between
            if peer.closed:
                return
            topic.learn(found, self.spawn)
            if not topic.expect(found.epoch, found.head):
                self._repair(topic)
            greet(found)
            subscription = Subscription(peer)
            subscription.offset = found.start
            _give(subscription, found.events)
            if settled is not None:
                settled()
            if await self._catch_up(topic, subscription):
                peer.following[name] = topic.members[peer] = subscription
        finally:
            topic.end_join()
            self._forget_if_idle(topic)

    def leave(self, peer: Peer, name: str) -> bool:
        """Stop following; returns whether the socket did follow the channel."""
        subscription = peer.following.pop(name, None)
        if subscription is None:
            return False
        subscription.end()
        topic = self._topics[name]
        del topic.members[peer]
        self._forget_if_idle(topic)
        return True

    def receive(self, event: ChannelEvent) -> None:
        """An event came by the fast path."""
        topic = self._topics.get(event.channel)
        if topic is not None and not topic.take(event, self.spawn):
            self._repair(topic)

    async def reconcile(self) -> None:
        """Compare what is followed with the stored heads, one question a store, and fetch what is missing."""
        kept: dict[Store, list[str]] = {}
        for topic in self._topics.values():
            if topic.offset is not None:
                kept.setdefault(self._store(topic.name), []).append(topic.name)
        outcomes = await asyncio.gather(*(self._compare(*one) for one in kept.items()), return_exceptions=True)
        for failed in outcomes:
            if failed is not None:
                raise failed

    async def _compare(self, store: Store, names: Sequence[str]) -> None:
        found = await store.heads(names)
        for name in names:
            topic = self._topics.get(name)
            if topic is None or topic.offset is None:
                continue
            head, epoch = found.get(name, (0, None))
            if not topic.expect(epoch, head):
                self._repair(topic)

    # The timer

    def tick(self) -> None:
        """What is done each second."""
        self.sweep()
        self.crowd.ping()
        self._reconcile_soon()
        for also in self.each_tick:
            also()

    def sweep(self) -> None:
        """Close the sockets whose session or token is over; call it too when a revocation becomes known."""
        self.crowd.sweep(self.now(), self.c.tokens.is_revoked)

    async def _tick_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + TICK_S, loop.time())
            await asyncio.sleep(due - loop.time())
            self.tick()

    def _reconcile_soon(self) -> None:
        """Also called when the fast path is there again: what it lost meanwhile is fetched at once."""
        if not self._reconciling:
            self._reconciling = True
            self.spawn(self._reconcile())

    async def _reconcile(self) -> None:
        try:
            await self.reconcile()
        except DomainError as failed:
            log.warning("channels could not be compared with what is stored: %s", failed.code)
        finally:
            self._reconciling = False

    # Parts

    def _store(self, name: str) -> Store:
        return self.c.streams if name.partition(":")[0] in EPHEMERAL else self._durable

    def _follow(self, name: str) -> Topic:
        topic = self._topics[name] = Topic(name, self.heard.get(name.partition(":")[0]))
        self._listener.follow(name)
        return topic

    def _forget_if_idle(self, topic: Topic) -> None:
        if topic.idle and self._topics.get(topic.name) is topic:
            del self._topics[topic.name]
            self._listener.leave(topic.name)

    async def _catch_up(self, topic: Topic, subscription: Subscription) -> bool:
        """Give a joining socket what was taken while it read; returns whether it is up to date and still there."""
        while not subscription.peer.closed:
            recent = topic.since(subscription.offset)
            if recent is not None:
                for message in recent:
                    subscription.give(message)
                return not subscription.peer.closed
            found = await self._store(topic.name).read(topic.name, subscription.offset, topic.epoch)
            if not found.recovered:  # trimmed under our hands, or numbered anew
                self._renumber(topic, found)
                _tell_to_reload([subscription.peer], topic.name, found, self.now())
                subscription.offset = found.start
            _give(subscription, found.events)
        return False

    def _repair(self, topic: Topic) -> None:
        if not topic.repairing:
            topic.repairing = True
            self.spawn(self._fill(topic))

    async def _fill(self, topic: Topic) -> None:
        """Read what is missing, in order, until nothing is known to be missing."""
        try:
            await asyncio.sleep(GAP_S)
            while topic.offset is not None and not topic.idle and not topic.complete:
                found = await self._store(topic.name).read(topic.name, topic.offset, topic.epoch)
                if not found.recovered:
                    self._renumber(topic, found)
                for event in found.events:
                    topic.take(event, self.spawn)
                self.repairs += bool(found.events)
                topic.settle(found.head)
        except DomainError as failed:
            log.warning("a gap in %s could not be filled yet: %s", topic.name, failed.code)
        finally:
            topic.repairing = False

    def _renumber(self, topic: Topic, found: Replay) -> None:
        self.renumbered += 1
        _tell_to_reload(topic.renumber(found), topic.name, found, self.now())

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failed := task.exception()) is not None:
            log.error("work of the hub failed", exc_info=failed)


def subscribed_frame(name: str, found: Replay, at: datetime) -> bytes:
    """The answer to a subscription: whether the events that follow close the gap, and from which position they do."""
    position = {"channel": name, "offset": found.start, "epoch": found.epoch}
    return control_frame("subscribed", {"recovered": found.recovered}, at, flat=True, **position)


def _tell_to_reload(peers: Sequence[Peer], name: str, found: Replay, at: datetime) -> None:
    """The events after a socket's position are not to be had: a session is told so, a door is to connect again."""
    for peer in peers:
        if peer.manner.lasting:
            peer.wire.drop()
        else:
            peer.wire.send(subscribed_frame(name, found, at))


def _give(subscription: Subscription, events: Sequence[ChannelEvent]) -> None:
    for event in events:
        subscription.give(Message(event))
