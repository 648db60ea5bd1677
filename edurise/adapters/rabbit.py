"""The transport over RabbitMQ: a durable quorum queue for each actor, and one queue for what came too often without an
end.

Connections are watched here and not by the library's robust ones, which restore without time-outs (measured: a queue
that did not answer after a crash of the broker kept one waiting for ever). Every question has a time-out; whatever goes
wrong, the connection is dropped, and the next one declares its queues and consumers anew, also those that somebody
deleted. Nothing here is the truth: a message that the broker loses is sent again from ``deliveries``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import TypeVar
from uuid import UUID

import aio_pika
import orjson
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import AMQPError, DeliveryError
from aiormq import spec

from edurise.adapters.draining import drain
from edurise.ports import Dispatch

log = logging.getLogger(__name__)

T = TypeVar("T")
Handle = Callable[[Dispatch], Awaitable[None]]

ANSWER_S = 5.0
"""How long the broker may take to accept a connection, to answer a question, or to confirm a batch."""
HEARTBEAT_S = 15
"""After twice as long without a sign of life a connection counts as dead."""
RECONNECT_S = 1.0
REFUSED_PAUSES_S = (0.05, 0.2, 1.0)
"""Pauses after a refusal (nack): a quorum queue that was declared a moment ago refuses until it has a leader."""
DELIVERY_LIMIT = 3
"""How often a message may come back without an end before it is lost: workers die of it. A change needs new queues."""

_TROUBLE = (AMQPError, OSError, TimeoutError, RuntimeError)


@dataclass
class _Link:
    """A connection with one channel; ``declared`` are the actors whose queues it has seen."""

    connection: AbstractConnection
    channel: AbstractChannel
    declared: set[str] = field(default_factory=set)


class RabbitTransport:
    """Publishes with confirms; consumes ``prefetch`` messages at a time over all queues of the process."""

    durable = True

    def __init__(self, url: str, prefix: str, *, prefetch: int = 32, drain_s: float = 10.0) -> None:
        self._url = url
        self._prefix = prefix
        self._prefetch = prefetch
        self._drain_s = drain_s
        self._publisher: _Link | None = None

    def queue_name(self, actor: str) -> str:
        """The queue of an actor."""
        return f"{self._prefix}{actor}"

    @property
    def lost_queue(self) -> str:
        """The queue of dead letters; no actor's name has a hyphen."""
        return f"{self._prefix}dead-letters"

    async def publish(self, dispatches: Sequence[Dispatch]) -> Sequence[Dispatch]:
        """Publish all at once and return those that were confirmed in time. One caller at a time."""
        if not dispatches:
            return []
        try:
            link = await _answer(self._ready({one.actor for one in dispatches}))
        except _TROUBLE as away:
            log.warning("RabbitMQ cannot be reached: %r", away)
            await self._drop()
            return []
        sends = [asyncio.ensure_future(self._send(link.channel, one)) for one in dispatches]
        try:
            await asyncio.wait(sends, timeout=ANSWER_S)
        finally:
            for send in sends:
                send.cancel()
        results = await asyncio.gather(*sends, return_exceptions=True)
        failures = [result for result in results if result is not None]
        if failures:
            log.warning("RabbitMQ did not confirm %d of %d messages: %r", len(failures), len(results), failures[0])
        if any(isinstance(failure, DeliveryError) for failure in failures):
            link.declared.clear()  # a message came back: its queue is gone
        if any(not isinstance(failure, DeliveryError) for failure in failures):
            await self._drop()
        return [one for one, result in zip(dispatches, results, strict=True) if result is None]

    async def consume(self, actors: Sequence[str], handle: Handle, lost: Handle) -> None:
        """Consume until cancelled; then take no more, finish what runs within ``drain_s`` and give the rest back."""
        consumer = _Consumer(self._prefetch)
        take, take_lost = partial(consumer.take, handle), partial(consumer.take, lost)
        try:
            while True:
                try:
                    await self._subscription(actors, consumer, take_lost, take)
                except _TROUBLE as away:
                    log.warning("RabbitMQ cannot be consumed: %r", away)
                await asyncio.sleep(RECONNECT_S)
        finally:
            await consumer.stop(self._drain_s)

    async def close(self) -> None:
        """Close the publishing connection; a consuming one ends with ``consume``."""
        await self._drop()

    async def _send(self, channel: AbstractChannel, dispatch: Dispatch) -> None:
        message = aio_pika.Message(
            orjson.dumps(dispatch),
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=str(dispatch.event_id),
            type=dispatch.topic,
        )
        for pause in (*REFUSED_PAUSES_S, None):
            try:
                await channel.default_exchange.publish(message, self.queue_name(dispatch.actor), mandatory=True)
            except DeliveryError as refused:
                if pause is None or not isinstance(refused.frame, spec.Basic.Nack):
                    raise
                await asyncio.sleep(pause)
            else:
                return

    async def _ready(self, actors: set[str]) -> _Link:
        """The publishing link, with the queues of these actors declared."""
        if self._publisher is None:
            self._publisher = await self._open(confirms=True)
        link = self._publisher
        missing = sorted(actors - link.declared)
        if missing:
            await self._declare_lost(link.channel)
        for actor in missing:
            await self._declare(link.channel, actor)
            link.declared.add(actor)
        return link

    async def _drop(self) -> None:
        link, self._publisher = self._publisher, None
        if link is not None:
            await _quietly(link.connection.close())

    async def _open(self, *, confirms: bool) -> _Link:
        try:
            connection = await aio_pika.connect(self._url, timeout=ANSWER_S, heartbeat=HEARTBEAT_S)
        except StopAsyncIteration:  # what aiormq raises when the other side closes during the handshake
            raise ConnectionResetError("the connection was closed before RabbitMQ answered") from None
        try:
            return _Link(connection, await connection.channel(publisher_confirms=confirms, on_return_raises=confirms))
        except BaseException:
            await _quietly(connection.close())
            raise

    async def _subscription(self, actors: Sequence[str], consumer: _Consumer, lost: _Take, take: _Take) -> None:
        """Subscribe, and return when the connection, the channel or one of the consumers is gone."""
        link = await _answer(self._open(confirms=False))
        try:
            broken = asyncio.Event()
            tags = await _answer(self._subscribe(link.channel, actors, lost, take, broken))
            try:
                await broken.wait()
            except asyncio.CancelledError:
                await asyncio.gather(*(_quietly(queue.cancel(tag)) for queue, tag in tags))
                await consumer.stop(self._drain_s)
                raise
            log.warning("a subscription at RabbitMQ broke")
        finally:
            await _quietly(link.connection.close())

    async def _subscribe(
        self, channel: AbstractChannel, actors: Sequence[str], lost: _Take, take: _Take, broken: asyncio.Event
    ) -> list[tuple[AbstractQueue, str]]:
        """Consume the actors' queues and the one of dead letters; ``broken`` is set when that ends."""

        def ended(*_: object) -> None:
            broken.set()

        channel.close_callbacks.add(ended)
        (await channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(ended)
        await channel.set_qos(prefetch_count=self._prefetch)
        queues = [(await self._declare_lost(channel), lost)]
        queues += [(await self._declare(channel, actor), take) for actor in actors]
        return [(queue, await queue.consume(callback)) for queue, callback in queues]

    async def _declare(self, channel: AbstractChannel, actor: str) -> AbstractQueue:
        return await channel.declare_queue(
            self.queue_name(actor),
            durable=True,
            arguments={
                "x-queue-type": "quorum",
                "x-delivery-limit": DELIVERY_LIMIT,
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": self.lost_queue,
            },
        )

    async def _declare_lost(self, channel: AbstractChannel) -> AbstractQueue:
        return await channel.declare_queue(self.lost_queue, durable=True, arguments={"x-queue-type": "quorum"})


_Take = Callable[[AbstractIncomingMessage], Awaitable[None]]


class _Consumer:
    """The messages of one subscription that are being handled."""

    def __init__(self, concurrency: int) -> None:
        self._places = asyncio.Semaphore(concurrency)
        self._running: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    async def take(self, handle: Handle, message: AbstractIncomingMessage) -> None:
        """Handle a message in its turn, in a task of its own: this one ends with the channel. What stays unanswered
        comes again.
        """
        await self._places.acquire()
        if self._is_stopping:
            self._places.release()
            return
        task = asyncio.ensure_future(_handled(handle, message))
        self._running.add(task)
        task.add_done_callback(self._ended)

    async def stop(self, seconds: float) -> None:
        """Begin nothing more, and let what runs finish within ``seconds``."""
        self._is_stopping = True
        await drain(self._running, seconds)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._places.release()


async def _handled(handle: Handle, message: AbstractIncomingMessage) -> None:
    try:
        dispatch = _unpack(message)
    except (ValueError, KeyError, TypeError):
        log.exception("a message of queue %s cannot be read; it is dropped", message.routing_key)
        await _quietly(message.ack())
        return
    try:
        await handle(dispatch)
    except Exception:
        log.exception("a delivery could not be handled")
        await _quietly(message.nack(requeue=True))
    else:
        await _quietly(message.ack())


def _unpack(message: AbstractIncomingMessage) -> Dispatch:
    body = orjson.loads(message.body)
    found = Dispatch(
        event_id=UUID(str(body["event_id"])),
        actor=str(body["actor"]),
        topic=str(body["topic"]),
        tenant_id=UUID(str(body["tenant_id"])) if body["tenant_id"] else None,
        at=datetime.fromisoformat(body["at"]),
        payload=None if body["payload"] is None else dict(body["payload"]),
        attempts=int(body["attempts"]),
        again=bool(body["again"]),
    )
    return replace(found, again=True) if message.redelivered else found


async def _answer(question: Awaitable[T]) -> T:
    """Await an answer of the broker, for ``ANSWER_S``.

    The library cancels its own waiters when a connection dies. That looks like a cancellation of the caller, and is a
    ConnectionError here.
    """
    try:
        async with asyncio.timeout(ANSWER_S):
            return await question
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise ConnectionError("the connection ended before an answer") from None


async def _quietly(question: Awaitable[object]) -> None:
    """Say something to a broker that may be gone: then the message comes again, which deliveries allow for."""
    with suppress(*_TROUBLE):
        await _answer(question)
