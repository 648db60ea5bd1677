"""Moving the bytes of an organization's files to another store, while they are in use.

Each file is copied, its copy is verified, and one transaction switches it over; only then is the old object forsaken. A
run that is broken off at any point leaves every file in exactly one of the two stores, and the next one goes on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from edurise import audit, outbox
from edurise.authz import Principal, actor_principal
from edurise.files import keys, sweeping
from edurise.files.events import ObjectsForsaken
from edurise.files.flows import cleaning
from edurise.files.models import File
from edurise.files.ports import FileStore, ObjectMissing, StoreUnavailable
from edurise.files.reading import Reading
from edurise.tenants import service as tenants

if TYPE_CHECKING:
    from edurise.container import Container

AT_ONCE = 4
KEPT_S = 90.0
"""How long the old object stays after the switch: longer than a URL of a store opens (``serving.STORE_LINK_S``)."""
FAILURES_IN_A_ROW = 10
"""After so many files that a store failed at, it is not asked for more."""


@dataclass
class Moved:
    """How far a move has come. ``left``: files and uploads that stay where they are, by id, with the reason:
    ``arriving`` (the next run takes them), ``missing``, ``corrupt``, ``no_store``, or ``unavailable`` with the store's
    word for it."""

    files: int = 0
    moved_bytes: int = 0
    left: dict[UUID, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Switched:
    """Where the objects of one file were, and where they are now."""

    file_id: UUID
    store: str
    keys: tuple[str, str | None]
    target: str
    new_keys: tuple[str, str | None]


async def begin(c: Container, subdomain: str, target: str) -> UUID:
    """From now on new files of an organization go to ``target``; returns its id. Raises NotFound, StoreUnavailable."""
    await c.stores[target].check()
    tenant_id: UUID = await c.db.system(tenants.keep_files_in, subdomain, target)
    return tenant_id


async def move(
    c: Container,
    tenant_id: UUID,
    target: str,
    told: Callable[[Moved], None],
    waiting: Callable[[], None],
    kept_s: float = KEPT_S,
) -> Moved:
    """Move what is elsewhere to ``target``; safe to repeat after whatever end. ``told`` hears after each file, and
    ``waiting`` when only old objects are waited for.

    The old objects are forsaken ``kept_s`` after their switch, for whoever reads them or holds a URL of their store; if
    this is broken off before, the sweep of the store finds them. Raises StoreUnavailable where a store fails at one
    file after the other.
    """
    run = _Run(c, actor_principal(tenant_id), target, kept_s)
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(row: Mapping[str, Any]) -> None:
        async with turns:
            await run.take(row)
        told(run.moved)

    async for page in cleaning.pages(c, tenant_id=tenant_id):
        await asyncio.gather(*(one(row) for row in page if row["store"] != target))
        if run.failed is not None and run.failures >= FAILURES_IN_A_ROW:
            await run.forsake_all()
            raise run.failed
        await run.forsake_due()
    for upload_id in await c.db.system(sweeping.uploads_elsewhere, tenant_id, target):
        run.moved.left[upload_id] = "arriving"
    if run.moved.files:
        waiting()
    await run.forsake_all()
    return run.moved


class _Run:
    """One run of a move: what it did, and the old objects that are to be forsaken yet."""

    def __init__(self, c: Container, who: Principal, target: str, kept_s: float) -> None:
        self._c = c
        self._who = who
        self._target = target
        self._kept_s = kept_s
        self._old: deque[tuple[float, Switched]] = deque()
        self.moved = Moved()
        self.failures = 0
        self.failed: StoreUnavailable | None = None

    async def take(self, row: Mapping[str, Any]) -> None:
        """Move one file, or write down why not."""
        reason = "arriving" if "scanning" in (row["state"], row["state_before"]) else await self._moved(row)
        if reason is not None:
            self.moved.left[row["id"]] = reason

    async def _moved(self, row: Mapping[str, Any]) -> str | None:
        source = self._c.stores.get(row["store"])
        if source is None:
            return "no_store"
        if self.failures >= FAILURES_IN_A_ROW:
            return "unavailable"
        try:
            switched, size = await self._copied(row, source, self._c.stores[self._target])
        except ObjectMissing:
            return "missing"
        except StoreUnavailable as failed:
            self.failures, self.failed = self.failures + 1, failed
            return f"unavailable ({failed.reason})"
        self.failures = 0
        if switched is None:
            return "corrupt"
        if not await self._c.db.run(self._who, switch, switched):
            # It was erased, or moved by another run, meanwhile: nobody needs the copy.
            await self._c.db.run(self._who, forsake, self._target, _named(switched.new_keys))
            return None
        if switched.new_keys != switched.keys:
            await self._c.db.run(self._who, forsake, self._target, _named(switched.keys))
        self._old.append((asyncio.get_running_loop().time(), switched))
        self.moved.files += 1
        self.moved.moved_bytes += size
        return None

    async def _copied(
        self, row: Mapping[str, Any], source: FileStore, target: FileStore
    ) -> tuple[Switched | None, int]:
        """Copy the objects of a file; returns None for one that is not what it was."""
        # What lies under the key there may be about to be deleted, as the old object of an earlier move back.
        key = keys.of(uuid7()) if await cleaning.is_there(target, row["key"]) else row["key"]
        sha256, size = await _copy(source, row["key"], target, key)
        if (row["sha256"] is not None and sha256 != row["sha256"]) or await target.size(key) != size:
            await self._c.db.run(self._who, forsake, self._target, [key])
            return None, size
        small = None
        if row["thumbnail_key"] is not None:
            small = row["thumbnail_key"] if key == row["key"] else keys.beside(key, "thumb")
            await _copy(source, row["thumbnail_key"], target, small)
        old = (row["key"], row["thumbnail_key"])
        return Switched(row["id"], row["store"], old, self._target, (key, small)), size

    async def forsake_due(self) -> None:
        """Forsake the objects whose files were switched over long enough ago."""
        due: dict[str, list[str]] = {}
        now = asyncio.get_running_loop().time()
        while self._old and self._old[0][0] + self._kept_s <= now:
            one = self._old.popleft()[1]
            due.setdefault(one.store, []).extend(_named(one.keys))
        for store, gone in due.items():
            for at in range(0, len(gone), cleaning.BATCH):
                await self._c.db.run(self._who, forsake, store, gone[at : at + cleaning.BATCH])

    async def forsake_all(self) -> None:
        """Wait until the last of them is due, and forsake it."""
        while self._old:
            await self.forsake_due()
            if self._old:
                due_at = self._old[0][0] + self._kept_s
                await asyncio.sleep(max(0.0, due_at - asyncio.get_running_loop().time()))


def switch(session: Session, who: Principal, moved: Switched) -> bool:
    """From now on a file's bytes are read from its new store; False where they are no longer where they were copied
    from, or the file was erased."""
    file = session.get(File, moved.file_id, with_for_update=True)
    if file is None or file.state == "erased":
        return False
    if (file.store, (file.key, file.thumbnail_key)) != (moved.store, moved.keys):
        return False
    file.store = moved.target
    file.key, file.thumbnail_key = moved.new_keys
    audit.write(session, who, "file.store_changed", "file", file.id, before=moved.store, store=moved.target)
    return True


def forsake(session: Session, who: Principal, store: str, gone: list[str]) -> None:
    """Let objects be deleted that no row refers to any more."""
    outbox.record(session, who, ObjectsForsaken(store=store, keys=gone))


def _named(pair: tuple[str, str | None]) -> list[str]:
    return [key for key in pair if key is not None]


async def _copy(source: FileStore, key: str, target: FileStore, new_key: str) -> tuple[str, int]:
    """Copy an object; returns its SHA-256 and its size."""
    reading = Reading(source.read(key))
    try:
        await target.put(new_key, reading.chunks())
    finally:
        await reading.close()
    return reading.sha256, reading.size
