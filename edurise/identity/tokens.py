"""Access tokens: EdDSA-signed JWTs (RFC 7519, RFC 8037) of a few claims, and the cache that verifies each once.

A token says who, in which session and in which organization; never which role (a role is what the database says at the
time of the hop).
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import jwt
import orjson

from edurise.errors import Unauthenticated
from edurise.identity.keys import KeyRing
from edurise.ports import Clock

ISSUER = "edurise"
_CACHED = 50_000
_LONGEST = 2_048


@dataclass(frozen=True)
class Claims:
    """What a verified access token says. ``pinned`` means that the session was switched to ``tenant_id`` and a header
    does not move it; ``confined``, that the session counts in that organization alone."""

    user_id: UUID
    session_id: UUID
    tenant_id: UUID | None
    pinned: bool
    version: int
    expires_at: datetime
    confined: bool = False

    @property
    def only(self) -> UUID | None:
        """The organization that the session is confined to."""
        return self.tenant_id if self.confined else None


class Tokens:
    """Issues and verifies access tokens for one process."""

    def __init__(self, ring: KeyRing, clock: Clock, lifetime_s: int) -> None:
        self._ring = ring
        self._clock = clock
        self._lifetime = timedelta(seconds=lifetime_s)
        self._verified: OrderedDict[str, Claims] = OrderedDict()
        self._revoked: dict[UUID, datetime] = {}
        self.revoked_up_to = 0

    def issue(
        self,
        *,
        user_id: UUID,
        session_id: UUID,
        tenant_id: UUID | None,
        pinned: bool,
        version: int,
        confined: bool = False,
        ends_at: datetime | None = None,
    ) -> str:
        """Sign a new access token; it does not outlive ``ends_at``, when its session ends."""
        now = self._clock.now()
        expires = now + self._lifetime
        claims: dict[str, object] = {
            "iss": ISSUER,
            "iat": now,
            "exp": expires if ends_at is None else min(expires, ends_at),
            "sub": str(user_id),
            "sid": str(session_id),
            "ver": version,
            "pin": pinned,
        }
        if tenant_id is not None:
            claims["tid"] = str(tenant_id)
        if confined:
            claims["con"] = True
        signer = self._ring.signing(now)
        return jwt.encode(claims, signer.private, algorithm="EdDSA", headers={"kid": signer.kid})

    def verify(self, token: str, leeway_s: float = 0) -> Claims:
        """Return the claims; ``leeway_s`` accepts a token that long past its expiry.

        Raises Unauthenticated: TOKEN_INVALID for a forged, malformed or revoked token, TOKEN_EXPIRED for an old one.
        """
        claims = self._verified.get(token)
        if claims is None:
            claims = self._decode(token)
            self._verified[token] = claims
            if len(self._verified) > _CACHED:
                self._verified.popitem(last=False)
        if self._clock.now() >= claims.expires_at + timedelta(seconds=leeway_s):
            raise Unauthenticated("TOKEN_EXPIRED")
        if claims.session_id in self._revoked:
            raise Unauthenticated("TOKEN_INVALID")
        return claims

    def use(self, ring: KeyRing) -> None:
        """Take the keys of another ring from now on; what was verified with one that is gone is forgotten."""
        if not self._ring.public.keys() <= ring.public.keys():
            self._verified.clear()
        self._ring = ring

    @property
    def ring(self) -> KeyRing:
        """The keys in use."""
        return self._ring

    def is_revoked(self, session_id: UUID) -> bool:
        """Whether this process knows that the session was ended."""
        return session_id in self._revoked

    def revoke(self, rows: Iterable[tuple[int, UUID, datetime]]) -> list[UUID]:
        """Take in new revocations (number, session, until) and return the sessions that were news; forgets those whose
        tokens all expired."""
        now = self._clock.now()
        news = []
        for number, session_id, until in rows:
            self.revoked_up_to = max(self.revoked_up_to, number)
            if session_id not in self._revoked:
                news.append(session_id)
            self._revoked[session_id] = until
        for session_id in [one for one, until in self._revoked.items() if until < now]:
            del self._revoked[session_id]
        return news

    def _decode(self, token: str) -> Claims:
        if len(token) > _LONGEST:
            raise Unauthenticated("TOKEN_INVALID")
        try:
            key = self._ring.public[_key_id(token)]
            found = jwt.decode(
                token,
                key,
                algorithms=["EdDSA"],
                issuer=ISSUER,
                options={"require": ["exp", "iat", "sub", "sid"], "verify_exp": False, "verify_iat": False},
            )
            return Claims(
                user_id=UUID(found["sub"]),
                session_id=UUID(found["sid"]),
                tenant_id=UUID(found["tid"]) if "tid" in found else None,
                pinned=found["pin"] is True,
                version=int(found["ver"]),
                expires_at=datetime.fromtimestamp(found["exp"], self._clock.now().tzinfo),
                confined=found.get("con") is True,
            )
        except (jwt.InvalidTokenError, KeyError, ValueError, TypeError, AttributeError) as refused:
            raise Unauthenticated("TOKEN_INVALID") from refused


def _key_id(token: str) -> str:
    """The key that a token says it was signed with. Only the header is read: the library's own way decodes the whole
    token, and does it again to verify it."""
    header = orjson.loads(urlsafe_b64decode(token.partition(".")[0] + "=="))
    return str(header["kid"])
