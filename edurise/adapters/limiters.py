"""Rate limits by the ``limits`` library: in the process, and in Redis with the process as its stand-in."""

from __future__ import annotations

from typing import Any

from limits import RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter as AsyncFixedWindow
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError

from edurise.adapters.tls import share_tls
from edurise.errors import Limited
from edurise.ports import Allowance, Clock

_MINUTE = 60


class ProcessLimiter:
    """Fixed windows of a minute in this process."""

    def __init__(self, per_minute: int, clock: Clock) -> None:
        self._item = RateLimitItemPerMinute(max(1, per_minute))
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._clock = clock

    def hit(self, *keys: str) -> Allowance:
        """Count one call. Raises Limited."""
        allowed = self._limiter.hit(self._item, *keys)
        stats = self._limiter.get_window_stats(self._item, *keys)
        return _allowance(allowed, self._item.amount, stats.remaining, stats.reset_time, self._clock)


class RedisLimiter:
    """Fixed windows of a minute over all processes. While Redis is away each process counts alone, at half the rate."""

    def __init__(self, url: str, prefix: str, per_minute: int, clock: Clock) -> None:
        self._item = RateLimitItemPerMinute(per_minute)
        self._pool = ConnectionPool.from_url(url)
        share_tls(self._pool)
        options: dict[str, Any] = {
            "connection_pool": self._pool
        }  # the pool knows the address; the library types its options too narrowly
        storage = RedisStorage("async+redis://", implementation="redispy", key_prefix=f"{prefix}limit", **options)
        self._limiter = AsyncFixedWindow(storage)
        self._alone = ProcessLimiter(per_minute // 2, clock)
        self._clock = clock

    async def hit(self, name: str, key: str) -> Allowance:
        try:
            allowed = await self._limiter.hit(self._item, name, key)
            stats = await self._limiter.get_window_stats(self._item, name, key)
        except (RedisError, OSError):
            return self._alone.hit(name, key)
        return _allowance(allowed, self._item.amount, stats.remaining, stats.reset_time, self._clock)

    async def close(self) -> None:
        await self._pool.aclose()


def _allowance(allowed: bool, limit: int, remaining: int, reset_at: float, clock: Clock) -> Allowance:
    reset_s = round(min(_MINUTE, max(0.0, reset_at - clock.now().timestamp())))
    if not allowed:
        raise Limited(retry_after_s=max(1, reset_s), limit=limit)
    return Allowance(limit, max(0, remaining), reset_s)
