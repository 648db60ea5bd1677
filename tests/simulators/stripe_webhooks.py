"""How the Stripe simulator sends webhooks: signed, and as badly as the plan says."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import time
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from tornado.httpclient import AsyncHTTPClient

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0
ANSWER_WITHIN_S = 5.0


@dataclass
class Plan:
    """What goes wrong from now on. Numbers of requests or events count down to zero as they are used up."""

    repeat: int = 1
    """Each webhook is sent this often, one after the other, whatever the answers."""
    duplicate: int = 1
    """Each sending is this many copies at the same time."""
    hold: bool = False
    """Webhooks wait for ``release``."""
    drop: int = 0
    """The next events are never sent."""
    delay_s: float = 0.0
    """Answers of the API come this late."""
    hang: int = 0
    """The next requests are carried out and never answered."""
    fail: int = 0
    """The next requests are answered with ``fail_status`` and not carried out."""
    fail_status: int = 500
    fail_after: int = 0
    """The next requests are carried out, then answered with 500."""

    def take(self, name: str) -> bool:
        """Use up one of a number that counts down; False if none is left."""
        left = getattr(self, name)
        if left > 0:
            setattr(self, name, left - 1)
        return bool(left > 0)


def sign(body: bytes, secret: str, at: int | None = None) -> str:
    """The header ``Stripe-Signature`` (https://docs.stripe.com/webhooks#verify-manually); ``at`` in s since 1970."""
    stamp = int(time.time()) if at is None else at
    seal = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={seal}"


@dataclass
class Courier:
    """Sends events until each was answered with 2xx. One event loop."""

    url: str | None
    secret: str
    plan: Plan
    events: list[dict[str, Any]] = field(default_factory=list)
    held: list[dict[str, Any]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _closing: asyncio.Event = field(default_factory=asyncio.Event)

    def emit(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        self.counts["events"] += 1
        if self.plan.take("drop"):
            self.counts["dropped"] += 1
        elif self.plan.hold:
            self.held.append(event)
        else:
            self._spawn(self._send([event]))

    def release(self, order: str = "reverse") -> int:
        """Send what was held, one after the other, and hold no more; returns how many there were."""
        waiting, self.held = self.held, []
        self.plan.hold = False
        self._spawn(self._send(waiting[::-1] if order == "reverse" else waiting))
        return len(waiting)

    def resend(self, event_id: str | None = None) -> int:
        """Send every event (or one) again, dropped ones too; returns how many."""
        again = [event for event in self.events if event_id in (None, event["id"])]
        self._spawn(self._send(again))
        return len(again)

    def pending(self) -> int:
        return len(self._tasks)

    async def idle(self) -> None:
        """Return when everything that is not held has been answered with 2xx."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Let the sendings under way end, for a moment; nothing is tried again."""
        self._closing.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, events: Sequence[dict[str, Any]]) -> None:
        if self.url is None:
            return
        for event in events:
            body = json.dumps(event, indent=2).encode()
            for _ in range(self.plan.repeat):
                await asyncio.gather(*(self._deliver(self.url, body) for _ in range(self.plan.duplicate)))

    async def _deliver(self, url: str, body: bytes) -> None:
        client = AsyncHTTPClient(force_instance=True)
        pause_s = FIRST_PAUSE_S
        try:
            while not self._closing.is_set() and not await self._accepted(client, url, body):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), pause_s)
                    return
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        finally:
            client.close()

    async def _accepted(self, client: AsyncHTTPClient, url: str, body: bytes) -> bool:
        self.counts["attempts"] += 1
        headers = {"Content-Type": "application/json", "Stripe-Signature": sign(body, self.secret)}
        try:
            answer = await client.fetch(
                url, method="POST", body=body, headers=headers, request_timeout=ANSWER_WITHIN_S, raise_error=False
            )
        except OSError:
            self.counts["unreachable"] += 1
            return False
        self.counts[f"answer_{answer.code}"] += 1
        accepted = 200 <= answer.code < 300
        self.counts["delivered"] += accepted
        return accepted
