"""A file store under test: sources that fail or wait, and short words for what tests ask of a store."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from edurise.files import keys
from edurise.files.ports import FileStore, Part

MIB = 2**20
Run = Callable[[Coroutine[Any, Any, Any]], Any]


class BrokenSource(Exception):
    """What a source raises in the middle."""


def new_key(part: str = "") -> str:
    """A key that nothing is stored under."""
    return keys.of(uuid4(), part)


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that differ everywhere and can be made again."""
    return random.Random(seed).randbytes(size)


async def stream(content: bytes | Iterable[bytes], chunk: int = 60_000) -> AsyncIterator[bytes]:
    """The content in chunks that fit no block and no part."""
    pieces = (
        [content[at : at + chunk] for at in range(0, len(content), chunk)] if isinstance(content, bytes) else content
    )
    for piece in pieces:
        yield piece
        await asyncio.sleep(0)


async def failing(content: bytes) -> AsyncIterator[bytes]:
    """The content, then BrokenSource."""
    async for piece in stream(content):
        yield piece
    raise BrokenSource


async def waiting(content: bytes, came_to_its_end: asyncio.Event) -> AsyncIterator[bytes]:
    """The content, then nothing for ever."""
    async for piece in stream(content):
        yield piece
    came_to_its_end.set()
    await asyncio.get_running_loop().create_future()


@dataclass
class Shelf:
    """A store, and the loop that it runs on."""

    store: FileStore
    run: Run

    async def put(self, content: bytes, key: str | None = None) -> str:
        """Store it under a new key."""
        key = key or new_key()
        assert await self.store.put(key, stream(content)) == len(content)
        return key

    async def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """All of a range, whose pieces are not too large."""
        pieces = []
        async with aclosing(self.store.read(key, start, length)) as found:
            async for piece in found:
                assert 0 < len(piece) <= MIB
                pieces.append(piece)
        return b"".join(pieces)

    async def part(self, key: str, upload: str, number: int, content: bytes) -> Part:
        """Store one part."""
        part = await self.store.put_part(key, upload, number, stream(content), len(content))
        assert (part.number, part.size) == (number, len(content))
        return part

    async def unfinished(self, key: str) -> list[str]:
        """The uploads of this key that are neither joined nor dropped."""
        return [one.upload async for one in self.store.unfinished() if one.key == key]

    async def stored(self, key: str) -> list[int]:
        """The sizes that the listing has under this key: one, or none."""
        return [one.size async for one in self.store.listing() if one.key == key]
