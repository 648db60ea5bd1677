"""Google as the client sends it: an OAuth access token, asked about at the token-information endpoint, and the name
behind it at the user-information endpoint of OpenID Connect."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from edurise.adapters.guarded_http import guarded_client
from edurise.adapters.resilience import CircuitBreaker, CircuitOpenError, RetryBudget, call
from edurise.errors import Conflict, Invalid, Upstream
from edurise.identity.ports import Vouched

ISSUER = "https://accounts.google.com"
_TIMEOUT_S = 4.0


class GoogleAway(Exception):
    """Google did not answer as it should."""


class NoGoogle:
    """Where no client id is set, nobody signs in with Google."""

    is_offered = False

    async def who_is(self, access_token: str) -> Vouched:  # noqa: ARG002 - the port's signature
        """Raises Conflict (GOOGLE_NOT_OFFERED)."""
        raise Conflict("GOOGLE_NOT_OFFERED")

    async def close(self) -> None:
        """Nothing is open."""


class GoogleAccounts:
    """Takes a token only if it was made for ``client_id``, has not expired, and Google has verified the address."""

    is_offered = True

    def __init__(
        self,
        client_id: str,
        tokeninfo_url: str,
        userinfo_url: str,
        *,
        timeout_s: float = _TIMEOUT_S,
        breaker: CircuitBreaker | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client_id = client_id
        self._tokeninfo_url, self._userinfo_url = tokeninfo_url, userinfo_url
        self._client = guarded_client(private=True, timeout_s=timeout_s)  # whoever runs the platform chose the URLs
        self._timeout_s = timeout_s
        self._breaker = breaker or CircuitBreaker("google")
        self._budget = RetryBudget()
        self._sleep = sleep

    async def who_is(self, access_token: str) -> Vouched:
        """Raises Invalid (GOOGLE_REFUSED), Upstream (PROVIDER_UNAVAILABLE)."""
        # In the body: a token in an address would stand in every log on the way.
        told = await self._asked("POST", self._tokeninfo_url, data={"access_token": access_token})
        if told.get("aud") != self._client_id:
            raise Invalid("GOOGLE_REFUSED")
        if str(told.get("email_verified")).lower() != "true" or not _positive(told.get("expires_in")):
            raise Invalid("GOOGLE_REFUSED")
        subject, email = told.get("sub"), told.get("email")
        if not (isinstance(subject, str) and subject and isinstance(email, str) and "@" in email):
            raise Invalid("GOOGLE_REFUSED")
        bearer = {"Authorization": f"Bearer {access_token}"}
        named = await self._asked("GET", self._userinfo_url, headers=bearer)
        if named.get("sub") != subject:
            raise Invalid("GOOGLE_REFUSED")
        return Vouched(ISSUER, subject, email, _name(named, "given_name"), _name(named, "family_name"))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _asked(self, method: str, url: str, **more: Any) -> dict[str, Any]:
        async def attempt() -> httpx.Response:
            answer = await self._client.request(method, url, **more)
            if answer.status_code >= 500 or answer.status_code == 429:
                raise GoogleAway
            return answer

        try:
            answer = await call(
                attempt,
                timeout_s=self._timeout_s,
                attempts=2,
                breaker=self._breaker,
                budget=self._budget,
                retry_on=lambda failure: isinstance(failure, httpx.HTTPError | GoogleAway),
                sleep=self._sleep,
            )
        except (httpx.HTTPError, GoogleAway, CircuitOpenError, TimeoutError) as away:
            raise Upstream("PROVIDER_UNAVAILABLE") from away
        if answer.status_code != 200:
            raise Invalid("GOOGLE_REFUSED")
        try:
            told = answer.json()
        except ValueError as nonsense:
            raise Upstream("PROVIDER_UNAVAILABLE") from nonsense
        if not isinstance(told, dict):
            raise Upstream("PROVIDER_UNAVAILABLE")
        return told


def _positive(seconds: object) -> bool:
    try:
        return int(str(seconds)) > 0
    except ValueError:
        return False


def _name(told: dict[str, Any], key: str) -> str:
    value = told.get(key)
    plain = "".join(one for one in value if one.isprintable()).strip() if isinstance(value, str) else ""
    return plain[:100]
