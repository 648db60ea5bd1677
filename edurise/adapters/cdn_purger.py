"""Emptying the cache that stands before the server, by the method PURGE, as Varnish and Fastly know it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import httpx

from edurise.adapters.resilience import CircuitBreaker, CircuitOpenError, RetryBudget, call
from edurise.errors import Upstream

_TIMEOUT_S = 5.0
_AT_ONCE = 4
_GONE = (200, 202, 204, 404)


class NoPurger:
    """Where nothing stands before the server, nothing is to be emptied."""

    async def purge(self, urls: Sequence[str]) -> None:
        """Does nothing."""

    async def close(self) -> None:
        """Nothing is open."""


class _Refused(Exception):
    """The cache answered something else than that it forgot."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(f"PURGE was answered {status}")


class CdnPurger:
    """Sends PURGE for each URL; ``token`` goes along as a bearer token. What was not cached counts as forgotten."""

    def __init__(self, base_url: str, token: str | None) -> None:
        self._base = base_url.rstrip("/")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.AsyncClient(timeout=_TIMEOUT_S, headers=headers)
        self._breaker = CircuitBreaker("cdn")
        self._budget = RetryBudget()

    async def purge(self, urls: Sequence[str]) -> None:
        """Paths are taken below the base URL. Raises Upstream("CDN_UNAVAILABLE") if one of them was not forgotten."""
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(url: str) -> None:
            async with turns:
                await self._forget(url if "://" in url else f"{self._base}{url}")

        for outcome in await asyncio.gather(*(one(url) for url in urls), return_exceptions=True):
            if isinstance(outcome, httpx.HTTPError | _Refused | CircuitOpenError | TimeoutError):
                raise Upstream("CDN_UNAVAILABLE") from outcome
            if isinstance(outcome, BaseException):
                raise outcome

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _forget(self, url: str) -> None:
        async def attempt() -> None:
            answer = await self._client.request("PURGE", url)
            if answer.status_code not in _GONE:
                raise _Refused(answer.status_code)

        await call(
            attempt,
            timeout_s=_TIMEOUT_S,
            attempts=3,
            breaker=self._breaker,
            budget=self._budget,
            retry_on=lambda failure: isinstance(failure, httpx.HTTPError) or _is_fault(failure),
        )


def _is_fault(failure: Exception) -> bool:
    return isinstance(failure, _Refused) and (failure.status >= 500 or failure.status == 429)
