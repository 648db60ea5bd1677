"""The fast path between processes over Redis publish/subscribe.

Redis may vanish at any time: an announcement that cannot be made is dropped, a listener connects again by itself, and
whoever listens compares what it has with the stored events. Keys: ``{prefix}ch:{channel}`` for events,
``{prefix}bell:{name}`` for bells.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import cast
from uuid import UUID

import orjson
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from edurise.adapters.tls import share_tls
from edurise.ports import ChannelEvent

log = logging.getLogger(__name__)

CALL_S = 1.0
"""How long one announcement may take."""
AWAY_S = 0.5
"""How long announcements are dropped unsent after one failed: a commit must not wait for a server that is away."""
BACKOFF_S = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Pauses of a listener between attempts to connect; the last one repeats."""
SILENCE_S = 5.0
"""After this long without a message a listener asks for an answer, and after twice as long it connects anew."""
BATCH = 500
"""Keys in one SUBSCRIBE, and messages handled before the loop gets a turn."""

UNREACHABLE = (RedisError, OSError, TimeoutError)


class RedisAnnouncer:
    """Announces committed events and rings bells. Never raises for a server that is away."""

    def __init__(self, url: str, prefix: str) -> None:
        self._url = url
        self._prefix = prefix
        self._redis = client(url, CALL_S)
        self._away_until = 0.0
        self.lost = 0
        """How many announcements could not be made, since the start."""

    async def announce(self, events: Sequence[ChannelEvent]) -> None:
        """Publish the events in one round trip."""
        await self._publish([(f"{self._prefix}ch:{event.channel}", _encode(event)) for event in events])

    async def ring(self, bell: str) -> None:
        """Wake whoever listens for the bell."""
        await self._publish([(f"{self._prefix}bell:{bell}", b"")])

    def listen(
        self,
        *,
        event: Callable[[ChannelEvent], None] | None = None,
        bell: Callable[[str], None] | None = None,
        bells: Iterable[str] = (),
        restored: Callable[[], None] | None = None,
    ) -> RedisListener:
        """A listener on the same server, not yet started. Its callbacks run on the loop and must not block.

        ``restored`` is called after each connection: what was said in between is lost.
        """
        return RedisListener(self._url, self._prefix, event=event, bell=bell, bells=bells, restored=restored)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def _publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._away_until:
            self.lost += len(messages)
            return
        try:
            async with asyncio.timeout(CALL_S), self._redis.pipeline(transaction=False) as pipeline:
                for key, body in messages:
                    pipeline.publish(key, body)
                await pipeline.execute()
        except UNREACHABLE as failed:
            if self._away_until < now:
                log.warning("announcements are dropped while Redis is away: %s", failed)
            self._away_until = now + AWAY_S
            self.lost += len(messages)


class RedisListener:
    """Follows channels and bells on one connection, which it makes anew for as long as it is not closed."""

    def __init__(
        self,
        url: str,
        prefix: str,
        *,
        event: Callable[[ChannelEvent], None] | None,
        bell: Callable[[str], None] | None,
        bells: Iterable[str],
        restored: Callable[[], None] | None,
    ) -> None:
        self._redis = client(url, None)
        self._event = event
        self._bell = bell
        self._restored = restored
        self._event_key = f"{prefix}ch:"
        self._bell_key = f"{prefix}bell:"
        # Without any subscription there would be no connection to notice a restart by.
        self._wanted: set[str] = {f"{self._bell_key}{name}" for name in (*bells, "listeners")}
        self._changed: set[str] = set()
        self._flushing: asyncio.Task[None] | None = None
        self._connection: AbstractConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self.connected = asyncio.Event()
        """Set while the server has confirmed every subscription that was asked for before the connection."""

    def start(self) -> None:
        """Begin to listen; returns at once."""
        self._task = asyncio.create_task(self._run(), name="redis-listener")

    def follow(self, channel: str) -> None:
        """Subscribe to a channel, soon."""
        self._change(self._event_key + channel, self._wanted.add)

    def leave(self, channel: str) -> None:
        """Unsubscribe from a channel, soon."""
        self._change(self._event_key + channel, self._wanted.discard)

    async def close(self) -> None:
        """Stop listening and close the connection."""
        for task in (self._task, self._flushing):
            # More than once: asyncio.wait_for, by which the library waits, can lose a cancellation in Python 3.11.
            while task is not None and not task.done():
                task.cancel()
                await asyncio.wait([task], timeout=0.1)
        await self._redis.aclose()

    def _change(self, key: str, apply: Callable[[str], None]) -> None:
        apply(key)
        if self._connection is None:
            return  # the connection that is being made subscribes to all that is wanted
        self._changed.add(key)
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush(self._connection))

    async def _flush(self, connection: AbstractConnection) -> None:
        """Bring the subscriptions to what is wanted, many at a time; a failure is the reading side's to find."""
        with suppress(*UNREACHABLE):
            while self._changed and connection is self._connection and connection.is_connected:
                batch = [self._changed.pop() for _ in range(min(BATCH, len(self._changed)))]
                if joined := [key for key in batch if key in self._wanted]:
                    await connection.send_command("SUBSCRIBE", *joined)
                if left := [key for key in batch if key not in self._wanted]:
                    await connection.send_command("UNSUBSCRIBE", *left)

    async def _run(self) -> None:
        """Connect, subscribe, read; after a failure again.

        The library's PubSub is not used: it connects again unseen, from reading and from writing, and then nobody knows
        that messages were missed.
        """
        failures = 0
        while True:
            make = cast("Callable[[], AbstractConnection]", self._redis.connection_pool.make_connection)
            connection = make()
            try:
                async with asyncio.timeout(SILENCE_S):
                    await connection.connect()  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
                    await self._subscribe(connection)
                failures = 0
                self.connected.set()
                if self._restored is not None:
                    self._restored()
                await self._read(connection)
            except UNREACHABLE as failed:
                if failures == 0:
                    log.warning("the connection to Redis was lost: %s", failed)
            finally:
                self._connection = None
                self.connected.clear()
                await connection.disconnect(nowait=True)
            await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])
            failures += 1

    async def _subscribe(self, connection: AbstractConnection) -> None:
        """Subscribe to all that is wanted now, and wait until the server has confirmed it."""
        self._changed.clear()
        keys = list(self._wanted)
        self._connection = connection  # what is asked for from here on goes the ordinary way
        for start in range(0, len(keys), BATCH):
            await connection.send_command("SUBSCRIBE", *keys[start : start + BATCH])
        awaited = set(keys)
        while awaited:
            kind, key, body = await self._next(connection)
            if kind in (b"subscribe", b"unsubscribe"):
                awaited.discard(key.decode())
            self._deliver(kind, key, body)

    async def _read(self, connection: AbstractConnection) -> None:
        handled = 0
        while True:
            self._deliver(*await self._next(connection))
            handled += 1
            if handled % BATCH == 0:  # messages that are here already are read without a pause
                await asyncio.sleep(0)

    async def _next(self, connection: AbstractConnection) -> tuple[bytes, bytes, bytes]:
        """The next message (kind, key, body); after a silence the server must answer a ping."""
        message = await connection.read_response(timeout=SILENCE_S)
        if message is None:
            await connection.send_command("PING")
            message = await connection.read_response(timeout=SILENCE_S)
        if message is None:
            raise TimeoutError("no answer to a ping")
        return message[0], message[1], message[-1]

    def _deliver(self, kind: bytes, key: bytes, body: bytes) -> None:
        if kind != b"message":
            return
        name = key.decode()
        try:
            if name.startswith(self._event_key):
                if self._event is not None:
                    self._event(_decode(name.removeprefix(self._event_key), body))
            elif self._bell is not None:
                self._bell(name.removeprefix(self._bell_key))
        except Exception:
            log.exception("a message of Redis on %s was dropped", name)


def client(url: str, socket_timeout: float | None, attempts: int = 1) -> Redis:
    """A client that tries once more, at once, where a connection went stale; longer pauses are its callers' affair.

    ``attempts`` 0 is for what must not be made twice.
    """
    made = Redis.from_url(
        url,
        protocol=2,  # with 3 the messages of a subscription are pushed past the reader
        socket_connect_timeout=CALL_S,
        socket_timeout=socket_timeout,
        retry=Retry(NoBackoff(), attempts),
        health_check_interval=0,
    )
    share_tls(made.connection_pool)
    return made


def _encode(event: ChannelEvent) -> bytes:
    content = [event.offset, event.epoch, event.type, event.data, event.at]
    return orjson.dumps(content, option=orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC)


def _decode(channel: str, body: bytes) -> ChannelEvent:
    offset, epoch, kind, data, at = orjson.loads(body)
    return ChannelEvent(channel, offset, UUID(epoch), kind, data, datetime.fromisoformat(at))
