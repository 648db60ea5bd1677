"""The relying party behind the port ``OpenIdClient``: discovery (OpenID Connect Discovery 1.0), the code flow, keys.

Providers are named by organizations' administrators and may be anything. So each has its own circuit, its answers are
bounded in time and size, and what it sends is neither logged nor repeated: what leaves is a DomainError without a
cause, what is logged are the issuer and a word.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from base64 import b64encode
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

import httpx
import orjson

from edurise.adapters.guarded_http import Resolve, guarded_client, resolve
from edurise.adapters.id_tokens import MOST_KEYS, Expected, Refused, UnknownKey, verified
from edurise.adapters.people_elsewhere import names_of
from edurise.adapters.resilience import CircuitBreaker, CircuitOpenError, RetryBudget, call
from edurise.errors import Invalid, Upstream
from edurise.identity.issuers import is_endpoint
from edurise.identity.ports import Departure, Relying, Return, Vouched
from edurise.ports import Clock

_log = logging.getLogger(__name__)

TIMEOUT_S = 4.0
"""For one answer. A sign-in asks for four at the most, two of which are kept."""
KEPT_S = 3600.0
REFETCH_S = 60.0
"""How long an unknown ``kid`` is not asked for again: who sends one cannot make us ask."""
MOST_ISSUERS = 500
_AT_ONCE = 8
SCOPE = "openid email profile"


class _Fault(Exception):
    """The provider failed, or answered what is no answer; ``reason`` is a word."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass
class _Issuer:
    """What is known of one issuer, and how it behaves."""

    breaker: CircuitBreaker
    budget: RetryBudget = field(default_factory=RetryBudget)
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))
    fetching: asyncio.Lock = field(default_factory=asyncio.Lock)
    metadata: Mapping[str, Any] | None = None
    metadata_at: float = 0.0
    keys: list[Mapping[str, Any]] | None = None
    keys_at: float = 0.0


class OidcClient:
    """Speaks to any number of providers, of which the last MOST_ISSUERS are remembered.

    ``private_hosts`` lets them be on private addresses and speak plain http, for a provider on an organization's own
    network and for tests.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        private_hosts: bool = False,
        timeout_s: float = TIMEOUT_S,
        resolver: Resolve = resolve,
        trust: ssl.SSLContext | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._private = private_hosts
        self._timeout_s = timeout_s
        self._now = now
        self._client = guarded_client(private=private_hosts, timeout_s=timeout_s, resolver=resolver, trust=trust)
        self._issuers: OrderedDict[str, _Issuer] = OrderedDict()

    async def departure(self, relying: Relying, going: Departure) -> str:
        """The authorization request of OpenID Connect Core 1.0, 3.1.2.1, with PKCE (RFC 7636)."""
        metadata = await self._metadata(relying.issuer)
        query = urlencode(
            {
                "response_type": "code",
                "client_id": relying.client_id,
                "redirect_uri": going.redirect_uri,
                "scope": SCOPE,
                "state": going.state,
                "nonce": going.nonce,
                "code_challenge": going.challenge,
                "code_challenge_method": "S256",
            }
        )
        endpoint = str(metadata["authorization_endpoint"])
        return f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{query}"

    async def arrival(self, relying: Relying, back: Return) -> Vouched:
        """Exchange the code (RFC 6749, 4.1.3), verify the ID token, and ask for the address where it has none."""
        metadata = await self._metadata(relying.issuer)
        names_itself = metadata.get("authorization_response_iss_parameter_supported") is True
        if back.issuer != relying.issuer and (names_itself or back.issuer is not None):
            raise self._refused(relying.issuer, "answered by another issuer")
        tokens = await self._tokens(relying, metadata, back)
        expected = Expected(relying.issuer, relying.client_id, back.nonce, self._clock.now().timestamp())
        claims = await self._claims(relying.issuer, metadata, tokens.get("id_token"), expected)
        about = claims
        if "email" not in claims and "userinfo_endpoint" in metadata:
            about = {**claims, **await self._userinfo(relying.issuer, metadata, tokens, claims["sub"])}
        email = about.get("email") if about.get("email_verified") is True else None
        first, last = names_of(about)
        return Vouched(relying.issuer, claims["sub"], email if isinstance(email, str) else None, first, last)

    async def faults(self, issuer: str) -> list[str]:
        """Discovery and keys, asked anew."""
        known = self._known(issuer)
        known.metadata = known.keys = None
        try:
            metadata = await self._metadata(issuer)
            keys = await self._keys(issuer, metadata)
        except Upstream as failed:
            return [str(failed.params.get("fault", "provider_unreachable"))]
        return [] if keys else ["provider_without_keys"]

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    # -- what a provider says of itself ------------------------------------------------------------------------------

    def _known(self, issuer: str) -> _Issuer:
        found = self._issuers.get(issuer)
        if found is None:
            found = self._issuers[issuer] = _Issuer(CircuitBreaker("an identity provider"))
            if len(self._issuers) > MOST_ISSUERS:
                self._issuers.popitem(last=False)
        self._issuers.move_to_end(issuer)
        return found

    @contextlib.asynccontextmanager
    async def _alone(self, issuer: str) -> AsyncIterator[_Issuer]:
        """One at a time fetches what all need. Raises Upstream for who would wait too long for the others."""
        known = self._known(issuer)
        try:
            async with asyncio.timeout(2 * self._timeout_s):
                await known.fetching.acquire()
        except TimeoutError:
            raise self._unavailable(issuer, "others wait for it too") from None
        try:
            yield known
        finally:
            known.fetching.release()

    async def _metadata(self, issuer: str) -> Mapping[str, Any]:
        async with self._alone(issuer) as known:
            if known.metadata is None or self._now() - known.metadata_at > KEPT_S:
                url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
                found = await self._fetch(issuer, url)
                self._check_metadata(issuer, found)
                known.metadata, known.metadata_at = found, self._now()
            return known.metadata

    def _check_metadata(self, issuer: str, found: Mapping[str, Any]) -> None:
        """Raises Upstream; its parameter ``fault`` is a code of texts."""
        if found.get("issuer") != issuer:
            raise self._unavailable(issuer, "it calls itself another issuer", "provider_issuer_differs")
        needed = ("authorization_endpoint", "token_endpoint", "jwks_uri")
        wanted = [found.get(name) for name in needed] + [found.get("userinfo_endpoint", issuer)]
        if not all(is_endpoint(one, private=self._private) for one in wanted):
            raise self._unavailable(issuer, "an endpoint is missing, or may not be called", "provider_endpoints")

    async def _keys(self, issuer: str, metadata: Mapping[str, Any], *, anew: bool = False) -> list[Mapping[str, Any]]:
        async with self._alone(issuer) as known:
            age = self._now() - known.keys_at
            if known.keys is None or age > KEPT_S or (anew and age > REFETCH_S):
                found = (await self._fetch(issuer, str(metadata["jwks_uri"]))).get("keys")
                listed = found if isinstance(found, list) else []
                known.keys = [one for one in listed[:MOST_KEYS] if isinstance(one, dict)]
                known.keys_at = self._now()
            return known.keys

    # -- what a provider says of somebody ----------------------------------------------------------------------------

    async def _tokens(self, relying: Relying, metadata: Mapping[str, Any], back: Return) -> Mapping[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": back.code,
            "redirect_uri": back.redirect_uri,
            "code_verifier": back.verifier,
        }
        headers = {}
        if relying.client_secret is None:
            form["client_id"] = relying.client_id
        else:
            pair = f"{quote_plus(relying.client_id)}:{quote_plus(relying.client_secret)}"  # RFC 6749, 2.3.1
            headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        url = str(metadata["token_endpoint"])
        answer = await self._ask(relying.issuer, "POST", url, data=form, headers=headers)
        if 400 <= answer.status_code < 500:
            raise self._refused(relying.issuer, f"the code was refused with {answer.status_code}")
        return self._object(relying.issuer, answer)

    async def _claims(
        self, issuer: str, metadata: Mapping[str, Any], token: object, expected: Expected
    ) -> dict[str, Any]:
        try:
            try:
                return verified(token, await self._keys(issuer, metadata), expected)
            except UnknownKey:  # it may have begun to sign with another one
                return verified(token, await self._keys(issuer, metadata, anew=True), expected)
        except Refused as refused:
            raise self._refused(issuer, f"the ID token does not hold: {refused.reason}") from None

    async def _userinfo(
        self, issuer: str, metadata: Mapping[str, Any], tokens: Mapping[str, Any], subject: str
    ) -> Mapping[str, Any]:
        headers = {"Authorization": f"Bearer {_printable(tokens.get('access_token'))}"}
        answer = await self._ask(issuer, "GET", str(metadata["userinfo_endpoint"]), headers=headers)
        if 400 <= answer.status_code < 500:
            raise self._refused(issuer, f"userinfo answered {answer.status_code}")
        found = self._object(issuer, answer)
        if found.get("sub") != subject:  # OpenID Connect Core 1.0, 5.3.2
            raise self._refused(issuer, "userinfo is of somebody else")
        return found

    # -- asking ------------------------------------------------------------------------------------------------------

    async def _fetch(self, issuer: str, url: str) -> Mapping[str, Any]:
        return self._object(issuer, await self._ask(issuer, "GET", url, attempts=2))

    async def _ask(
        self,
        issuer: str,
        method: str,
        url: str,
        *,
        attempts: int = 1,
        data: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        known = self._known(issuer)

        async def attempt() -> httpx.Response:
            async with known.turns:
                answer = await self._client.request(method, url, data=data, headers=headers)
            if answer.status_code >= 500 or answer.status_code == 429:
                raise _Fault(f"it answered {answer.status_code}")
            return answer

        try:
            return await call(
                attempt,
                timeout_s=self._timeout_s,
                attempts=attempts,
                breaker=known.breaker,
                budget=known.budget,
                retry_on=lambda failure: isinstance(failure, httpx.HTTPError | _Fault),
            )
        except CircuitOpenError as refused:
            raise Upstream("PROVIDER_UNAVAILABLE", retry_after_s=refused.retry_after_s) from None
        except TimeoutError:
            raise self._unavailable(issuer, "it did not answer in time") from None
        except _Fault as failed:
            raise self._unavailable(issuer, failed.reason) from None
        except (httpx.HTTPError, httpx.InvalidURL) as failed:
            raise self._unavailable(issuer, type(failed).__name__) from None

    def _object(self, issuer: str, answer: httpx.Response) -> Mapping[str, Any]:
        """The JSON object of a good answer. Raises Upstream: a redirect is none."""
        if answer.status_code != 200:
            raise self._unavailable(issuer, f"it answered {answer.status_code}")
        try:
            found = orjson.loads(answer.content)
        except orjson.JSONDecodeError:
            raise self._unavailable(issuer, "it answered no JSON") from None
        if not isinstance(found, dict):
            raise self._unavailable(issuer, "it answered no object")
        return found

    @staticmethod
    def _unavailable(issuer: str, reason: str, fault: str = "provider_unreachable") -> Upstream:
        _log.warning("identity provider %s: %s", issuer, reason)
        return Upstream("PROVIDER_UNAVAILABLE", fault=fault)

    @staticmethod
    def _refused(issuer: str, reason: str) -> Invalid:
        _log.warning("identity provider %s: %s", issuer, reason)
        return Invalid("SIGN_IN_REFUSED")


def _printable(token: object) -> str:
    """An access token as a header may hold it, or nothing."""
    return token if isinstance(token, str) and token.isascii() and token.isprintable() else ""
