"""Ephemeral channels: numbered events in Redis streams, kept for a while, appended and published by one script.

A channel has two keys: ``{prefix}st:{channel}`` is the stream, whose entry ``N-0`` is the event of offset N, and
``{prefix}st:{channel}:head`` the numbering, ``epoch`` and ``head``. Redis may forget either at any time, by a flush, a
restart, its memory policy or the time to live. Then the numbering begins anew under another epoch, and a reader that
compares the epoch and the first entry is told so: Redis itself would resume past a hole without a word.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID, uuid4

import orjson
from redis.exceptions import NoScriptError, ResponseError

from edurise.adapters.redis_announcer import AWAY_S, CALL_S, UNREACHABLE, client
from edurise.channels import Replay
from edurise.errors import Overloaded
from edurise.ports import ChannelEvent, Clock

log = logging.getLogger(__name__)

KEPT = 5_000
"""Events of a channel that are kept; older ones are trimmed."""
KEPT_S = 3_600
"""How long a channel is kept after its last event."""
BATCH = 500
"""Events in one round trip."""
GATHER_S = 0.005
"""How soon after a round trip the next one leaves at the earliest: what comes meanwhile travels together, so that a
thousand tokens a second are two hundred round trips. A lone event does not wait."""

# KEYS: stream, numbering. ARGV: the epoch of a new numbering; "new" to begin one, "" to append to whichever there is,
# else the epoch to which it must belong; the event from its type on; events kept; seconds kept; the channel's key for
# publish/subscribe.
_APPEND = """
local epoch = redis.call('HGET', KEYS[2], 'epoch')
if ARGV[2] ~= '' and ARGV[2] ~= 'new' and ARGV[2] ~= epoch then return false end
if ARGV[2] == 'new' or not epoch then
    epoch = ARGV[1]
    redis.call('DEL', KEYS[1], KEYS[2])
    redis.call('HSET', KEYS[2], 'epoch', epoch)
end
local offset = string.format('%d', redis.call('HINCRBY', KEYS[2], 'head', 1))
redis.call('XADD', KEYS[1], 'MAXLEN', '=', ARGV[4], offset .. '-0', 'e', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[5])
redis.call('EXPIRE', KEYS[2], ARGV[5])
redis.call('PUBLISH', ARGV[6], '[' .. offset .. ',"' .. epoch .. '",' .. ARGV[3])
return {offset, epoch}
"""
# KEYS: stream, numbering. ARGV: the offset after which to read, or -1. One script, so that position and events belong
# together.
_READ = """
local numbering = redis.call('HMGET', KEYS[2], 'epoch', 'head')
if not numbering[1] then return {} end
local after, entries = tonumber(ARGV[1]), {}
if after >= 0 and after < tonumber(numbering[2]) then
    entries = redis.call('XRANGE', KEYS[1], string.format('%d-0', after + 1), '+')
end
return {numbering[1], numbering[2], entries, redis.call('XLEN', KEYS[1])}
"""
_APPEND_SHA = hashlib.sha1(_APPEND.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class _Pending:
    """An event on its way into the stream."""

    channel: str
    type: str
    data: Mapping[str, object]
    at: datetime
    belongs: str
    done: asyncio.Future[ChannelEvent | None]


class RedisStreams:
    """The port ``Streams``. What is appended at about the same time, to whichever channels, is one round trip."""

    def __init__(self, url: str, prefix: str, clock: Clock, *, kept: int = KEPT, kept_s: int = KEPT_S) -> None:
        # No second attempt: an append that was carried out and not answered must not be made twice.
        self._redis = client(url, CALL_S, attempts=0)
        self._prefix = prefix
        self._clock = clock
        self._kept, self._kept_s = kept, kept_s
        self._waiting: list[_Pending] = []
        self._flushing: asyncio.Task[None] | None = None
        self._away_until = 0.0
        self._sent_at = 0.0
        self.lost = 0
        """How many events Redis did not take, since the start."""

    async def append(
        self,
        channel: str,
        type: str,  # noqa: A002 - the frame's own word
        data: Mapping[str, object],
        *,
        renew: bool = False,
        epoch: UUID | None = None,
    ) -> ChannelEvent | None:
        """Number, keep and publish an event; None where it was not taken, and then nobody knows whether it was.

        With ``epoch`` it is taken only while that numbering lasts; ``renew`` begins a new one, which is how to go on
        after a None: what was lost leaves no gap in the numbers, but whoever follows the old numbering is told so.
        """
        belongs = "new" if renew else "" if epoch is None else str(epoch)
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(_Pending(channel, type, data, self._clock.now(), belongs, done))
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush(), name="redis-streams")
        return cast("ChannelEvent | None", await done)

    async def read(self, channel: str, after: int | None, epoch: UUID | None) -> Replay:
        """What followed a position, under the rules of ``channels.read``; all that is kept, without a limit.

        A position of another numbering is refused, and goes on before the first event of this one if that is still
        kept: an answer that was interrupted by a loss of Redis is told again from there.

        Raises Overloaded("STREAMS_UNAVAILABLE") while Redis is away.
        """
        asked = -1 if after is None else after
        found = await self._ask(lambda: self._redis.eval(_READ, 2, *self._keys(channel), str(asked)))
        if not found:
            return Replay(after == 0 and epoch is None, [], 0, None, 0)
        held, head = UUID(found[0].decode()), int(found[1])
        whole = found[3] == head
        if after is None:
            return Replay(False, [], head, held, head)
        if not (epoch == held or (epoch is None and after == 0)):
            return Replay(False, [], head, held, 0 if whole else head)
        if after > head:
            return Replay(False, [], head, held, head)
        events = [_event(channel, held, int(key.partition(b"-")[0]), fields[1]) for key, fields in found[2]]
        if len(events) != head - after:  # what follows the position was trimmed, or the stream alone was forgotten
            return Replay(False, [], head, held, head)
        return Replay(True, events, head, held, after)

    async def heads(self, channels: Sequence[str]) -> dict[str, tuple[int, UUID]]:
        """Where each channel stands, (head, epoch); those that Redis does not know are absent. One round trip.

        Raises Overloaded("STREAMS_UNAVAILABLE") while Redis is away.
        """

        async def ask() -> list[Any]:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for channel in channels:
                    pipeline.hmget(self._keys(channel)[1], ["head", "epoch"])
                return await pipeline.execute()

        found = await self._ask(ask)
        return {
            channel: (int(head), UUID(epoch.decode()))
            for channel, (head, epoch) in zip(channels, found, strict=True)
            if head is not None and epoch is not None
        }

    async def close(self) -> None:
        """Send what waits and close the connections."""
        if self._flushing is not None:
            await asyncio.wait([self._flushing])
        await self._redis.aclose()

    def _keys(self, channel: str) -> tuple[str, str]:
        stream = f"{self._prefix}st:{channel}"
        return stream, f"{stream}:head"

    async def _ask(self, ask: Any) -> Any:
        """Ask, unless somebody has just found that nobody answers: what waits for this holds a turn of the hub."""
        if asyncio.get_running_loop().time() < self._away_until:
            raise Overloaded("STREAMS_UNAVAILABLE", retry_after_s=1.0)
        try:
            async with asyncio.timeout(CALL_S):
                return await ask()
        except UNREACHABLE as failed:
            self._note_away(failed)
            raise Overloaded("STREAMS_UNAVAILABLE", retry_after_s=1.0) from failed

    async def _flush(self) -> None:
        """Send what waits, in order, until nothing does. One batch is answered before the next one leaves."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            if (early := self._sent_at + GATHER_S - loop.time()) > 0:
                await asyncio.sleep(early)
            self._sent_at = loop.time()
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            try:
                answers = await self._send(batch)
            except UNREACHABLE as failed:
                self._note_away(failed)
                self.lost += len(batch)
                answers = [None] * len(batch)
            for one, answer in zip(batch, answers, strict=True):
                if not one.done.done():  # its writer may have gone away
                    one.done.set_result(_appended(one, answer))

    async def _send(self, batch: Sequence[_Pending]) -> list[Any]:
        if asyncio.get_running_loop().time() < self._away_until:
            self.lost += len(batch)
            return [None] * len(batch)
        calls = [self._call(one) for one in batch]
        answers = await self._execute(calls)
        unknown = [number for number, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:  # the server is new, or forgot its scripts; none of these was carried out
            async with asyncio.timeout(CALL_S):
                await self._redis.script_load(_APPEND)
            again = await self._execute([calls[number] for number in unknown])
            for number, answer in zip(unknown, again, strict=True):
                answers[number] = answer
        for answer in answers:
            if isinstance(answer, ResponseError):
                log.warning("Redis refused an event: %s", answer)
        return answers

    def _call(self, one: _Pending) -> tuple[object, ...]:
        content = [one.type, one.data, one.at]
        body = orjson.dumps(content, option=orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC)[1:]
        published = f"{self._prefix}ch:{one.channel}"
        return (*self._keys(one.channel), str(uuid4()), one.belongs, body, self._kept, self._kept_s, published)

    async def _execute(self, calls: Sequence[tuple[object, ...]]) -> list[Any]:
        async with asyncio.timeout(CALL_S), self._redis.pipeline(transaction=False) as pipeline:
            for arguments in calls:
                pipeline.evalsha(_APPEND_SHA, 2, *cast("tuple[str, ...]", arguments))
            return await pipeline.execute(raise_on_error=False)

    def _note_away(self, failed: BaseException) -> None:
        now = asyncio.get_running_loop().time()
        if self._away_until < now:
            log.warning("ephemeral channels stand still while Redis is away: %s", failed)
        self._away_until = now + AWAY_S


def _appended(one: _Pending, answer: object) -> ChannelEvent | None:
    if not isinstance(answer, list):
        return None
    offset, epoch = answer
    return ChannelEvent(one.channel, int(offset), UUID(epoch.decode()), one.type, dict(one.data), one.at)


def _event(channel: str, epoch: UUID, offset: int, body: bytes) -> ChannelEvent:
    kind, data, at = orjson.loads(b"[" + body)
    return ChannelEvent(channel, offset, epoch, kind, data, datetime.fromisoformat(at).astimezone(UTC))
