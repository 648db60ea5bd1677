"""Signing keys of access tokens: Ed25519 pairs in the database, the private half sealed with ``EDU_SECRET_KEY``.

A new key is published before it signs, and an old one verifies until the last token that it signed has expired, so a
rotation logs nobody out.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from edurise.db import moment
from edurise.identity.models import SigningKey
from edurise.sealing import base64url, derive, seal, unseal

LEARNED_WITHIN = timedelta(seconds=10)
"""How long after it was made a key begins to sign: every process reads new keys each second."""


@dataclass(frozen=True)
class Signer:
    """A key that signs."""

    kid: str
    private: Ed25519PrivateKey
    signs_from: datetime


@dataclass(frozen=True)
class KeyRing:
    """The keys that sign, youngest first, and every public key that verifies, by ``kid``. ``state`` names this set of
    keys: another state, another ring."""

    signers: tuple[Signer, ...]
    public: dict[str, Ed25519PublicKey]
    state: str

    def signing(self, now: datetime) -> Signer:
        """The youngest key whose time to sign has come; before that of the first, the first."""
        return next((one for one in self.signers if one.signs_from <= now), self.signers[-1])


def load(session: Session, secret: str) -> KeyRing:
    """Return the ring; the first process to ask makes the first key, and a race for it is decided by the database."""
    found = _stored(session)
    if not found:
        _make(session, secret, generation=1, signs_from=moment(session))
        found = _stored(session)
    sealing = derive(secret, "signing-keys")
    return KeyRing(
        signers=tuple(
            Signer(
                row.kid,
                Ed25519PrivateKey.from_private_bytes(unseal(sealing, row.sealed_private_key, row.kid.encode())),
                row.signs_from,
            )
            for row in found
        ),
        public={row.kid: Ed25519PublicKey.from_public_bytes(row.public_key) for row in found},
        state=_state([row.kid for row in found]),
    )


def state(session: Session) -> str:
    """The state of the keys now, to be compared with a ring's."""
    live = select(SigningKey.kid).where(SigningKey.retired_at.is_(None)).order_by(SigningKey.generation.desc())
    return _state(list(session.scalars(live)))


def rotate(session: Session, secret: str) -> str:
    """Make the next key; it signs in LEARNED_WITHIN. Returns its ``kid``. Two rotations at once make one key."""
    newest = session.scalar(select(func.max(SigningKey.generation))) or 0
    _make(session, secret, generation=newest + 1, signs_from=moment(session) + LEARNED_WITHIN)
    return _kid(newest + 1)


def retire(session: Session, outlived: timedelta) -> list[str]:
    """Retire the keys whose successor has signed for longer than ``outlived``, in which every token that they signed
    has expired; returns their ids."""
    found = _stored(session)
    long_ago = moment(session) - outlived
    gone = [old.kid for young, old in itertools.pairwise(found) if young.signs_from < long_ago]
    if gone:
        session.execute(update(SigningKey).where(SigningKey.kid.in_(gone)).values(retired_at=moment(session)))
    return gone


def published(ring: KeyRing) -> dict[str, Any]:
    """The JSON Web Key Set (RFC 7517, RFC 8037) of a ring."""
    return {
        "keys": [
            {
                "kty": "OKP",
                "crv": "Ed25519",
                "use": "sig",
                "alg": "EdDSA",
                "kid": kid,
                "x": base64url(key.public_bytes(Encoding.Raw, PublicFormat.Raw)),
            }
            for kid, key in ring.public.items()
        ]
    }


def _state(kids: list[str]) -> str:
    return " ".join(kids)


def _kid(generation: int) -> str:
    return f"edurise-{generation}"


def _stored(session: Session) -> list[SigningKey]:
    query = select(SigningKey).where(SigningKey.retired_at.is_(None)).order_by(SigningKey.generation.desc())
    return list(session.scalars(query))


def _make(session: Session, secret: str, *, generation: int, signs_from: datetime) -> None:
    private = Ed25519PrivateKey.generate()
    kid = _kid(generation)
    raw = private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    session.execute(
        insert(SigningKey)
        .values(
            kid=kid,
            generation=generation,
            sealed_private_key=seal(derive(secret, "signing-keys"), raw, kid.encode()),
            public_key=private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw),
            created_at=moment(session),
            signs_from=signs_from,
        )
        .on_conflict_do_nothing()
    )
