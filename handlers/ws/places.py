"""The places of sockets: how many of an organization may be open, over all processes, by its plan.

A process holds places in advance, so a socket that opens asks nobody: it takes one of those that are held here. Where
none is left, one hop gets more for all that wait. A timer keeps the reservations and gives back what lies idle; those
of a process that died expire. A socket counts for the organization that its token acts in, whatever its query names.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from edurise.authz import actor_principal
from edurise.db import Database
from edurise.errors import DomainError
from edurise.tenants import places
from handlers.ws.peer import Peer

log = logging.getLogger(__name__)

RENEWED_TICKS = 10
"""Ticks of the hub between two renewals: ten seconds."""
SPARE = 20
"""Places beyond the open sockets that a process gets at a time, and keeps, where the plan has many left."""


class Block:
    """The places that this process holds of one organization."""

    __slots__ = ("full", "held", "id", "lock", "tenant_id", "unsure", "used", "waiting")

    def __init__(self, tenant_id: UUID) -> None:
        self.id = uuid7()
        self.tenant_id = tenant_id
        self.held = 0
        self.used = 0
        self.waiting = 0
        self.full = False
        """Whether the plan had no place left when it was last asked: until the next renewal nobody asks again."""
        self.unsure = False
        """Whether the database may hold more than ``held``, for it did not say what became of the last change."""
        self.lock = asyncio.Lock()
        """Held while the reservation is being changed."""


class Places:
    """Every socket of this process that has a place."""

    def __init__(self, db: Database, spawn: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self._db = db
        self._spawn = spawn
        self._blocks: dict[UUID, Block] = {}
        self._ticks = 0
        self._renewing = False

    def held(self, tenant_id: UUID) -> tuple[int, int]:
        """(places in use, places held) of an organization here."""
        block = self._blocks.get(tenant_id)
        return (block.used, block.held) if block is not None else (0, 0)

    async def take(self, peer: Peer, tenant_id: UUID) -> bool:
        """Give a socket a place; whether there was one. One that has closed meanwhile takes none.

        Raises NotFound for a closed organization, Overloaded.
        """
        block = self._blocks.get(tenant_id)
        if block is None:
            block = self._blocks[tenant_id] = Block(tenant_id)
        if block.used >= block.held and not await self._grown(block):
            return False
        if not peer.closed:
            block.used += 1
            peer.place = block
        return True

    @staticmethod
    def give(peer: Peer) -> None:
        """A socket has ended; its place is free. A repeat changes nothing."""
        block, peer.place = peer.place, None
        if block is not None:
            block.used -= 1

    def tick(self) -> None:
        """Each second: renew when it is time."""
        self._ticks += 1
        if self._ticks % RENEWED_TICKS == 0 and self._blocks and not self._renewing:
            self._renewing = True
            self._spawn(self._renew_soon())

    async def renew(self) -> None:
        """Let all reservations last, take those up again that have expired, and give back what lies idle.

        Raises a DomainError where the database is away; the places that are held stay in use meanwhile.
        """
        known = list(self._blocks.values())
        left: dict[UUID, int] = await self._db.system(places.prolong, [block.id for block in known])
        for block in known:
            try:
                await self._put_right(block, left.get(block.id))
            except DomainError as failed:
                log.warning("places of sockets of %s were not put right: %s", block.tenant_id, failed.code)
            if not (block.held or block.used or block.waiting or block.unsure):
                self._blocks.pop(block.tenant_id, None)

    async def close(self) -> None:
        """Give everything back; where the database is away the reservations expire."""
        held = [block.id for block in self._blocks.values() if block.held]
        self._blocks.clear()
        if not held:
            return
        try:
            await self._db.system(places.release, held)
        except DomainError as failed:
            log.warning("places of sockets were not given back, and expire: %s", failed.code)

    async def _grown(self, block: Block) -> bool:
        """Whether a place is free by now: all that wait ask one after the other, and the first asks for them all."""
        block.waiting += 1
        try:
            async with block.lock:
                if block.used >= block.held and not block.full:
                    wanted = block.used + block.waiting
                    block.held = await self._hold(block, wanted, SPARE)
                    block.full = block.held < wanted
                return block.used < block.held
        finally:
            block.waiting -= 1

    async def _put_right(self, block: Block, left: int | None) -> None:
        """``left`` is what the organization has left; None where the reservation has expired, or never was."""
        async with block.lock:
            block.full = False
            if left is None and block.held:
                block.held = await self._hold(block, block.used, 0)
                return
            # First, for who opens meanwhile must not take what is given back.
            kept = min(block.held, block.used + _idle(block, left or 0))
            is_less, block.held = kept < block.held, kept
            if is_less or block.unsure:
                await self._hold(block, kept, 0)

    async def _hold(self, block: Block, least: int, spare: int) -> int:
        block.unsure = True
        found: int = await self._db.run(actor_principal(block.tenant_id), places.hold, block.id, least, spare)
        block.unsure = False
        return found

    async def _renew_soon(self) -> None:
        try:
            await self.renew()
        except DomainError as failed:
            log.warning("places of sockets were not renewed: %s", failed.code)
        finally:
            self._renewing = False


def _idle(block: Block, left: int) -> int:
    """How many places may lie idle: none where no socket is open, or where others may soon need them."""
    return SPARE if block.used and left > SPARE else 0
