"""A person's sessions: seen and ended."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from edurise.authz import Principal
from edurise.identity import devices, liveness

if TYPE_CHECKING:
    from edurise.container import Container


async def listing(c: Container, who: Principal) -> list[dict[str, Any]]:
    """The caller's live sessions, each with the name of its device."""
    await c.db.run(who, liveness.admitted)
    found: list[dict[str, Any]] = await c.db.system(devices.listing, who)
    return [one | {"device": c.devices.name_of(one["user_agent"])} for one in found]


async def end(c: Container, who: Principal, session_id: UUID) -> None:
    """End one of the caller's sessions. Raises NotFound."""
    await c.db.run(who, liveness.admitted)
    await c.db.system(devices.end, who, session_id, c.lifetimes)
    await c.announcer.ring("revocations")


async def end_all(c: Container, who: Principal, *, keep_current: bool) -> dict[str, int]:
    """End the caller's sessions; returns how many as ``{ended}``."""
    await c.db.run(who, liveness.admitted)
    ended: int = await c.db.system(partial(devices.end_all, keep_current=keep_current), who, c.lifetimes)
    await c.announcer.ring("revocations")
    return {"ended": ended}
