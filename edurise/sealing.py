"""Sealing of secrets that must be stored: AES-256-GCM under a key derived from the platform's secret by HKDF-SHA256.

What is sealed for long is sealed by a ``Vault``, whose keys have names and can be rotated.
"""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping

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


def base64url(raw: bytes) -> str:
    """Base64 for URLs without padding (RFC 4648, 5)."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


class Vault:
    """Seals with the first of its keys and opens with whichever sealed. Sealed bytes begin with the length and the name
    of their key."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = dict(keys)
        self.newest = next(iter(self._keys))

    def seal(self, plain: bytes, context: bytes) -> bytes:
        """Encrypt; ``context`` (the row's key) must be the same when opening."""
        name = self.newest.encode()
        return bytes([len(name)]) + name + seal(self._keys[self.newest], plain, name + b"\0" + context)

    def unseal(self, sealed: bytes, context: bytes) -> bytes:
        """Decrypt what ``seal`` made; raises SealBroken, also where the key is not among those of the settings."""
        name = self.key_of(sealed)
        key = self._keys.get(name)
        if key is None:
            raise SealBroken(f"a stored secret was sealed with key {name!r}, which EDU_SEALING_KEYS does not hold")
        return unseal(key, sealed[1 + sealed[0] :], name.encode() + b"\0" + context)

    def reseal(self, sealed: bytes, context: bytes) -> bytes:
        """The same secret, sealed with the newest key; raises SealBroken."""
        return self.seal(self.unseal(sealed, context), context)

    def seal_text(self, plain: str, purpose: str) -> str:
        """``seal`` of a text, as a text."""
        return base64url(self.seal(plain.encode(), purpose.encode()))

    def unseal_text(self, sealed: str, purpose: str) -> str:
        """What ``seal_text`` sealed; raises SealBroken."""
        return self.unseal(urlsafe_b64decode(sealed + "=="), purpose.encode()).decode()

    @staticmethod
    def key_of(sealed: bytes) -> str:
        """The name of the key that sealed; raises SealBroken for what never was sealed."""
        try:
            return sealed[1 : 1 + sealed[0]].decode()
        except (IndexError, UnicodeDecodeError) as broken:
            raise SealBroken("a stored secret does not begin with the name of a key") from broken


class Renewal:
    """What of the stored secrets was sealed anew, and what could not be: one that no key opens keeps nobody else's
    under an old key."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self.count = 0
        self.broken: list[str] = []

    def of(self, sealed: bytes, context: bytes, name: str) -> bytes:
        """The secret under the newest key, or as it is, if it was so already or is broken (``name`` is noted then)."""
        try:
            if self._vault.key_of(sealed) == self._vault.newest:
                return sealed
            fresh = self._vault.reseal(sealed, context)
        except SealBroken as broken:
            self.broken.append(f"{name}: {broken}")
            return sealed
        self.count += 1
        return fresh

    def add(self, other: Renewal) -> None:
        """Count what became of others too."""
        self.count += other.count
        self.broken += other.broken
