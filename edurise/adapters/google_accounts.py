"""Google behind the port ``GoogleAccounts``: whose an OAuth 2 access token is, by its token-information and userinfo
endpoints (https://developers.google.com/identity/protocols/oauth2, https://openidconnect.googleapis.com).

A token says nothing of itself: one that was given to another application for the same person would be as good. So its
audience is asked for first. Tokens travel in bodies and headers, and are not logged.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Mapping
from typing import Any

import httpx
import orjson

from edurise.adapters.guarded_http import guarded_client
from edurise.adapters.people_elsewhere import names_of
from edurise.adapters.resilience import CircuitBreaker, CircuitOpenError, RetryBudget, call
from edurise.errors import Invalid, Upstream
from edurise.identity.ports import Vouched
from edurise.ports import Clock

_log = logging.getLogger(__name__)

ISSUER = "https://accounts.google.com"
TIMEOUT_S = 4.0


class _Fault(Exception):
    """Google failed, or answered what is no answer; the text is a word of ours."""


class GoogleOverHttp:
    """Asks the two endpoints, which the settings name, wherever they are."""

    def __init__(
        self, client_id: str, tokeninfo_url: str, userinfo_url: str, clock: Clock, *, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._client_id = client_id
        self._tokeninfo_url = tokeninfo_url
        self._userinfo_url = userinfo_url
        self._clock = clock
        self._timeout_s = timeout_s
        self._client = guarded_client(private=True, timeout_s=timeout_s)
        self._breaker = CircuitBreaker("google")
        self._budget = RetryBudget()

    async def vouch(self, access_token: str) -> Vouched:
        """Whose token it is. Raises Invalid (GOOGLE_REFUSED), Upstream (PROVIDER_UNAVAILABLE)."""
        if not access_token.isascii() or not access_token.isprintable() or " " in access_token:
            raise Invalid("GOOGLE_REFUSED")
        token = await self._ask("POST", self._tokeninfo_url, data={"access_token": access_token})
        subject = self._checked(token)
        person = await self._ask("GET", self._userinfo_url, headers={"Authorization": f"Bearer {access_token}"})
        if person.get("sub") != subject:
            raise self._refused("userinfo is of somebody else")
        first, last = names_of(person)
        return Vouched(ISSUER, subject, str(token["email"]), first, last)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _checked(self, token: Mapping[str, Any]) -> str:
        """The subject of a token that was given to us and is of a verified address. Raises Invalid.

        The endpoint writes every value as text.
        """
        for name in ("aud", "azp"):
            value = str(token.get(name, self._client_id if name == "azp" else ""))
            if not hmac.compare_digest(value.encode(), self._client_id.encode()):
                raise self._refused("the audience is another")
        if str(token.get("email_verified")).lower() != "true" or not isinstance(token.get("email"), str):
            raise self._refused("the address is not verified")
        expires = str(token.get("exp", ""))
        if not (expires.isascii() and expires.isdigit() and len(expires) < 16):
            raise self._refused("it does not say until when")
        if int(expires) <= self._clock.now().timestamp():
            raise self._refused("it has expired")
        subject = token.get("sub")
        if not isinstance(subject, str) or not 0 < len(subject) <= 255:
            raise self._refused("it is nobody's")
        return subject

    async def _ask(self, method: str, url: str, **sent: Any) -> Mapping[str, Any]:
        async def attempt() -> Mapping[str, Any] | None:
            answer = await self._client.request(method, url, **sent)
            if 400 <= answer.status_code < 500 and answer.status_code != 429:
                return None
            if answer.status_code != 200:
                raise _Fault(f"it answered {answer.status_code}")
            return _object(answer.content)

        try:
            found = await call(
                attempt,
                timeout_s=self._timeout_s,
                attempts=2,
                breaker=self._breaker,
                budget=self._budget,
                retry_on=lambda failure: isinstance(failure, httpx.HTTPError | _Fault),
            )
        except CircuitOpenError as refused:
            raise Upstream("PROVIDER_UNAVAILABLE", retry_after_s=refused.retry_after_s) from None
        except (TimeoutError, httpx.HTTPError, _Fault) as failed:
            _log.warning("google: %s", failed if isinstance(failed, _Fault) else type(failed).__name__)
            raise Upstream("PROVIDER_UNAVAILABLE") from None
        if found is None:
            raise self._refused("the token is not known")
        return found

    @staticmethod
    def _refused(reason: str) -> Invalid:
        _log.info("google: %s", reason)
        return Invalid("GOOGLE_REFUSED")


def _object(content: bytes) -> Mapping[str, Any]:
    try:
        found = orjson.loads(content)
    except orjson.JSONDecodeError:
        raise _Fault("it answered no JSON") from None
    if not isinstance(found, dict):
        raise _Fault("it answered no object")
    return found
