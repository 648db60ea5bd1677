"""Dead deliveries, for ``python run.py deadletters list|show|replay``. They are rows, so looking never destroys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from edurise import deliveries
from edurise.errors import NotFound

if TYPE_CHECKING:
    from edurise.container import Container


async def listed(c: Container, limit: int = 100) -> list[dict[str, Any]]:
    """The latest dead deliveries: event_id, actor, topic, tenant_id, attempts, dead_at, last_error."""
    found: list[dict[str, Any]] = await c.db.system(deliveries.dead, limit)
    return found


async def show(c: Container, event_id: UUID) -> list[dict[str, Any]]:
    """Every delivery of an event, dead or not, with the event's time and payload. Raises NotFound."""
    found: list[dict[str, Any]] = await c.db.system(deliveries.show, event_id)
    if not found:
        raise NotFound
    return found


async def replay(c: Container, event_id: UUID | None = None, actor: str | None = None) -> int:
    """Make dead deliveries due again with all their attempts; returns how many. Without arguments: all of them."""
    count: int = await c.db.system(deliveries.replay, event_id, actor)
    return count
