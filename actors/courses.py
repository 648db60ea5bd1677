"""Periodic work on courses."""

from __future__ import annotations

from actors.schedule import job
from edurise.container import Container
from edurise.courses import service


@job(every_s=1)
async def fold_counters(c: Container) -> None:
    """Hot counters, into the courses that they count for."""
    await c.db.system(service.fold_counters)
