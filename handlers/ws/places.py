"""The places of one process: for which organization each open socket counts, and what is reserved for them.

Sockets that come together are let in by one statement. What closed is given back within a second.
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
from edurise.errors import DomainError, Overloaded
from edurise.tenants import places
from handlers.ws.peer import Peer

log = logging.getLogger(__name__)

RENEWED_TICKS = 20
"""Ticks of the hub between two renewals, of which a reservation outlives two that fail."""
COMES_BACK_S = 5.0


class _Organization:
    """The sockets that count for one organization. ``stored``: what the database holds for them."""

    __slots__ = ("asking", "hold_id", "members", "stored", "waiting")

    def __init__(self) -> None:
        self.hold_id: UUID = uuid7()
        self.members: set[Peer] = set()
        self.waiting: list[tuple[Peer, asyncio.Future[None]]] = []
        self.stored = 0
        self.asking = False

    @property
    def is_settled(self) -> bool:
        return not self.waiting and self.stored == len(self.members)


class Places:
    """Who is in, by organization."""

    def __init__(self, db: Database, spawn: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self._db = db
        self._spawn = spawn
        self._by_tenant: dict[UUID, _Organization] = {}
        self._of: dict[Peer, _Organization] = {}
        self._ticks = 0
        self._renewing = False

    async def enter(self, peer: Peer, tenant_id: UUID) -> None:
        """Wait until a socket has a place.

        Raises Overloaded (SOCKET_LIMIT_REACHED) where the plan leaves none, and what the database refuses with.
        """
        found = self._by_tenant.setdefault(tenant_id, _Organization())
        let_in: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        found.waiting.append((peer, let_in))
        self._store_soon(tenant_id, found)
        await let_in

    def leave(self, peer: Peer) -> None:
        """A socket has closed; does nothing for one that had no place."""
        found = self._of.pop(peer, None)
        if found is not None:
            found.members.discard(peer)

    def tick(self) -> None:
        """Each second: give back what closed, try again what could not be stored; and renew when it is time."""
        for tenant_id, found in list(self._by_tenant.items()):
            if not found.is_settled:
                self._store_soon(tenant_id, found)
        self._ticks += 1
        if self._ticks % RENEWED_TICKS == 0 and self._by_tenant and not self._renewing:
            self._renewing = True
            self._spawn(self._renew())

    async def flush(self) -> None:
        """Before the process ends, when its sockets are gone: give every place back."""
        for tenant_id, found in list(self._by_tenant.items()):
            if not found.asking:
                await self._store(tenant_id, found)

    def _store_soon(self, tenant_id: UUID, found: _Organization) -> None:
        if not found.asking:
            found.asking = True
            self._spawn(self._store(tenant_id, found))

    async def _store(self, tenant_id: UUID, found: _Organization) -> None:
        """Store how many are in, and let in as many of those who wait as there is room for, until nobody waits."""
        found.asking = True
        try:
            await self._store_once(tenant_id, found)
            while found.waiting:
                await self._store_once(tenant_id, found)
        finally:
            found.asking = False
            if not found.members and found.is_settled and self._by_tenant.get(tenant_id) is found:
                del self._by_tenant[tenant_id]

    async def _store_once(self, tenant_id: UUID, found: _Organization) -> None:
        waiting, found.waiting = found.waiting, []
        there = len(found.members)
        ask = (actor_principal(tenant_id), places.occupy, found.hold_id, there, len(waiting))
        try:
            granted = await self._db.run(*ask)
        except Exception as failed:
            for _, let_in in waiting:
                _refuse(let_in, failed)  # each socket ends as the failure says
            if not waiting and not isinstance(failed, DomainError):
                raise
            if not waiting:
                log.warning("%d places were not stored: %s", there, failed)
            return
        found.stored = there + granted
        for peer, let_in in waiting[:granted]:
            if not let_in.done():
                let_in.set_result(None)
            if not peer.closed:
                found.members.add(peer)
                self._of[peer] = found
        for _, let_in in waiting[granted:]:
            _refuse(let_in, Overloaded("SOCKET_LIMIT_REACHED", retry_after_s=COMES_BACK_S))

    async def _renew(self) -> None:
        """One statement for all. What expired meanwhile is stored anew: those sockets are there."""
        by_hold = {found.hold_id: found for found in self._by_tenant.values() if found.stored}
        try:
            for gone in await self._db.system(places.renew, list(by_hold)):
                by_hold[gone].stored = 0
        except DomainError as failed:
            log.warning("%d reservations of places were not renewed: %s", len(by_hold), failed.code)
        finally:
            self._renewing = False


def _refuse(let_in: asyncio.Future[None], refused: Exception) -> None:
    if not let_in.done():
        let_in.set_exception(refused)
