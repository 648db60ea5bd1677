"""Emptying the cache that stands before the server, by the method PURGE, as Varnish and Fastly know it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

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
    """Sends PURGE for each URL; ``token`` goes along as a bearer token. What was not cached counts as forgotten.

    ``timeout_s`` is for one answer. Redirects are not followed: the token is for this cache alone.
    """

    def __init__(
        self,
        base_url: str,
        token: str | None,
        *,
        timeout_s: float = _TIMEOUT_S,
        breaker: CircuitBreaker | None = None,
        budget: RetryBudget | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._base = base_url.rstrip("/")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # No proxy of the environment: settings come from config.py.
        self._client = httpx.AsyncClient(timeout=timeout_s, headers=headers, trust_env=False)
        self._timeout_s = timeout_s
        self._breaker = breaker or CircuitBreaker("cdn")
        self._budget = budget or RetryBudget()
        self._sleep = sleep

    async def purge(self, urls: Sequence[str]) -> None:
        """Paths are taken below the base URL; a URL beside it raises ValueError, for the token is not for others.

        Every one is tried. Raises Upstream("CDN_UNAVAILABLE") if one of them was not forgotten.
        """
        wanted = [self._under_base(url) for url in urls]
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(url: str) -> None:
            async with turns:
                await self._forget(url)

        for outcome in await asyncio.gather(*(one(url) for url in wanted), return_exceptions=True):
            if isinstance(outcome, httpx.HTTPError | _Refused | CircuitOpenError | TimeoutError):
                raise Upstream("CDN_UNAVAILABLE") from outcome
            if isinstance(outcome, BaseException):
                raise outcome

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _under_base(self, url: str) -> str:
        whole = f"{self._base}{url}" if url.startswith("/") else url
        if not whole.startswith(f"{self._base}/"):
            raise ValueError(f"{url!r} is not below the cache's own URL")
        return whole

    async def _forget(self, url: str) -> None:
        async def attempt() -> None:
            answer = await self._client.request("PURGE", url)
            if answer.status_code not in _GONE:
                raise _Refused(answer.status_code)

        await call(
            attempt,
            timeout_s=self._timeout_s,
            attempts=3,
            breaker=self._breaker,
            budget=self._budget,
            retry_on=lambda failure: isinstance(failure, httpx.HTTPError) or _is_fault(failure),
            sleep=self._sleep,
        )


def _is_fault(failure: Exception) -> bool:
    return isinstance(failure, _Refused) and (failure.status >= 500 or failure.status == 429)
