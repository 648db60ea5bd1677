"""What files need from the outside: stores that keep bytes, a scanner, a detector of types, a workshop for pictures and
somebody who empties caches."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

Disposition = Literal["inline", "attachment"]


@dataclass(frozen=True)
class Part:
    """One stored part of an upload. Numbers count from 1; ``tag`` is the store's own word for these very bytes."""

    number: int
    size: int
    tag: str


@dataclass(frozen=True)
class Stored:
    """An object as the store lists it; ``at`` is when it was last written."""

    key: str
    size: int
    at: datetime


@dataclass(frozen=True)
class Unfinished:
    """An upload in parts that was neither joined nor dropped."""

    key: str
    upload: str
    since: datetime


class StoreUnavailable(Exception):
    """The store did not answer, failed, or gave other bytes than it was asked for; ``reason`` is a word for the log.

    Nothing may be concluded about what was written.
    """

    def __init__(self, store: str, reason: str) -> None:
        self.store = store
        self.reason = reason
        super().__init__(f"{store}: {reason}")


class ObjectMissing(Exception):
    """The store answers, and there is no such object, upload or part."""


class FileStore(Protocol):
    """Keeps objects under keys that the server makes (``keys.py``); any other key is refused with ValueError.

    Everything is written whole or not at all: an object under ``key`` is complete. Nothing here is believed from a
    client. Every method raises StoreUnavailable within the store's time-out; those that name something raise
    ObjectMissing for what is not there, but ``delete`` and ``drop_parts`` do not mind.
    """

    @property
    def name(self) -> str:
        """The word stored with each file: ``local`` or ``s3``."""

    @property
    def part_bytes(self) -> int:
        """The size of every part of an upload in parts but the last, which may be smaller; a multiple of 64 KiB."""

    @property
    def is_direct(self) -> bool:
        """Whether clients can be sent to the store itself, by ``link`` and ``part_link``."""

    async def put(self, key: str, source: AsyncIterator[bytes]) -> int:
        """Store what ``source`` yields, in constant memory; returns its size.

        If ``source`` raises, or this is cancelled, nothing is under ``key`` afterwards and the error is passed on.
        """

    async def begin_parts(self, key: str) -> str:
        """Begin an upload in parts; returns the store's name for it."""

    async def put_part(self, key: str, upload: str, number: int, source: AsyncIterator[bytes], size: int) -> Part:
        """Store one part of exactly ``size`` bytes; a part stored again under its number takes the place of the first.

        Raises StoreUnavailable where ``source`` yields another number of bytes.
        """

    async def parts(self, key: str, upload: str) -> Sequence[Part]:
        """The parts that are stored, by number. Raises ObjectMissing for an upload that was joined or dropped."""

    async def join_parts(self, key: str, upload: str, parts: Sequence[Part]) -> None:
        """Make the object of exactly these parts, in order. Repeating it after it succeeded does no harm.

        Raises ObjectMissing where one of them is not there or was stored again since.
        """

    async def drop_parts(self, key: str, upload: str) -> None:
        """Forget an upload and its parts."""

    async def size(self, key: str) -> int:
        """The size of an object in bytes, as clients see it."""

    def read(self, key: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The bytes of an object from ``start``, in pieces of at most 1 MiB.

        Raises ObjectMissing at the first piece, and StoreUnavailable where there are fewer than ``length``.
        """

    def path(self, key: str) -> Path | None:
        """The plain file that holds the object, where there is one that may be sent as it is."""

    async def link(self, key: str, seconds: int, *, disposition: str, media_type: str) -> str:
        """A URL of the store that answers the object for so long, with these headers; only where ``is_direct``."""

    async def part_link(self, key: str, upload: str, number: int, size: int, seconds: int) -> str:
        """A URL of the store that takes one part of exactly ``size`` bytes by PUT; only where ``is_direct``."""

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; what is not there is no error."""

    def listing(self) -> AsyncIterator[Stored]:
        """Every object, in no promised order."""

    def unfinished(self) -> AsyncIterator[Unfinished]:
        """Every upload in parts that was neither joined nor dropped."""

    async def check(self) -> None:
        """See that the store can be used; raises StoreUnavailable."""

    async def close(self) -> None:
        """Close connections and threads."""


@dataclass(frozen=True)
class Verdict:
    """What a scanner says of a file. ``clean``; ``infected``, with the ``signature`` it found; or ``not_scanned``, with
    the reason in ``signature``: ``no_scanner`` or ``too_large``."""

    outcome: Literal["clean", "infected", "not_scanned"]
    signature: str = ""


class ScannerUnavailable(Exception):
    """The scanner did not answer, or failed; the file is to be scanned again later."""


class Scanner(Protocol):
    """Looks for malware in a stream of bytes."""

    async def scan(self, source: AsyncIterator[bytes], size: int) -> Verdict:
        """Read ``source`` to its end and say what it holds; a source that fails passes its error on.

        Raises ScannerUnavailable.
        """


class Detector(Protocol):
    """Says of what type bytes are, by the bytes alone."""

    def media_type(self, head: bytes, tail: bytes) -> str:
        """The media type of a file, by its first (at most 64 KiB) and last (at most 4 KiB) bytes.

        Text is ``text/plain``, ``text/html`` or ``image/svg+xml`` where it looks like that; what nothing is known of is
        ``application/octet-stream``. Never raises for any bytes.
        """


class BadPicture(Exception):
    """The bytes are no picture that can be decoded, or too large a one; ``reason``: ``unreadable`` or ``too_large``."""

    def __init__(self, reason: Literal["unreadable", "too_large"]) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True)
class Picture:
    """A picture made anew: only pixels, no metadata."""

    content: bytes
    media_type: str
    width: int
    height: int


class Pictures(Protocol):
    """Decodes and encodes pictures, away from the event loop."""

    async def render(self, source: Path, longest_side: int) -> Picture:
        """The picture of a file made anew, no side longer than that, turned as its EXIF says; transparency is kept.

        Of an animation the first frame. Raises BadPicture.
        """

    async def close(self) -> None:
        """Let the picture at hand be finished."""


class Purger(Protocol):
    """Empties caches that stand before the server."""

    async def purge(self, urls: Sequence[str]) -> None:
        """Make caches forget these URLs. Raises Upstream("CDN_UNAVAILABLE")."""

    async def close(self) -> None:
        """Close the connections."""
