"""Sealing of secrets that must be stored: AES-256-GCM under a key derived from the platform's secret by HKDF-SHA256."""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE_BYTES = 12


class SealBroken(RuntimeError):
    """The sealed bytes were made with another secret, or changed."""


def derive(secret: str, purpose: str) -> bytes:
    """A 32-byte key for one purpose; keys of different purposes are independent."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode()).derive(secret.encode())


def seal(key: bytes, plain: bytes, context: bytes) -> bytes:
    """Encrypt; ``context`` (for example a row's key) must be the same when opening. Returns nonce and ciphertext."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, context)


def unseal(key: bytes, sealed: bytes, context: bytes) -> bytes:
    """Decrypt what ``seal`` made; raises SealBroken."""
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context)
    except InvalidTag as broken:
        raise SealBroken("a stored secret cannot be opened with this EDU_SECRET_KEY") from broken
