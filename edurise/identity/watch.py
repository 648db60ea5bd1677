"""Keeps a process's knowledge of revoked sessions fresh: read at the start, every second, and when the bell rings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from edurise.identity import sessions
from edurise.ports import Bells

if TYPE_CHECKING:
    from edurise.container import Container

BELL = "revocations"
EVERY_S = 1.0
LOG = structlog.get_logger("edurise.identity")


async def read_revocations(c: Container) -> None:
    """Take in what is new."""
    c.tokens.revoke(await c.db.system(sessions.revocations, c.tokens.revoked_up_to))


async def watch_revocations(c: Container, bells: Bells, sweep: Callable[[], None]) -> None:
    """Run until cancelled; ``sweep`` closes what a revoked session still holds open. Without the database it goes on with what it knows."""
    while True:
        await bells.wait(BELL, EVERY_S)
        try:
            await read_revocations(c)
            sweep()
        except Exception:  # the watch outlives every fault of the database
            LOG.exception("revocations could not be read")
