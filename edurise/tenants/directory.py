"""Which organization a host name means: the label before the platform's own name, remembered for a while."""

from __future__ import annotations

import time
from typing import Protocol
from uuid import UUID

from edurise.db import Database
from edurise.tenants import queries

_REMEMBERED_S = 30.0
_MOST = 10_000


class Directory(Protocol):
    """Finds organizations by host."""

    async def of_host(self, host: str) -> UUID | None:
        """The organization of ``<subdomain>.<platform host>``, or None."""


class CachedDirectory:
    """Asks the database once for each subdomain and half a minute; unknown names are remembered too, in bounded
    number."""

    def __init__(self, db: Database, platform_host: str) -> None:
        self._db = db
        self._suffix = "." + platform_host if platform_host else ""
        self._known: dict[str, tuple[float, UUID | None]] = {}

    async def of_host(self, host: str) -> UUID | None:
        if not self._suffix or not host.endswith(self._suffix):
            return None
        label = host.removesuffix(self._suffix).lower()
        if not label or "." in label or len(label) > 63 or label == "www":
            return None
        found = self._known.get(label)
        if found is None or found[0] < time.monotonic():
            if len(self._known) >= _MOST:
                self._known.clear()
            found = (time.monotonic() + _REMEMBERED_S, await self._db.system(queries.by_subdomain, label))
            self._known[label] = found
        return found[1]
