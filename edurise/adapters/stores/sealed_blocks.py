"""Encryption at rest of files that are read at random, by blocks.

The construction is AES-GCM-HKDF streaming AEAD of Tink
(https://developers.google.com/tink/streaming-aead/aes_gcm_hkdf_streaming; for the security of such streams see
Hoang and Shen, https://eprint.iacr.org/2020/1019), with a header of its own that names the key:

    header  8 bytes magic, 16 bytes key id (ASCII, padded with NUL), 32 bytes salt, 7 bytes nonce prefix, 1 byte zero
    block   AES-256-GCM of 65,536 bytes of plain text (the last one: what is left), then its 16-byte tag

A file's key is HKDF-SHA256(key, salt, info = "edurise stored file 1" + magic + key id + context), so no two files share
one, and a file that is put in another's place does not open. A block's nonce is the prefix, the number of the block in
4 bytes, and 1 in the last block or 0: blocks that are swapped, repeated or left out do not open, and neither does a
file that was cut. Every file has a last block, an empty one has nothing but its tag.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

BLOCK_BYTES = 65_536
"""Plain text in every block but the last."""
TAG_BYTES = 16
HEADER_BYTES = 64
KEY_BYTES = 32
MOST_BLOCKS = 2**32 - 1
_MAGIC = b"EDUSEAL1"
_PURPOSE = b"edurise stored file 1"
_ID_BYTES, _SALT_BYTES, _PREFIX_BYTES = 16, 32, 7
_SALT_AT = len(_MAGIC) + _ID_BYTES
_PREFIX_AT = _SALT_AT + _SALT_BYTES
_SEALED_BYTES = BLOCK_BYTES + TAG_BYTES
_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,16}")


class BlocksBroken(Exception):
    """The file cannot be opened; ``reason``: ``corrupt`` (changed, cut, or another's) or ``unknown_key``."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True)
class EncryptionKey:
    """A key for files. ``id`` is written into each of them, so that it can be found again after others came."""

    id: str
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not _KEY_ID.fullmatch(self.id):
            raise ValueError("a key's id is 1 to 16 of A-Z, a-z, 0-9, _ and -")
        if len(self.secret) != KEY_BYTES:
            raise ValueError(f"a key is {KEY_BYTES} bytes long")


def sealed_bytes(plain: int) -> int:
    """How long the file of so many bytes of plain text is."""
    return HEADER_BYTES + plain + TAG_BYTES * max(1, -(-plain // BLOCK_BYTES))


def plain_bytes(sealed: int) -> int:
    """How many bytes of plain text a file of this length holds; raises BlocksBroken for lengths that none has."""
    blocks, last = divmod(sealed - HEADER_BYTES, _SEALED_BYTES)
    if sealed <= HEADER_BYTES or 0 < last < TAG_BYTES or (last == TAG_BYTES and blocks):
        raise BlocksBroken("corrupt")
    return blocks * BLOCK_BYTES + max(0, last - TAG_BYTES)


class Sealer:
    """Seals one file from its beginning: ``header``, then what each ``update`` and at last ``finish`` return.

    ``context`` says whose file it is; the same is needed for opening it. Not for threads.
    """

    def __init__(self, key: EncryptionKey, context: bytes) -> None:
        head = _MAGIC + key.id.encode().ljust(_ID_BYTES, b"\0")
        salt, self._prefix = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_PREFIX_BYTES)
        self.header = head + salt + self._prefix + b"\0"
        self._cipher = _cipher(key, self.header, context)
        self._number = 0
        self._held = bytearray()

    def update(self, data: bytes) -> bytes:
        """Seal what is complete, but always hold something back: the last block is sealed as the last."""
        self._held += data
        whole = (len(self._held) - 1) // BLOCK_BYTES
        if whole <= 0:
            return b""
        starts = range(0, whole * BLOCK_BYTES, BLOCK_BYTES)
        with memoryview(self._held) as held:
            sealed = b"".join([self._seal(held[at : at + BLOCK_BYTES], last=False) for at in starts])
        del self._held[: whole * BLOCK_BYTES]
        return sealed

    def finish(self) -> bytes:
        """Seal the rest as the last block."""
        return self._seal(self._held, last=True)

    def _seal(self, plain: bytearray | memoryview, *, last: bool) -> bytes:
        if self._number >= MOST_BLOCKS:
            raise ValueError("a sealed file has fewer than 2^32 blocks")
        sealed = self._cipher.encrypt(_nonce(self._prefix, self._number, last=last), plain, None)
        self._number += 1
        return sealed


class Opened:
    """A sealed file that is open for reading under ``descriptor``, which it does not close.

    Its last block is opened first, so ``size``, in bytes of plain text, can be relied on. Raises BlocksBroken, then or
    later. May be used by one thread at a time.
    """

    def __init__(self, descriptor: int, keys: Sequence[EncryptionKey], context: bytes) -> None:
        self._descriptor = descriptor
        self.size = plain_bytes(os.fstat(descriptor).st_size)
        header = os.pread(descriptor, HEADER_BYTES, 0)
        if len(header) != HEADER_BYTES or not header.startswith(_MAGIC) or header[-1]:
            raise BlocksBroken("corrupt")
        self._prefix = header[_PREFIX_AT : _PREFIX_AT + _PREFIX_BYTES]
        self._cipher = _cipher(_key_of(header, keys), header, context)
        self._last = max(0, self.size - 1) // BLOCK_BYTES
        self._open(self._last, self._sealed(self._last, 1))

    def read(self, start: int, length: int) -> bytes:
        """Up to ``length`` bytes of plain text from ``start``; fewer only at the end."""
        end = min(start + length, self.size)
        if start >= end:
            return b""
        first, last = start // BLOCK_BYTES, (end - 1) // BLOCK_BYTES
        sealed = memoryview(self._sealed(first, last - first + 1))
        blocks = [
            self._open(first + index, sealed[index * _SEALED_BYTES : (index + 1) * _SEALED_BYTES])
            for index in range(last - first + 1)
        ]
        plain = b"".join(blocks)
        offset = start - first * BLOCK_BYTES
        return plain if len(plain) == end - start else plain[offset : offset + end - start]

    def _sealed(self, first: int, count: int) -> bytes:
        return os.pread(self._descriptor, count * _SEALED_BYTES, HEADER_BYTES + first * _SEALED_BYTES)

    def _open(self, number: int, sealed: bytes | memoryview) -> bytes:
        try:
            return self._cipher.decrypt(_nonce(self._prefix, number, last=number == self._last), sealed, None)
        except InvalidTag:
            raise BlocksBroken("corrupt") from None


def _key_of(header: bytes, keys: Sequence[EncryptionKey]) -> EncryptionKey:
    wanted = header[len(_MAGIC) : _SALT_AT].rstrip(b"\0")
    for key in keys:
        if key.id.encode() == wanted:
            return key
    raise BlocksBroken("unknown_key")


def _cipher(key: EncryptionKey, header: bytes, context: bytes) -> AESGCM:
    salt, info = header[_SALT_AT:_PREFIX_AT], _PURPOSE + header[:_SALT_AT] + context
    return AESGCM(HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt, info=info).derive(key.secret))


def _nonce(prefix: bytes, number: int, *, last: bool) -> bytes:
    return prefix + number.to_bytes(4, "big") + (b"\1" if last else b"\0")
