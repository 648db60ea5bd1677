"""Stored objects as files of a folder: what ``LocalStore`` does on the disk. All of it blocks.

    f/<xx>/<object>[.sealed]                 objects; the path is the key
    parts/<upload>.<key>/<number>.<tag>[.sealed]
    incoming/<upload>.<key>                  what is being written, or what a crash left

In names of files a key's slashes are ``_``. An upload's name is a UUIDv7, which says when it began.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from edurise.adapters.stores.sealed_blocks import BlocksBroken, EncryptionKey, plain_bytes
from edurise.adapters.stores.store_files import EPOCH, SEALED, STORE, Draft, Root, StoredFile, flat
from edurise.files.keys import checked
from edurise.files.ports import ObjectMissing, Part, Stored, StoreUnavailable, Unfinished
from edurise.ports import Clock

MOST_PARTS = 10_000
"""As S3 has it."""
_UPLOAD = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_SHELF = re.compile(r"[0-9a-f]{2}")
_PART = re.compile(r"([0-9]{5})\.([0-9a-f]{32})(\.sealed)?")


class StoreFolder(Root):
    """A folder of objects. Raises OSError for what the disk refuses, BlocksBroken for what cannot be opened."""

    def __init__(self, root: Path, clock: Clock, keys: Sequence[EncryptionKey]) -> None:
        super().__init__(root, clock, keys, ("f", "parts"))

    # Objects

    def draft(self, key: str) -> Draft:
        return Draft(self, key, _object_context(key))

    def object(self, key: str) -> StoredFile:
        place, _, name = checked(key).rpartition("/")
        return StoredFile(self, (place, name + SEALED), (place, name), context=_object_context(key))

    def publish(self, draft: Draft, key: str) -> None:
        """Make a draft the object; what stood there before is replaced, plain or sealed."""
        place, _, name = checked(key).rpartition("/")
        with self.entered(place, make=True) as shelf:
            draft.publish(place, name + SEALED * draft.is_sealed)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name + SEALED * (not draft.is_sealed), dir_fd=shelf)

    def size(self, key: str) -> int:
        found = self.object(key)
        try:
            return found.open()
        finally:
            found.close()

    def path(self, key: str) -> Path | None:
        """The plain file of an object, where no link leads to it."""
        path = self.root / checked(key)
        sealed = path.with_name(path.name + SEALED)
        return path if path.is_file() and not sealed.exists() and path.resolve() == path else None

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            place, _, name = checked(key).rpartition("/")
            with contextlib.suppress(FileNotFoundError), self.entered(place) as shelf:
                for variant in (name, name + SEALED):
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(variant, dir_fd=shelf)
                os.fsync(shelf)

    def shelves(self) -> list[str]:
        with self.entered("f") as within:
            return sorted(filter(_SHELF.fullmatch, _names(within)))

    def shelf(self, name: str) -> list[Stored]:
        """The objects of one folder."""
        found = []
        with contextlib.suppress(FileNotFoundError), self.entered(f"f/{name}") as within, os.scandir(within) as entries:
            for entry in entries:
                key = f"f/{name}/{entry.name.removesuffix(SEALED)}"
                if _is_key(key) and entry.is_file(follow_symlinks=False):
                    try:
                        known = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue  # deleted since
                    at = datetime.fromtimestamp(known.st_mtime, UTC)
                    found.append(Stored(key, _visible_bytes(entry.name, known.st_size), at))
        return found

    # Parts

    def begin_parts(self, key: str) -> str:
        upload = self.new_upload()
        with self.entered("parts") as within:
            os.mkdir(f"{upload}.{flat(checked(key))}", 0o700, dir_fd=within)
            os.fsync(within)
        return upload

    def see_upload(self, key: str, upload: str) -> None:
        """Raises ObjectMissing for one that was joined or dropped."""
        try:
            with self.entered(_place_of_parts(key, upload)):
                return
        except FileNotFoundError:
            raise ObjectMissing from None

    def part_draft(self, key: str, upload: str, number: int) -> Draft:
        if not 1 <= number <= MOST_PARTS:
            raise ValueError(f"parts are numbered from 1 to {MOST_PARTS}")
        return Draft(self, key, _part_context(key, upload, number))

    def publish_part(self, draft: Draft, key: str, upload: str, number: int) -> Part:
        """Make a draft the part of its number, instead of any other. Raises ObjectMissing."""
        try:
            with self._locked(_place_of_parts(key, upload)) as within:
                before = [name for name in _names(within) if name.startswith(f"{number:05d}.")]
                tag = _next_tag(before)
                draft.publish(_place_of_parts(key, upload), f"{number:05d}.{tag}" + SEALED * draft.is_sealed)
                for name in before:
                    os.unlink(name, dir_fd=within)
        except FileNotFoundError:
            raise ObjectMissing from None
        return Part(number, draft.size, tag)

    def parts(self, key: str, upload: str) -> list[Part]:
        """The stored parts by number. Raises ObjectMissing."""
        try:
            with self._locked(_place_of_parts(key, upload)) as within:
                return _parts_in(within)
        except FileNotFoundError:
            raise ObjectMissing from None

    def part(self, key: str, upload: str, part: Part) -> StoredFile:
        """One part by its tag, whatever was stored since."""
        place, name = _place_of_parts(key, upload), f"{part.number:05d}.{part.tag}"
        context = _part_context(key, upload, part.number)
        return StoredFile(self, (place, name + SEALED), (place, name), context=context)

    def joinable(self, key: str, upload: str, parts: Sequence[Part]) -> bool:
        """Whether the parts are there, False where they were joined already. Raises ObjectMissing."""
        try:
            stored = set(self.parts(key, upload))
        except ObjectMissing:
            if self.size(key) != sum(part.size for part in parts):
                raise
            return False
        if not stored.issuperset(parts):
            raise ObjectMissing
        return True

    def append_part(self, draft: Draft, key: str, upload: str, part: Part) -> None:
        """Copy a part to the end of a draft. Raises ObjectMissing."""
        source = self.part(key, upload, part)
        try:
            if source.open() != part.size:
                raise StoreUnavailable(STORE, "truncated")
            draft.copy(source)
        finally:
            source.close()

    def publish_joined(self, draft: Draft, key: str, upload: str, parts: Sequence[Part]) -> None:
        """Make the object of a draft that holds the parts, if they are still the ones, and remove them.

        Of two that join at a time the second finds them gone. Raises ObjectMissing.
        """
        try:
            with self._locked(_place_of_parts(key, upload)) as within:
                if not set(_parts_in(within)).issuperset(parts):
                    raise ObjectMissing
                self.publish(draft, key)
                self._put_aside(key, upload)
        except FileNotFoundError:
            raise ObjectMissing from None
        self.drop(key, upload)

    def drop(self, key: str, upload: str) -> None:
        """Remove an upload and its parts, or what a crash left in ``incoming``."""
        place = _place_of_parts(key, upload)
        with contextlib.suppress(FileNotFoundError), self._locked(place):
            self._put_aside(key, upload)
        with self.entered("incoming") as incoming, contextlib.suppress(FileNotFoundError):
            _remove(place.removeprefix("parts/"), incoming)

    def _put_aside(self, key: str, upload: str) -> None:
        """Take the folder of an upload away at once, whatever is in it."""
        name = _place_of_parts(key, upload).removeprefix("parts/")
        with self.entered("parts") as parts, self.entered("incoming") as incoming:
            os.rename(name, name, src_dir_fd=parts, dst_dir_fd=incoming)
            os.fsync(parts)

    def unfinished(self) -> list[Unfinished]:
        found = []
        for place in ("parts", "incoming"):
            with self.entered(place) as within:
                for name in _names(within):
                    upload, _, rest = name.partition(".")
                    key = rest.replace("_", "/", 2)
                    if _UPLOAD.fullmatch(upload) and _is_key(key):
                        since = EPOCH + timedelta(milliseconds=UUID(upload).int >> 80)
                        found.append(Unfinished(key, upload, since))
        return found

    def check(self) -> None:
        """Write, and remove, a small file."""
        draft = self.draft("f/00/00000000-0000-0000-0000-000000000000")
        try:
            draft.write([b"check"])
        finally:
            draft.discard()

    @contextlib.contextmanager
    def _locked(self, place: str) -> Iterator[int]:
        """A folder that no other thread or process publishes to or removes meanwhile."""
        with self.entered(place) as within:
            fcntl.flock(within, fcntl.LOCK_EX)  # its end is the descriptor's
            yield within


def _names(within: int) -> list[str]:
    with os.scandir(within) as entries:
        return [entry.name for entry in entries]


def _remove(name: str, within: int) -> None:
    if stat.S_ISDIR(os.stat(name, dir_fd=within, follow_symlinks=False).st_mode):
        shutil.rmtree(name, dir_fd=within)
    else:
        os.unlink(name, dir_fd=within)


def _next_tag(before: Sequence[str]) -> str:
    """A tag that nobody can guess, and that sorts after those of the parts that it replaces."""
    found = [int(match[2][:8], 16) for match in map(_PART.fullmatch, before) if match]
    return f"{max(found, default=0) + 1:08x}{secrets.token_hex(12)}"


def _parts_in(within: int) -> list[Part]:
    """Two of one number are what a crash left, between the rename of the newer and the removal of the older."""
    found: dict[int, Part] = {}
    for name in sorted(_names(within)):
        if match := _PART.fullmatch(name):
            known = os.stat(name, dir_fd=within, follow_symlinks=False)
            found[int(match[1])] = Part(int(match[1]), _visible_bytes(name, known.st_size), match[2])
    return list(found.values())


def _is_key(text: str) -> bool:
    try:
        return bool(checked(text))
    except ValueError:
        return False


def _place_of_parts(key: str, upload: str) -> str:
    name = flat(key)
    if not _UPLOAD.fullmatch(upload):
        raise ValueError(f"{upload!r} is no name of an upload")
    return f"parts/{upload}.{name}"


def _object_context(key: str) -> bytes:
    return f"object {key}".encode()


def _part_context(key: str, upload: str, number: int) -> bytes:
    return f"part {key} {upload} {number}".encode()


def _visible_bytes(name: str, stored: int) -> int:
    """The size that a client sees; 0 for a sealed file that was cut so short that nothing of it can be read."""
    if not name.endswith(SEALED):
        return stored
    try:
        return plain_bytes(stored)
    except BlocksBroken:
        return 0
