"""Sealing stored secrets anew, with the newest key."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy.orm import Session

from edurise.identity import client_secrets, factors
from edurise.sealing import Vault

if TYPE_CHECKING:
    from edurise.container import Container

Reseal = Callable[[Session, Vault, UUID | None, int], tuple[UUID | None, int]]
"""Seals the next so many after an id; returns the last one seen, None at the end, and how many had another key."""
BATCH = 500
KEPT: tuple[Reseal, ...] = (factors.reseal, client_secrets.reseal)
"""What the vault keeps for long. Sign-ins under way and addresses in events are gone within days, and need no other
key."""


async def everything(c: Container) -> int:
    """Reseal second factors and client secrets in small transactions; returns how many were sealed with another key.

    Raises SealBroken for what no key of the settings opens; what came before it is resealed by then.
    """
    return sum([await _all_of(c, one) for one in KEPT])


async def _all_of(c: Container, reseal: Reseal) -> int:
    resealed = 0
    after: UUID | None = None
    while True:
        last: UUID | None
        count: int
        last, count = await c.db.system(reseal, c.vault, after, BATCH)
        resealed, after = resealed + count, last
        if last is None:
            return resealed
