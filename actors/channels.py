"""Periodic work on durable channels."""

from __future__ import annotations

from actors.schedule import job
from edurise import channels
from edurise.container import Container

KEPT_DAYS = 30
_BATCH = 5_000


@job(every_s=3600)
async def trim_channels(c: Container) -> None:
    """Events so old that no client resumes from them: it reloads instead, and is told so."""
    while await c.db.system(channels.trim, KEPT_DAYS, _BATCH) == _BATCH:
        pass
