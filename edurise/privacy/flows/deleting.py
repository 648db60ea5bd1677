"""Deleting one's own account: asked for with the password, and undone by logging in within the grace."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from edurise.authz import Principal
from edurise.errors import Invalid
from edurise.identity import leaving, liveness

if TYPE_CHECKING:
    from edurise.container import Container


async def delete_account(c: Container, who: Principal, password: str) -> dict[str, datetime]:
    """Let the caller's account be erased when the grace is over, and end all their sessions; returns
    ``{erase_after}``. A repeat changes nothing.

    Somebody without a password has given their second factor instead: the permission demands it anew of all who have
    one. Who has neither sets a password first. Raises Invalid (PASSWORD_WRONG, after the same time for whatever was
    wrong), Conflict (LAST_ADMINISTRATOR, PLATFORM_ADMINISTRATOR).
    """
    await c.db.run(who, liveness.admitted)
    encoded, has_second_factor = await c.db.system(leaving.proofs, who)
    right = await c.hasher.verify(encoded, password)
    if not right and not (encoded is None and has_second_factor):
        raise Invalid("PASSWORD_WRONG")
    grace = timedelta(days=c.settings.deletion_grace_days)
    erase_after: datetime = await c.db.system(leaving.leave, who, encoded, grace, c.lifetimes)
    await c.announcer.ring("revocations")
    return {"erase_after": erase_after}
