"""Jobs of the kernel. A capability declares its own in ``actors/<capability>.py``."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from actors.schedule import job
from edurise import deliveries, partitions

if TYPE_CHECKING:
    from edurise.container import Container

LOG = structlog.get_logger("jobs")

MONTHS_AHEAD = 2
DONE_KEPT = timedelta(days=7)
OUTBOX_KEPT = timedelta(days=92)
"""How long events stay readable after their deliveries are done; months with open or dead deliveries stay longer."""
CHUNK = 10_000


@job(every_s=6 * 3600)
async def ensure_partitions(c: Container) -> None:
    """Make the partitions of the coming months, long before a row wants one."""
    made = await c.db.system(partitions.ensure, MONTHS_AHEAD)
    if made:
        LOG.info("partitions made", count=made)


@job(every_s=3600)
async def forget_deliveries(c: Container) -> None:
    """Delete deliveries seven days after they were done, in small transactions."""
    while await c.db.system(deliveries.forget_done, DONE_KEPT, CHUNK) == CHUNK:
        pass


@job(every_s=24 * 3600)
async def drop_outbox(c: Container) -> None:
    """Drop the months of the outbox that nobody needs."""
    dropped = await c.db.system(partitions.drop, "outbox", (c.clock.now() - OUTBOX_KEPT).date())
    if dropped:
        LOG.info("partitions dropped", names=dropped)
