"""What follows the arrival of a file, and what time does to files and uploads."""

from __future__ import annotations

from datetime import timedelta

import structlog

from actors.registry import actor
from actors.runtime import DeliveryHop
from actors.schedule import job
from edurise.authz import actor_principal
from edurise.container import Container
from edurise.errors import NotFound
from edurise.files import inspections, service, sweeping
from edurise.files.events import FileArrived, FileWithdrawn, ObjectsForsaken
from edurise.files.flows import cleaning, inspecting, resuming
from edurise.files.keeping import INSPECT_AGAIN

LOG = structlog.get_logger("files")


@actor(on=FileArrived, fatal=(NotFound,))
async def inspect(c: Container, event: FileArrived, hop: DeliveryHop) -> None:
    """Hash, malware, pictures; a store or a scanner that is away makes it come again."""
    subject = await hop(inspections.subject, event.file_id)
    if subject is None:
        await hop.finish()
        return
    found = await inspecting.inspect(c, subject)
    await hop(inspections.conclude, subject, found, c.keeping, final=True)


@actor(on=ObjectsForsaken)
async def forsake(c: Container, event: ObjectsForsaken, hop: DeliveryHop) -> None:
    """Delete what no row refers to any more."""
    await cleaning.forsake(c, event.store, event.keys)
    await hop.finish()


@actor(on=FileWithdrawn)
async def purge(c: Container, event: FileWithdrawn, hop: DeliveryHop) -> None:
    """Caches forget what not everybody may open any more."""
    await c.purger.purge(event.paths)
    await hop.finish()


@job(every_s=60)
async def end_uploads(c: Container) -> None:
    """Give up what nobody continued, and finish what a process left between its last byte and its end."""
    async for found in cleaning.each(c, sweeping.expired_uploads):
        try:
            await cleaning.drop_upload(c, found)
        except Exception:
            LOG.exception("an upload could not be given up", upload_id=str(found["id"]))  # the next sweep tries again
    async for found in cleaning.each(c, sweeping.stuck_uploads):
        try:
            await resuming.complete(c, cleaning.owner(found), found["id"])
        except Exception:
            LOG.exception("an upload could not be finished", upload_id=str(found["id"]))  # until its time is over
    await c.db.system(c.keeping.quotas.release_expired)


@job(every_s=60)
async def inspect_again(c: Container) -> None:
    """Ask once more for inspections that were given up: the scanner was away for longer than a delivery is tried."""
    for found in await c.db.system(sweeping.due_inspections):
        who = actor_principal(found["tenant_id"])
        await c.db.run(who, inspections.ask_again, found["id"], INSPECT_AGAIN)


@job(every_s=3600)
async def empty_trash(c: Container) -> None:
    """Erase what has been in the trash for long, and forget old downloads."""
    async for found in cleaning.each(c, sweeping.old_trash, c.keeping.trash_for):
        try:
            await c.db.run(actor_principal(found["tenant_id"]), service.erase, found["id"], c.keeping)
        except Exception:
            LOG.exception("a file could not be erased", file_id=str(found["id"]))  # the next hour tries again
    kept = timedelta(days=c.settings.file_accesses_days)
    while await c.db.system(sweeping.forget_accesses, kept, 10_000) == 10_000:
        pass


@job(every_s=6 * 3600)
async def sweep_bytes(c: Container) -> None:
    """Bytes without rows, in every store."""
    for name in c.stores:
        objects, parts = await cleaning.sweep_bytes(c, name)
        if objects or parts:
            LOG.warning("swept a store", store=name, objects=objects, uploads=parts)


@job(every_s=24 * 3600)
async def sweep_rows(c: Container) -> None:
    """Rows without bytes, in every store."""
    for name in c.stores:
        await cleaning.sweep_rows(c, name)
