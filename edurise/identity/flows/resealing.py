"""Sealing stored secrets anew, with the newest key."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy.orm import Session

from edurise.identity import client_secrets, factors
from edurise.sealing import Renewal, Vault

if TYPE_CHECKING:
    from edurise.container import Container

Reseal = Callable[[Session, Vault, UUID | None, int], tuple[UUID | None, Renewal]]
"""Seals the next so many after an id; returns the last one seen, None at the end, and what became of them."""
BATCH = 500
KEPT: tuple[Reseal, ...] = (factors.reseal, client_secrets.reseal)
"""What the vault keeps for long. Sign-ins under way and addresses in events are gone within days, and need no other
key."""


async def everything(c: Container) -> Renewal:
    """Reseal second factors and client secrets in small transactions. What no key of the settings opens stays as it is
    and is named in the result."""
    whole = Renewal(c.vault)
    for reseal in KEPT:
        after: UUID | None = None
        while True:
            after, some = await c.db.system(reseal, c.vault, after, BATCH)
            whole.add(some)
            if after is None:
                break
    return whole
