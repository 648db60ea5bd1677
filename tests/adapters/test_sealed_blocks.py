"""Encryption at rest: what opens, and all that must not."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edurise.adapters.stores.sealed_blocks import (
    BLOCK_BYTES,
    HEADER_BYTES,
    TAG_BYTES,
    BlocksBroken,
    EncryptionKey,
    Opened,
    Sealer,
    plain_bytes,
    sealed_bytes,
)
from tests.harness.shelf import noise

OLD, NEW = EncryptionKey("2025", noise(32, seed=1)), EncryptionKey("2026-a_B", noise(32, seed=2))
CONTEXT = b"object f/ab/1"
SEALED = BLOCK_BYTES + TAG_BYTES
SIZES = [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 2 * BLOCK_BYTES, 5 * BLOCK_BYTES + 17]


def sealed(plain: bytes, key: EncryptionKey = NEW, context: bytes = CONTEXT, step: int = 50_000) -> bytes:
    sealer = Sealer(key, context)
    pieces = [sealer.update(plain[at : at + step]) for at in range(0, len(plain), step)]
    return sealer.header + b"".join(pieces) + sealer.finish()


class Folder:
    """Writes bytes to a file and opens it as a sealed one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptors: list[int] = []

    def opened(self, content: bytes, *keys: EncryptionKey, context: bytes = CONTEXT) -> Opened:
        self._path.write_bytes(content)
        self._descriptors.append(os.open(self._path, os.O_RDONLY))
        return Opened(self._descriptors[-1], keys or (NEW, OLD), context)

    def broken(self, content: bytes, *keys: EncryptionKey, context: bytes = CONTEXT) -> str:
        """Why neither opening nor reading all of it works."""
        with pytest.raises(BlocksBroken) as broken:
            self._read_all(content, keys, context)
        return broken.value.reason

    def close(self) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()

    def _read_all(self, content: bytes, keys: tuple[EncryptionKey, ...], context: bytes) -> None:
        found = self.opened(content, *keys, context=context)
        found.read(0, found.size)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    made = Folder(tmp_path / "file")
    yield made
    made.close()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("step", [1_000, BLOCK_BYTES, 10**6])
def test_what_was_sealed_opens(folder: Folder, size: int, step: int) -> None:
    content = sealed(noise(size), step=step)
    assert len(content) == sealed_bytes(size)
    assert plain_bytes(len(content)) == size
    found = folder.opened(content)
    assert found.size == size
    assert found.read(0, size) == noise(size)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(0, 3 * BLOCK_BYTES + 99), st.integers(0, 3 * BLOCK_BYTES + 99))
def test_any_range_can_be_read(folder: Folder, start: int, length: int) -> None:
    plain = noise(3 * BLOCK_BYTES + 17)
    found = folder.opened(sealed(plain))
    assert found.read(start, length) == plain[start : start + length]
    folder.close()


@given(st.integers(0, 10**13))
def test_sizes_follow_from_each_other(size: int) -> None:
    assert plain_bytes(sealed_bytes(size)) == size


@given(st.integers(0, 5 * SEALED))
def test_a_length_that_no_file_has_is_refused(length: int) -> None:
    try:
        plain = plain_bytes(length)
    except BlocksBroken:
        assert all(sealed_bytes(size) != length for size in range(max(0, length - HEADER_BYTES - 200), length))
    else:
        assert sealed_bytes(plain) == length


def test_it_is_the_construction_that_the_docstring_says() -> None:
    plain = noise(BLOCK_BYTES + 3)
    content = sealed(plain)
    assert content[:24] == b"EDUSEAL1" + b"2026-a_B" + bytes(8)
    salt, prefix, end = content[24:56], content[56:63], content[63:64]
    assert end == b"\0"
    info = b"edurise stored file 1" + content[:24] + CONTEXT
    cipher = AESGCM(HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(NEW.secret))
    first, last = content[64 : 64 + SEALED], content[64 + SEALED :]
    assert cipher.decrypt(prefix + bytes(4) + b"\0", first, None) == plain[:BLOCK_BYTES]
    assert cipher.decrypt(prefix + b"\0\0\0\1\1", last, None) == plain[BLOCK_BYTES:]


def test_nothing_of_the_content_is_seen_and_no_file_is_like_another() -> None:
    plain = b"the answer is 42" * 10_000
    one, other = sealed(plain), sealed(plain)
    assert b"the answer" not in one
    assert one[24:] != other[24:]
    assert one[24:63] != other[24:63]


def test_every_changed_bit_is_noticed(folder: Folder) -> None:
    content = sealed(noise(2 * BLOCK_BYTES + 100))
    places = [*range(HEADER_BYTES), HEADER_BYTES, HEADER_BYTES + SEALED - 1, HEADER_BYTES + SEALED, len(content) - 1]
    places += random.Random(5).sample(range(len(content)), 40)
    for place in places:
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        assert folder.broken(bytes(changed)) in ("corrupt", "unknown_key"), place


def test_every_cut_and_every_addition_is_noticed(folder: Folder) -> None:
    content = sealed(noise(3 * BLOCK_BYTES))
    ends = [0, 1, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + 1, HEADER_BYTES + TAG_BYTES]
    ends += [HEADER_BYTES + number * SEALED + more for number in (1, 2, 3) for more in (-17, -1, 0, 1, 15, 16, 17)]
    for end in ends:
        if end < len(content):
            assert folder.broken(content[:end]) == "corrupt", end
    for more in (b"x", bytes(TAG_BYTES), content[-SEALED:], content[HEADER_BYTES : HEADER_BYTES + SEALED]):
        assert folder.broken(content + more) == "corrupt"


def test_a_cut_is_noticed_before_anything_is_read(folder: Folder) -> None:
    content = sealed(noise(3 * BLOCK_BYTES))
    with pytest.raises(BlocksBroken):
        folder.opened(content[: HEADER_BYTES + 2 * SEALED])


def test_blocks_do_not_change_places(folder: Folder) -> None:
    content = sealed(noise(4 * BLOCK_BYTES))
    header, rest = content[:HEADER_BYTES], content[HEADER_BYTES:]
    blocks = [rest[at : at + SEALED] for at in range(0, len(rest), SEALED)]
    for order in ([1, 0, 2, 3], [0, 0, 2, 3], [0, 2, 3], [0, 1, 3, 2], [3, 1, 2, 0], [1, 2, 3]):
        assert folder.broken(header + b"".join(blocks[number] for number in order)) == "corrupt", order
    other = sealed(noise(4 * BLOCK_BYTES))
    assert folder.broken(content[: HEADER_BYTES + SEALED] + other[HEADER_BYTES + SEALED :]) == "corrupt"
    assert folder.broken(other[:HEADER_BYTES] + rest) == "corrupt"


def test_a_file_opens_only_where_it_belongs(folder: Folder) -> None:
    content = sealed(noise(100))
    assert folder.broken(content, context=b"object f/ab/2") == "corrupt"


def test_a_file_is_opened_with_the_key_that_it_names(folder: Folder) -> None:
    content = sealed(noise(100), OLD)
    assert folder.opened(content, NEW, OLD).read(0, 100) == noise(100)
    assert folder.broken(content, NEW) == "unknown_key"
    assert folder.broken(content, EncryptionKey(OLD.id, NEW.secret)) == "corrupt"


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("", bytes(32)),
        ("a b", bytes(32)),
        ("ä", bytes(32)),
        ("x" * 17, bytes(32)),
        ("a", bytes(31)),
        ("a", bytes(33)),
        ("a\n", bytes(32)),
    ],
)
def test_what_is_no_key_is_refused(name: str, secret: bytes) -> None:
    with pytest.raises(ValueError, match="key"):
        EncryptionKey(name, secret)


def test_a_key_does_not_show_itself() -> None:
    assert repr(NEW.secret)[2:10] not in repr(NEW)
