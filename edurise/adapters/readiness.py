"""Whether this process can serve: its schema is there, or a newer one, and database and Redis answer.

Migrations are such that the version before still runs on them, so that an upgrade needs no outage.
"""

from __future__ import annotations

import asyncio

from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.orm import Session

from edurise.adapters.migrations import head, known
from edurise.adapters.tls import share_tls
from edurise.db import Database
from edurise.errors import DomainError, Overloaded

_PATIENCE_S = 2.0


class Readiness:
    """Asked by load balancers every few seconds."""

    def __init__(self, db: Database, redis_url: str) -> None:
        self._db = db
        self._redis = Redis.from_url(redis_url, socket_timeout=_PATIENCE_S, socket_connect_timeout=_PATIENCE_S)
        share_tls(self._redis.connection_pool)
        self._head = head()
        self._older = known() - {self._head}

    async def report(self) -> dict[str, str]:
        """``{database, redis, revision}``; raises Overloaded (NOT_READY) with what is missing."""
        try:
            revision = await asyncio.wait_for(self._db.system(_revision), _PATIENCE_S)
        except (DomainError, TimeoutError):
            raise Overloaded("NOT_READY", missing="database") from None
        if revision in self._older:
            raise Overloaded("NOT_READY", missing=f"migration {self._head}")
        try:
            await self._redis.ping()
        except (RedisError, OSError, TimeoutError):
            raise Overloaded("NOT_READY", missing="redis") from None
        return {"database": "ok", "redis": "ok", "revision": revision}

    async def close(self) -> None:
        await self._redis.aclose()


def _revision(session: Session) -> str:
    found = session.scalar(text("SELECT version_num FROM alembic_version"))
    return str(found)
