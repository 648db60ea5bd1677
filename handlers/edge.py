"""What a web process holds beside the container: the cache of public reads, its own limit and its observer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from edurise.adapters.limiters import ProcessLimiter
from handlers.caching import PublicCache
from handlers.observing import Observer


@dataclass(frozen=True)
class Edge:
    """One for each web process; nothing in it is needed by another."""

    cache: PublicCache
    public_limit: ProcessLimiter
    observer: Observer
    docs: bytes
    """The OpenAPI document, built once."""
    under_way: set[object] = field(default_factory=set)
    """The requests that are being answered."""

    async def finish_requests(self, seconds: float) -> None:
        """Wait until no request is under way, at most so long."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while self.under_way and loop.time() < until:  # noqa: ASYNC110 - once, at the end of the process's life
            await asyncio.sleep(0.02)
