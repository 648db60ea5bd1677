"""Where a channel's events can be read again: PostgreSQL keeps durable channels, Redis ephemeral ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from edurise import channels as stored
from edurise.channels import Replay
from edurise.db import Database

EPHEMERAL = frozenset({"ai"})
"""Kinds of channel that live in Redis; all others are durable."""


class Store(Protocol):
    """Where the events of some channels are kept, to be read again."""

    async def heads(self, channels: Sequence[str]) -> dict[str, tuple[int, UUID]]:
        """Where each channel stands; those without an event are absent."""

    async def read(self, channel: str, after: int | None, epoch: UUID | None) -> Replay:
        """What followed a position, for a reader that was admitted before."""


class StoredChannels:
    """Durable channels, which PostgreSQL keeps."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def heads(self, channels: Sequence[str]) -> dict[str, tuple[int, UUID]]:
        """One statement for all."""
        found: dict[str, tuple[int, UUID]] = await self._db.system(stored.heads, channels)
        return found

    async def read(self, channel: str, after: int | None, epoch: UUID | None) -> Replay:
        """A page of what followed."""
        found: Replay = await self._db.system(stored.replay, channel, after, epoch)
        return found
