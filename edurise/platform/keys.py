"""Keys of generated rows: UUIDv7 in shape (RFC 9562, 5.7), sorted and indexed like real ones, but seeded."""

from __future__ import annotations

from random import Random
from uuid import UUID

_FROM_MS = 1_735_689_600_000  # 2025-01-01: before any row that the platform itself makes


class Keys:
    """The n-th key of a kind of row is the same in every run; kinds do not disturb each other."""

    def __init__(self, scope: str) -> None:
        self._scope = scope
        self._kinds: dict[str, tuple[Random, list[int]]] = {}

    def next(self, kind: str) -> UUID:
        """The next key of this kind; keys of a kind ascend."""
        random, count = self._kinds.setdefault(kind, (Random(f"{self._scope}/{kind}"), [0]))  # noqa: S311 - repeatable on purpose
        count[0] += 1
        bits = random.getrandbits(74)
        return UUID(
            int=(_FROM_MS + count[0]) << 80 | 0x7 << 76 | (bits >> 62) << 64 | 0b10 << 62 | (bits & (1 << 62) - 1)
        )
