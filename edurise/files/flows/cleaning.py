"""Sweeping: what takes both a store and the database. Every step can be repeated, and none spans a transaction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import structlog

from edurise.authz import About, Principal, actor_principal
from edurise.files import sweeping, uploads
from edurise.files.ports import FileStore, ObjectMissing, StoreUnavailable

if TYPE_CHECKING:
    from edurise.container import Container

T = TypeVar("T")

LOG = structlog.get_logger("files")

YOUNG = timedelta(hours=24)
"""Objects without a row are left alone for so long: their row may be about to be written."""
BATCH = 500
_AT_ONCE = 8


def owner(found: Mapping[str, Any]) -> Principal:
    """An actor that acts on an upload in the place of the person whose it is."""
    return replace(actor_principal(found["tenant_id"]), user_id=found["user_id"])


async def drop_upload(c: Container, found: Mapping[str, Any]) -> None:
    """Give an upload up: its reservation, its row, and what the store holds of it. Raises StoreUnavailable."""
    about = About("upload", found["id"])
    await c.db.run(owner(found), uploads.drop, found["id"], c.keeping, about=about)
    if found["store_upload"] is not None:
        await c.stores[found["store"]].drop_parts(found["key"], found["store_upload"])


async def forsake(c: Container, name: str, keys: Sequence[str]) -> int:
    """Delete those objects of a store that no row refers to; returns how many. Raises StoreUnavailable."""
    kept = await c.db.system(sweeping.referred, name, keys)
    gone = [key for key in keys if key not in kept]
    if gone:
        await c.stores[name].delete(gone)
    return len(gone)


async def sweep_bytes(c: Container, name: str) -> tuple[int, int]:
    """Delete a store's objects that have had no row for long, and drop its uploads in parts that nobody continues.

    Returns how many of each. Raises StoreUnavailable.
    """
    store, before = c.stores[name], c.clock.now() - YOUNG
    objects = 0
    old = (one.key async for one in store.listing() if one.at < before)
    async for keys in batches(old, BATCH):
        objects += await forsake(c, name, keys)
    return objects, await _sweep_parts(c, name, store)


async def _sweep_parts(c: Container, name: str, store: FileStore) -> int:
    before = c.clock.now() - YOUNG
    dropped = 0
    async for found in batches((one async for one in store.unfinished() if one.since < before), BATCH):
        known = await c.db.system(sweeping.known_uploads, name, [one.upload for one in found])
        for one in found:
            if one.upload not in known:
                await store.drop_parts(one.key, one.upload)
                dropped += 1
    return dropped


async def sweep_rows(c: Container, name: str) -> list[UUID]:
    """Mark the files of a store whose bytes are not there; returns their ids.

    Raises StoreUnavailable where the store answers for none of a page; one object that cannot be looked at (sealed with
    a key that is gone) keeps none of the others unseen.
    """
    store, missing = c.stores[name], list[UUID]()
    turns = asyncio.Semaphore(_AT_ONCE)

    async def look(row: Mapping[str, Any]) -> StoreUnavailable | None:
        async with turns:
            try:
                if await is_there(store, row["key"]):
                    return None
            except StoreUnavailable as failed:
                LOG.warning("a file could not be looked at", file_id=str(row["id"]), store=name, reason=failed.reason)
                return failed
        who = actor_principal(row["tenant_id"])
        if await c.db.run(who, sweeping.bytes_are_gone, row["id"], name, row["key"]):
            missing.append(row["id"])
            LOG.error("the bytes of a file are gone", file_id=str(row["id"]), store=name)
        return None

    async for page in pages(c, store=name):
        failures = await asyncio.gather(*(look(row) for row in page))
        if len(page) > 1 and all(failures):
            raise StoreUnavailable(name, "nothing of a page could be looked at")
    return missing


async def each(
    c: Container, page: Callable[..., Sequence[dict[str, Any]]], *more: object
) -> AsyncIterator[dict[str, Any]]:
    """Every row that a query finds, a page at a time, by id: what stays as it is holds up nothing behind it."""
    after = UUID(int=0)
    while found := await c.db.system(page, after, *more):
        for one in found:
            yield one
        after = found[-1]["id"]


async def pages(
    c: Container, *, store: str | None = None, tenant_id: UUID | None = None
) -> AsyncIterator[Sequence[dict[str, Any]]]:
    """Every file that must have bytes, by id, a page at a time."""
    after: UUID | None = None
    while page := await c.db.system(sweeping.page_of_files, after, BATCH, store, tenant_id):
        yield page
        after = page[-1]["id"]


async def batches(source: AsyncIterator[T], size: int) -> AsyncIterator[list[T]]:
    """The items of a source, some at a time."""
    held: list[T] = []
    async for one in source:
        held.append(one)
        if len(held) >= size:
            yield held
            held = []
    if held:
        yield held


async def is_there(store: FileStore, key: str) -> bool:
    """Whether a store has an object. Raises StoreUnavailable."""
    try:
        await store.size(key)
    except ObjectMissing:
        return False
    return True
