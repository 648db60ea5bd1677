"""Web processes inside the test process: the one that all tests of a run share, and others on the same database."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tornado.ioloop import IOLoop

from edurise.adapters.clock import SetClock
from edurise.adapters.provision import DatabaseUrls
from edurise.config import Settings
from edurise.container import build
from edurise.db import Urls
from tests.harness.machine import forget_keys, redis_prefix, require
from tests.harness.world import World


@contextlib.contextmanager
def running(io_loop: IOLoop, database: DatabaseUrls, settings: Settings) -> Iterator[World]:
    """A World whose clock stands a second in the future, until the end of the block."""
    redis_url = require("redis")
    clock = SetClock(datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1))

    async def start() -> World:
        found = World(build(settings, Urls(database.application, database.system), redis_url, clock), clock)
        await found.start()
        return found

    world: World = io_loop.run_sync(start)
    yield world
    io_loop.run_sync(world.stop)
    forget_keys(redis_prefix())


@contextlib.asynccontextmanager
async def another(world: World, database: DatabaseUrls, **changes: Any) -> AsyncIterator[World]:
    """A World like ``world`` whose settings differ by ``changes``; it shares the clock and the database."""
    settings = replace(world.c.settings, **changes)
    urls = Urls(database.application, database.system)
    found = World(build(settings, urls, require("redis"), world.clock), world.clock)
    await found.start()
    try:
        yield found
    finally:
        await found.stop()
