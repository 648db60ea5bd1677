"""Argon2id (RFC 9106) in a pool of its own: in the database's pool, others would wait for seconds behind a burst of
log-ins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from edurise.adapters.affinity import AFFINITY
from edurise.errors import Overloaded

T = TypeVar("T")

_WAITING_PER_WORKER = 32


class Argon2Hasher:
    """``workers`` hashes at a time, each of ``memory_kib`` KiB; more than 32 waiting for each is Overloaded."""

    def __init__(self, *, memory_kib: int, time_cost: int, parallelism: int, workers: int) -> None:
        self._hasher = PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=parallelism)
        self._threads = ThreadPoolExecutor(workers, "argon2", initializer=AFFINITY.release)
        self._limit = workers * (_WAITING_PER_WORKER + 1)
        self._inside = 0
        self._decoy = self._hasher.hash("nobody has this password")

    async def hash(self, password: str) -> str:
        return await self._submit(self._hasher.hash, password)

    async def verify(self, encoded: str | None, password: str) -> bool:
        return await self._submit(self._matches, encoded, password)

    def is_outdated(self, encoded: str) -> bool:
        return self._hasher.check_needs_rehash(encoded)

    def close(self) -> None:
        self._threads.shutdown(wait=True)

    def _matches(self, encoded: str | None, password: str) -> bool:
        try:
            self._hasher.verify(encoded or self._decoy, password)
        except (VerificationError, InvalidHashError):
            return False
        return encoded is not None

    async def _submit(self, work: Callable[..., T], *args: str | None) -> T:
        if self._inside >= self._limit:
            raise Overloaded(retry_after_s=2.0)
        self._inside += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)
        finally:
            self._inside -= 1
