"""Keeps a process's knowledge of revoked sessions fresh: read at the start, every second, and when the bell rings."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from edurise.db import Database
from edurise.identity import sessions
from edurise.identity.tokens import Tokens
from edurise.ports import Bells

BELL = "revocations"
EVERY_S = 1.0
LOG = structlog.get_logger("edurise.identity")


async def read_revocations(db: Database, tokens: Tokens) -> None:
    """Take in what is new."""
    tokens.revoke(await db.system(sessions.revocations, tokens.revoked_up_to))


async def watch_revocations(db: Database, tokens: Tokens, bells: Bells, sweep: Callable[[], None]) -> None:
    """Run until cancelled; ``sweep`` closes what a revoked session still holds open.

    While the database is away the process goes on with what it knows.
    """
    while True:
        await bells.wait(BELL, EVERY_S)
        try:
            await read_revocations(db, tokens)
            sweep()
        except Exception:  # the watch outlives every fault of the database
            LOG.exception("revocations could not be read")
