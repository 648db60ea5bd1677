"""Reading an object once, for several who want its bytes: hashes, a count and a copy, while somebody else reads."""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import BinaryIO, cast


class Reading:
    """A stream of bytes that is hashed, counted and, where there is a ``copy``, written to a file, piece by piece.

    Hashes and copies are made in threads, one piece at a time, so that the loop is never held up for longer than one
    piece takes to be handed over. Leave it by ``close``.
    """

    def __init__(self, source: AsyncIterator[bytes], copy: Path | None = None) -> None:
        self._source = source
        self._copy: BinaryIO | None = copy.open("wb") if copy is not None else None
        self._hash = hashlib.sha256()
        self.crc32 = 0
        self.size = 0

    @property
    def sha256(self) -> str:
        """Of what was read until now, in hexadecimal digits."""
        return self._hash.hexdigest()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes that were not read yet. Who leaves before the end may ask again for the rest."""
        async for chunk in self._source:
            await asyncio.to_thread(self._take, chunk)
            yield chunk

    async def to_the_end(self) -> None:
        """Read what nobody else did, and let the copy be complete."""
        async for _ in self.chunks():
            pass
        if self._copy is not None:
            await asyncio.to_thread(self._copy.flush)

    async def close(self) -> None:
        """Let the source and the copy go."""
        await cast("AsyncGenerator[bytes]", self._source).aclose()
        if self._copy is not None:
            await asyncio.to_thread(self._copy.close)

    def _take(self, chunk: bytes) -> None:
        self._hash.update(chunk)
        self.crc32 = zlib.crc32(chunk, self.crc32)
        self.size += len(chunk)
        if self._copy is not None:
            self._copy.write(chunk)
