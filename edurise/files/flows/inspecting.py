"""The inspection of a file that has arrived: its bytes are read once, for hash, size, malware and pictures.

Nothing is opened before. What is found is written down by ``inspections.conclude``.
"""

from __future__ import annotations

import hashlib
import tempfile
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from uuid_utils.compat import uuid7

from edurise.files import keys
from edurise.files.inspections import PICTURE_BYTES, Findings, Kept, Subject
from edurise.files.ports import BadPicture, FileStore, ObjectMissing, Picture, Verdict
from edurise.files.reading import Reading

if TYPE_CHECKING:
    from edurise.container import Container

THUMBNAIL_SIDE = 320
REMADE_SIDE = 1280


async def inspect(c: Container, of: Subject) -> Findings:
    """Read the bytes of a file and say what they are; pictures are made anew and stored beside it.

    Raises StoreUnavailable and ScannerUnavailable: then it is tried again, and the file is not opened meanwhile.
    """
    store = c.stores[of.store]
    with tempfile.TemporaryDirectory(prefix="edurise-") as directory:
        copy = Path(directory) / "picture" if of.is_picture else None
        reading = Reading(store.read(of.key), copy)
        try:
            verdict = await c.scanner.scan(reading.chunks(), of.size)
            if verdict.outcome == "infected":
                return Findings(verdict, failure=verdict.signature)
            await reading.to_the_end()
        except ObjectMissing:
            return Findings(Verdict("not_scanned", "missing"), failure="BYTES_MISSING")
        finally:
            await reading.close()
        if reading.size != of.size:
            return Findings(verdict, failure="FILE_INCOMPLETE")
        kept = Kept(of.key, reading.size, of.media_type, reading.sha256, reading.crc32)
        if copy is None:
            if of.is_reencoded:  # kept as it is it would show what nobody decoded
                return Findings(
                    verdict, failure="PICTURE_UNREADABLE" if of.size <= PICTURE_BYTES else "PICTURE_TOO_LARGE"
                )
            return Findings(verdict, kept)
        return await _pictured(c, of, store, copy, Findings(verdict, kept))


async def _pictured(c: Container, of: Subject, store: FileStore, copy: Path, found: Findings) -> Findings:
    """Beside an ordinary picture a small one; in the place of one that is only kept as pixels, a new one."""
    kept = found.kept
    try:
        if of.is_reencoded:
            kept = await _stored(store, keys.of(uuid7()), await c.pictures.render(copy, REMADE_SIDE))
        small = await c.pictures.render(copy, THUMBNAIL_SIDE)
    except BadPicture as bad:
        if of.is_reencoded:
            return Findings(found.verdict, failure=f"PICTURE_{bad.reason.upper()}")
        return found  # no decoder for it; it is opened as any other file
    where = kept.key if kept is not None else of.key
    return Findings(found.verdict, kept, await _stored(store, keys.beside(where, "thumb"), small))


async def _stored(store: FileStore, key: str, picture: Picture) -> Kept:
    async def content() -> AsyncIterator[bytes]:
        yield picture.content

    size = await store.put(key, content())
    digest = hashlib.sha256(picture.content).hexdigest()
    return Kept(key, size, picture.media_type, digest, zlib.crc32(picture.content))
