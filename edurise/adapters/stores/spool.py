"""What comes in as a stream of any chunks and goes out as parts of a known size: each is kept in a temporary file."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BATCH_BYTES = 1_048_576


class Spool:
    """A temporary file without a name, with its size and MD5. Everything here blocks; not for two threads at a time."""

    def __init__(self) -> None:
        self.size = 0
        self._file: io.FileIO | None = None
        self._md5 = hashlib.md5(usedforsecurity=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def digest(self) -> str:
        """MD5 as 32 hexadecimal digits, which is what S3 calls the ETag of a part."""
        return self._md5.hexdigest()

    @property
    def content_md5(self) -> str:
        """MD5 as the header Content-MD5 has it (RFC 1864)."""
        return base64.b64encode(self._md5.digest()).decode()

    def write(self, chunks: Sequence[bytes | memoryview]) -> None:
        file = self._opened()
        for chunk in chunks:
            with memoryview(chunk) as rest:
                done = 0
                while done < len(rest):
                    done += file.write(rest[done:])
            self._md5.update(chunk)
            self.size += len(chunk)

    def view(self) -> io.BufferedReader:
        """The content from its beginning. Each view has a place and a descriptor of its own, so that one that a slow
        thread still holds disturbs no other."""
        return io.BufferedReader(_View(os.dup(self._opened().fileno()), self.size), BATCH_BYTES)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _opened(self) -> io.FileIO:
        if self._file is None:
            descriptor, name = tempfile.mkstemp()
            Path(name).unlink()
            self._file = io.FileIO(descriptor, "r+b")
        return self._file


class Intake:
    """Takes a source apart at sizes that are none of its own."""

    def __init__(self, source: AsyncIterator[bytes]) -> None:
        self._source = source
        self._rest = memoryview(b"")
        self._ended = False

    async def is_over(self) -> bool:
        """Whether nothing is left; waits for the next chunk to know."""
        while not self._rest and not self._ended:
            chunk = await anext(self._source, None)
            if chunk is None:
                self._ended = True
            else:
                self._rest = memoryview(chunk)
        return not self._rest

    async def take(self, most: int) -> AsyncGenerator[list[memoryview]]:
        """Up to ``most`` bytes, fewer only at the end, in batches of 1 MiB or what a chunk has more."""
        batch: list[memoryview] = []
        held = 0
        while most and not await self.is_over():
            piece, self._rest = self._rest[:most], self._rest[most:]
            batch.append(piece)
            held += len(piece)
            most -= len(piece)
            if held >= BATCH_BYTES:
                yield batch
                batch, held = [], 0
        if batch:
            yield batch


class _View(io.RawIOBase):
    """A stretch of a file from 0 to ``size``, read without moving the descriptor's own place."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        with memoryview(buffer) as whole:
            length = min(len(whole), self._size - self._at)
            done = os.preadv(self._descriptor, [whole[:length]], self._at) if length > 0 else 0
        self._at += done
        return done

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence])
        return self._at

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()
