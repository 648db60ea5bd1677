"""Sealing stored secrets anew, with the newest key."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from edurise.identity import factors

if TYPE_CHECKING:
    from edurise.container import Container

BATCH = 500


async def everything(c: Container) -> int:
    """Reseal second factors in small transactions; returns how many were sealed with another key."""
    resealed = 0
    after: UUID | None = None
    while True:
        last: UUID | None
        count: int
        last, count = await c.db.system(factors.reseal, c.vault, after, BATCH)
        resealed, after = resealed + count, last
        if last is None:
            return resealed
