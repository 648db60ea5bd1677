"""What every call to an outside service goes through: a time-out, a circuit breaker and a budget for retries.

The breaker is the one of Nygard, *Release It!* (2nd ed., ch. 5). The budget is a token bucket, as in the
"Addressing Cascading Failures" chapter of Google's *Site Reliability Engineering*: when everything fails, retries
must not multiply the load.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

T = TypeVar("T")


class CircuitOpenError(Exception):
    """The service failed a moment ago and is not asked again before ``retry_after_s`` seconds have passed."""

    def __init__(self, name: str, retry_after_s: float) -> None:
        self.name = name
        self.retry_after_s = retry_after_s
        super().__init__(f"the circuit to {name} is open for another {retry_after_s:.1f} s")


class CircuitBreaker:
    """Stops calls to a service that keeps failing, and lets one at a time through to see whether it is back.

    ``failures`` in a row open the circuit for ``open_s`` seconds; then a single call (the probe) is admitted, and
    its outcome closes the circuit or opens it anew. ``now`` is monotonic, in seconds. Belongs to one event loop;
    not for threads.
    """

    def __init__(
        self, name: str, *, failures: int = 5, open_s: float = 20.0, now: Callable[[], float] = time.monotonic
    ) -> None:
        if failures < 1:
            raise ValueError("failures must be at least 1")
        self.name = name
        self._limit = failures
        self._open_s = open_s
        self._now = now
        self._failures = 0
        self._opened_at: float | None = None
        self._probing = False
        # Counts changes of state. The outcome of a call that was admitted before the last change says nothing about
        # the state after it.
        self._generation = 0

    @property
    def state(self) -> Literal["closed", "open", "half_open"]:
        if self._opened_at is None:
            return "closed"
        return "open" if self._remaining_s() > 0 else "half_open"

    def admit(self) -> int:
        """Return a permit, to be handed back with the outcome; raises CircuitOpenError."""
        if self._opened_at is not None:
            if self._remaining_s() > 0 or self._probing:
                raise CircuitOpenError(self.name, max(self._remaining_s(), 0.0))
            self._probing = True
            self._generation += 1
        return self._generation

    def succeeded(self, permit: int) -> None:
        """The service answered, whatever it said."""
        if permit == self._generation:
            self._failures = 0
            if self._opened_at is not None:
                self._change(None)

    def failed(self, permit: int) -> None:
        """The service did not answer, or failed."""
        if permit == self._generation:
            self._failures += 1
            if self._opened_at is not None or self._failures >= self._limit:
                self._change(self._now())

    def released(self, permit: int) -> None:
        """The caller went away before there was an outcome; the next call may probe."""
        if permit == self._generation:
            self._probing = False

    def _change(self, opened_at: float | None) -> None:
        self._opened_at = opened_at
        self._probing = False
        self._failures = 0
        self._generation += 1

    def _remaining_s(self) -> float:
        return 0.0 if self._opened_at is None else self._opened_at + self._open_s - self._now()


class RetryBudget:
    """A bucket of tokens; a retry takes one.

    Each first attempt adds ``ratio`` of a token, each second ``refill_per_s``, up to ``capacity``. So a lone
    failure is retried at once, and in an outage retries add no more than ``ratio`` to the load.
    """

    def __init__(
        self,
        *,
        capacity: float = 10.0,
        ratio: float = 0.1,
        refill_per_s: float = 0.1,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._capacity = capacity
        self._ratio = ratio
        self._refill_per_s = refill_per_s
        self._now = now
        self._tokens = capacity
        self._at = now()

    def deposit(self) -> None:
        """Count a first attempt."""
        self._add(self._ratio)

    def withdraw(self) -> bool:
        """Take a token for one retry; False if there is none."""
        self._add(0.0)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def _add(self, tokens: float) -> None:
        now = self._now()
        self._tokens = min(self._capacity, self._tokens + tokens + (now - self._at) * self._refill_per_s)
        self._at = now


async def call(
    attempt: Callable[[], Awaitable[T]],
    *,
    timeout_s: float,
    attempts: int,
    breaker: CircuitBreaker,
    budget: RetryBudget,
    retry_on: Callable[[Exception], bool],
    asked_pause_s: Callable[[Exception], float | None] = lambda _: None,
    backoff_s: float = 0.2,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    jitter: Callable[[], float] = random.random,
) -> T:
    """Return the answer of ``attempt``, which must be repeatable; at most ``attempts`` tries of ``timeout_s`` seconds.

    ``retry_on`` tells failures of the service, which count against the breaker and may be retried, from answers about
    this one request, which are raised at once. A time-out is always a failure. Between attempts it waits ``backoff_s``
    * 2^(n-1) seconds, of which the upper half is random, but no less than the failure asks for (``asked_pause_s``,
    None where it does not). Raises CircuitOpenError, or the last failure.
    """
    budget.deposit()
    number = 0
    while True:
        number += 1
        permit = breaker.admit()
        try:
            async with asyncio.timeout(timeout_s):
                answer = await attempt()
        except Exception as failure:
            if not isinstance(failure, TimeoutError) and not retry_on(failure):
                breaker.succeeded(permit)
                raise
            breaker.failed(permit)
            if number >= attempts or not budget.withdraw():
                raise
            asked_s = asked_pause_s(failure) or 0.0
        except BaseException:
            breaker.released(permit)
            raise
        else:
            breaker.succeeded(permit)
            return answer
        await sleep(max(asked_s, backoff_s * 2 ** (number - 1) * (0.5 + 0.5 * jitter())))
