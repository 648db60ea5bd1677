"""A second web process inside the test process, with other settings, on the same database."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from edurise.adapters.provision import DatabaseUrls
from edurise.container import build
from edurise.db import Urls
from tests.harness.machine import require
from tests.harness.world import World


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
