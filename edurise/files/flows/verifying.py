"""Verifying: every object is read, and compared with what the database says of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from edurise.files import sweeping
from edurise.files.flows import cleaning
from edurise.files.ports import FileStore, ObjectMissing, Stored, StoreUnavailable
from edurise.files.reading import Reading

if TYPE_CHECKING:
    from edurise.container import Container

AT_ONCE = 4


@dataclass(frozen=True)
class Fault:
    """What is wrong with a file. ``reason``: ``no_store`` (of this name), ``missing``, ``size``, ``sha256``,
    ``thumbnail``, or ``unreadable`` with the store's word for it."""

    file_id: UUID
    store: str
    key: str
    reason: str


@dataclass
class Verified:
    """How far a verification has come."""

    files: int = 0
    read_bytes: int = 0
    faults: list[Fault] = field(default_factory=list)


async def verify(c: Container, tenant_id: UUID | None, store: str | None, told: Callable[[Verified], None]) -> Verified:
    """Compare size and SHA-256 of every file, of one organization or one store if named; ``told`` hears after each.

    What fails already in the database (``failed``) is left out. A file that changes meanwhile is looked at again.
    """
    found = Verified()
    turns = asyncio.Semaphore(AT_ONCE)

    async def look(row: Mapping[str, Any]) -> None:
        async with turns:
            fault = await _settled(c, row, found)
        found.files += 1
        if fault is not None:
            found.faults.append(fault)
        told(found)

    async for page in cleaning.pages(c, store=store, tenant_id=tenant_id):
        async with asyncio.TaskGroup() as looks:
            for row in page:
                looks.create_task(look(row))
    return found


async def orphans(c: Container, name: str) -> AsyncIterator[Stored]:
    """The objects of a store that no row refers to, also those that the sweep does not touch yet for being young.

    Raises StoreUnavailable.
    """
    async for held in cleaning.batches(c.stores[name].listing(), cleaning.BATCH):
        referred = await c.db.system(sweeping.referred, name, [one.key for one in held])
        for one in held:
            if one.key not in referred:
                yield one


async def _settled(c: Container, row: Mapping[str, Any], found: Verified) -> Fault | None:
    """The fault of a file, if it still is one once the row is read again: it may have been erased, moved or remade."""
    while True:
        reason = await _reason(c, row, found)
        if reason is None:
            return None
        now = await c.db.system(sweeping.kept_file, row["id"])
        if now is None or now["state"] == "erased":
            return None
        if now == row:
            return Fault(row["id"], row["store"], row["key"], reason)
        row = now


async def _reason(c: Container, row: Mapping[str, Any], found: Verified) -> str | None:
    if "failed" in (row["state"], row["state_before"]):
        return None
    store = c.stores.get(row["store"])
    if store is None:
        return "no_store"
    try:
        return await _compared(store, row, found)
    except ObjectMissing:
        return "missing"
    except StoreUnavailable as failed:
        return f"unreadable ({failed.reason})"


async def _compared(store: FileStore, row: Mapping[str, Any], found: Verified) -> str | None:
    reading = Reading(store.read(row["key"]))
    try:
        await reading.to_the_end()
    finally:
        await reading.close()
        found.read_bytes += reading.size
    if reading.size != row["size_bytes"]:
        return "size"
    if row["sha256"] is not None and reading.sha256 != row["sha256"]:
        return "sha256"
    if row["thumbnail_key"] is None:
        return None
    try:
        size = await store.size(row["thumbnail_key"])
    except ObjectMissing:
        return "thumbnail"
    return None if size == row["thumbnail_bytes"] else "thumbnail"
