"""Keeps a process's knowledge of revoked sessions and of signing keys fresh: read at the start, every second, and when
the bell rings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from edurise.db import Database
from edurise.identity import keys, sessions
from edurise.identity.tokens import Tokens
from edurise.ports import Bells

BELL = "revocations"
EVERY_S = 1.0
LOG = structlog.get_logger("edurise.identity")


async def read_revocations(db: Database, tokens: Tokens, secret: str) -> None:
    """Take in what is new: revoked sessions, and keys that were made or retired."""
    revoked, state = await db.system(_news, tokens.revoked_up_to)
    tokens.revoke(revoked)
    if state != tokens.ring.state:
        tokens.use(await db.system(keys.load, secret))


def _news(session: Session, after: int) -> tuple[list[tuple[int, UUID, datetime]], str]:
    return sessions.revocations(session, after), keys.state(session)


async def watch_revocations(db: Database, tokens: Tokens, secret: str, bells: Bells, sweep: Callable[[], None]) -> None:
    """Run until cancelled; ``sweep`` closes what a revoked session still holds open.

    While the database is away the process goes on with what it knows.
    """
    while True:
        await bells.wait(BELL, EVERY_S)
        try:
            await read_revocations(db, tokens, secret)
            sweep()
        except Exception:  # the watch outlives every fault of the database
            LOG.exception("revocations could not be read")
