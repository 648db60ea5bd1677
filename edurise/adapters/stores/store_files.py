"""Files that are read and written below one folder, plain or sealed. All of it blocks.

Folders are entered one by one without following links, so a link inside the folder leads nowhere. What is written
becomes visible by a rename after fsync, and the rename is made durable by fsync of the folder.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from edurise.adapters.stores.sealed_blocks import EncryptionKey, Opened, Sealer
from edurise.files.keys import checked
from edurise.files.ports import ObjectMissing, StoreUnavailable
from edurise.ports import Clock

STORE = "local"
SEALED = ".sealed"
"""What the names of sealed files end in: the bytes of a plain file are a client's, and could say anything."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
COPY_BYTES = 1_048_576
_IOVECS = 512
_CANNOT_COPY = frozenset({errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM})
_ENTER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_MAKE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Root:
    """The folder. It has ``incoming``, where files are written, and what ``places`` names.

    Raises OSError for what the disk refuses, here and in all that follows.
    """

    def __init__(self, root: Path, clock: Clock, keys: Sequence[EncryptionKey], places: Sequence[str]) -> None:
        self.root = root.absolute()
        self.clock = clock
        self.keys = tuple(keys)
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root = self.root.resolve()
        for name in (*places, "incoming"):
            (self.root / name).mkdir(mode=0o700, exist_ok=True)

    @contextlib.contextmanager
    def entered(self, place: str, *, make: bool = False) -> Iterator[int]:
        """A descriptor of a folder below the root. Raises FileNotFoundError for one below the first level.

        Where these or the root are gone, or a link stands in the way, it is another OSError: nothing is known then.
        """
        first, *rest = place.split("/")
        try:
            within = _entered(first, os.open(self.root, _ENTER))
        except FileNotFoundError as gone:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), first) from gone
        for name in rest:
            within = _entered(name, within, make=make)
        try:
            yield within
        finally:
            os.close(within)

    def new_upload(self) -> str:
        """A name for an upload that begins now (UUIDv7: RFC 9562, section 5.7)."""
        moment = (self.clock.now() - EPOCH) // timedelta(milliseconds=1)
        noise = secrets.randbits(74)
        return str(UUID(int=moment << 80 | 7 << 76 | noise >> 62 << 64 | 2 << 62 | noise & (2**62 - 1)))


class StoredFile:
    """A file that is read, plain or sealed. ``open`` it first; ``close`` it in any case."""

    size = 0

    def __init__(self, folder: Root, *places: tuple[str, str], context: bytes) -> None:
        """``places``: folder and name of each file that it may be, the first that is there counts."""
        self._folder = folder
        self._places = places
        self._context = context
        self._sealed: Opened | None = None
        self.descriptor = -1

    @property
    def is_sealed(self) -> bool:
        return self._sealed is not None

    def open(self) -> int:
        """Return its size in bytes of plain text. Raises ObjectMissing."""
        for place, name in self._places:
            with contextlib.suppress(FileNotFoundError), self._folder.entered(place) as within:
                self.descriptor = os.open(name, _READ, dir_fd=within)
                break
        else:
            raise ObjectMissing
        found = os.fstat(self.descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise StoreUnavailable(STORE, "not_a_file")
        if name.endswith(SEALED):
            self._sealed = Opened(self.descriptor, self._folder.keys, self._context)
        self.size = self._sealed.size if self._sealed else found.st_size
        return self.size

    def read(self, start: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``start``, which must be there."""
        piece = self._sealed.read(start, length) if self._sealed else os.pread(self.descriptor, length, start)
        if len(piece) != length:
            raise StoreUnavailable(STORE, "truncated")
        return piece

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class Draft:
    """A file that is being written to ``incoming``, plain or sealed, until it is published or discarded."""

    def __init__(self, folder: Root, key: str, context: bytes) -> None:
        self.size = 0
        self.is_sealed = bool(folder.keys)
        self._folder = folder
        self._name = f"{folder.new_upload()}.{flat(key)}"
        self._sealer = Sealer(folder.keys[0], context) if folder.keys else None
        self._descriptor = -1
        self._published: tuple[str, str] | None = None

    def write(self, chunks: Sequence[bytes]) -> None:
        """Append."""
        self._open()
        self.size += sum(map(len, chunks))
        self._append([self._sealer.update(b"".join(chunks))] if self._sealer else chunks)

    def copy(self, source: StoredFile) -> None:
        """Append a whole file; between plain ones the kernel copies, or shares the blocks."""
        self._open()
        at = 0
        if self._sealer is None and not source.is_sealed and hasattr(os, "copy_file_range"):
            at = self._copied_by_kernel(source)
            self.size += at
        while at < source.size:
            length = min(COPY_BYTES, source.size - at)
            self.write([source.read(at, length)])
            at += length

    def publish(self, place: str, name: str) -> None:
        """Finish, and move it to where it is seen; both are on the disk afterwards."""
        self._open()
        if self._sealer:
            self._append([self._sealer.finish()])
        moment = round(self._folder.clock.now().timestamp() * 1_000_000) * 1_000
        os.utime(self._descriptor, ns=(moment, moment))
        os.fsync(self._descriptor)
        with self._folder.entered("incoming") as incoming, self._folder.entered(place) as within:
            os.rename(self._name, name, src_dir_fd=incoming, dst_dir_fd=within)
            self._published = (place, name)
            os.fsync(within)
        self._close()

    def discard(self) -> None:
        """Remove it, unless it was published; without effect where there is nothing."""
        self._close()
        self._remove("incoming", self._name)

    def withdraw(self) -> None:
        """Remove it, also where it was published."""
        self.discard()
        if self._published:
            self._remove(*self._published)

    def _remove(self, place: str, name: str) -> None:
        with contextlib.suppress(FileNotFoundError), self._folder.entered(place) as within:
            os.unlink(name, dir_fd=within)

    def _open(self) -> None:
        if self._descriptor < 0:
            with self._folder.entered("incoming") as incoming:
                self._descriptor = os.open(self._name, _MAKE, 0o600, dir_fd=incoming)
            if self._sealer:
                self._append([self._sealer.header])

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _append(self, chunks: Sequence[bytes]) -> None:
        for first in range(0, len(chunks), _IOVECS):
            some = [memoryview(chunk) for chunk in chunks[first : first + _IOVECS] if chunk]
            while some:
                written = os.writev(self._descriptor, some)
                while some and written >= len(some[0]):
                    written -= len(some.pop(0))
                if some:
                    some[0] = some[0][written:]

    def _copied_by_kernel(self, source: StoredFile) -> int:
        at = 0
        try:
            while at < source.size:
                done = os.copy_file_range(source.descriptor, self._descriptor, source.size - at, at)
                if done == 0:
                    raise StoreUnavailable(STORE, "truncated")
                at += done
        except OSError as refused:
            if refused.errno not in _CANNOT_COPY:
                raise
        return at


def _entered(name: str, outer: int, *, make: bool = False) -> int:
    """A descriptor of a folder in ``outer``, which is closed in any case."""
    try:
        if make:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=outer)
                os.fsync(outer)
        return os.open(name, _ENTER, dir_fd=outer)
    finally:
        os.close(outer)


def flat(key: str) -> str:
    return checked(key).replace("/", "_")
