"""Signing keys of access tokens: Ed25519 pairs in the database, the private half sealed with ``EDU_SECRET_KEY``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from edurise.db import moment
from edurise.identity.models import SigningKey
from edurise.sealing import derive, seal, unseal


@dataclass(frozen=True)
class KeyRing:
    """The key that signs now, and every public key that still verifies, by ``kid``."""

    kid: str
    private: Ed25519PrivateKey
    public: dict[str, Ed25519PublicKey]


def load(session: Session, secret: str) -> KeyRing:
    """Return the ring; the first process to ask makes the first key, and a race for it is decided by the database."""
    found = _stored(session)
    if not found:
        _make(session, secret, generation=1, at=moment(session))
        found = _stored(session)
    newest = found[0]
    private = unseal(derive(secret, "signing-keys"), newest.sealed_private_key, newest.kid.encode())
    return KeyRing(
        kid=newest.kid,
        private=Ed25519PrivateKey.from_private_bytes(private),
        public={row.kid: Ed25519PublicKey.from_public_bytes(row.public_key) for row in found},
    )


def _stored(session: Session) -> list[SigningKey]:
    query = select(SigningKey).where(SigningKey.retired_at.is_(None)).order_by(SigningKey.generation.desc())
    return list(session.scalars(query))


def _make(session: Session, secret: str, *, generation: int, at: datetime) -> None:
    private = Ed25519PrivateKey.generate()
    kid = f"edurise-{generation}"
    raw = private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    session.execute(
        insert(SigningKey)
        .values(
            kid=kid,
            generation=generation,
            sealed_private_key=seal(derive(secret, "signing-keys"), raw, kid.encode()),
            public_key=private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw),
            created_at=at,
        )
        .on_conflict_do_nothing()
    )
