"""ID tokens: OpenID Connect Core 1.0, 3.1.3.7, with the algorithms of RFC 8725's advice.

The algorithm is chosen from what we accept, never from what the token asks for: ``none`` is no signature, and a public
key is no secret for HMAC.
"""

from __future__ import annotations

import hmac
import math
import warnings
from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from joserfc import jwk, jwt
from joserfc.errors import JoseError, SecurityWarning

LEEWAY_S = 60.0
LONGEST = 32 * 1024
MOST_KEYS = 100
_RSA_BITS = 2048
ALGORITHMS: Mapping[str, str] = {
    **{f"{family}{bits}": "RSA" for family in ("RS", "PS") for bits in (256, 384, 512)},
    **{f"ES{bits}": "EC" for bits in (256, 384, 512)},
    "EdDSA": "OKP",
    "Ed25519": "OKP",
}
"""What is accepted, and the type of key that each goes with."""


class Refused(Exception):
    """A token that proves nothing; ``reason`` is a word, never what was sent."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class UnknownKey(Refused):
    """It was signed with a key that is not among those at hand."""


@dataclass(frozen=True)
class Expected:
    """What a token must say; ``now`` in seconds since 1970."""

    issuer: str
    client_id: str
    nonce: str
    now: float


def verified(token: object, keys: Sequence[Mapping[str, Any]], expected: Expected) -> dict[str, Any]:
    """The claims of a token. Raises Refused, and UnknownKey where fresher keys might help."""
    if not isinstance(token, str) or len(token) > LONGEST or token.count(".") != 2:
        raise Refused("no token")
    header = _header(token)
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise Refused("algorithm")
    with warnings.catch_warnings():
        # Of the name EdDSA, which RFC 9864 gives up and providers still write, and of short keys, refused below.
        warnings.simplefilter("ignore", SecurityWarning)
        key = _key(keys, header.get("kid"), algorithm)
        try:
            claims = dict(jwt.decode(token, key, algorithms=[algorithm]).claims)
        except (JoseError, ValueError, TypeError):
            raise Refused("signature") from None
    _check(claims, expected)
    return claims


def _header(token: str) -> Mapping[str, Any]:
    try:
        found = orjson.loads(urlsafe_b64decode(token.partition(".")[0] + "=="))
    except ValueError:  # orjson's and base64's errors are
        raise Refused("header") from None
    if not isinstance(found, dict):
        raise Refused("header")
    return found


def _key(keys: Sequence[Mapping[str, Any]], kid: object, algorithm: str) -> jwk.Key:
    """The one key that fits. A token without ``kid`` is read only where there is no choice."""
    fitting = [
        one
        for one in keys[:MOST_KEYS]
        if one.get("kty") == ALGORITHMS[algorithm]
        and one.get("use", "sig") == "sig"
        and one.get("alg", algorithm) == algorithm
        and (kid is None or one.get("kid") == kid)
    ]
    if not fitting:
        raise UnknownKey("key")
    if kid is None and len(fitting) > 1:
        raise Refused("key")
    try:
        # Without its metadata: what a key is for was looked at above.
        found = jwk.import_key({name: value for name, value in fitting[0].items() if name in _MATERIAL})
    except (JoseError, ValueError, TypeError):
        raise Refused("key") from None
    if isinstance(found, jwk.RSAKey) and found.public_key.key_size < _RSA_BITS:
        raise Refused("key")
    return found


_MATERIAL = frozenset({"kty", "n", "e", "crv", "x", "y"})


def _check(claims: Mapping[str, Any], expected: Expected) -> None:
    if claims.get("iss") != expected.issuer:
        raise Refused("issuer")
    audience = claims.get("aud")
    listed = audience if isinstance(audience, list) else [audience]
    if expected.client_id not in listed:
        raise Refused("audience")
    if claims.get("azp", expected.client_id) != expected.client_id or (len(listed) > 1 and "azp" not in claims):
        raise Refused("authorized party")
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), expected.nonce.encode()):
        raise Refused("nonce")
    if _seconds(claims.get("exp")) <= expected.now - LEEWAY_S:
        raise Refused("expired")
    if (
        _seconds(claims.get("iat")) > expected.now + LEEWAY_S
        or _seconds(claims.get("nbf", 0)) > expected.now + LEEWAY_S
    ):
        raise Refused("not valid yet")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255 or not subject.isprintable():
        raise Refused("subject")


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Refused("time")
    return float(value)
