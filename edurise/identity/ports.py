"""What identity needs from outside."""

from __future__ import annotations

from typing import Protocol


class PasswordHasher(Protocol):
    """A slow hash, off the event loop and off the database's threads."""

    async def hash(self, password: str) -> str:
        """Return the encoded hash, salt and parameters included."""

    async def verify(self, encoded: str | None, password: str) -> bool:
        """Whether the password matches. ``None`` (no such person) takes as long as a real comparison and is False."""
