"""Success envelopes, written with orjson around the data's own bytes.

``{"success": true, "message", "timestamp", "data"}``. The shapes are those of ``guards.Shape``; ``page`` and ``body``
repeat the data's keys at the top level, because old clients read only there.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson

from edurise.paging import Found

COMPRESS_FROM = 1024
_PAGE_BYTES = 128 * 1024
_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC


@dataclass(frozen=True)
class Finished:
    """A body ready to be sent. ``etag`` is weak: it covers the data, not the timestamp around it."""

    status: int
    body: bytes
    etag: str
    twin: bytes | None = None

    def compressed(self) -> Finished:
        """The same with its gzip twin, for answers that are sent many times.

        A page is worth the better level; a list without pages may be megabytes, for which the loop has no time.
        """
        if len(self.body) <= COMPRESS_FROM:
            return self
        level = 6 if len(self.body) <= _PAGE_BYTES else 1
        return replace(self, twin=gzip_once(self.body, level))


def gzip_once(body: bytes, level: int = 1) -> bytes:
    """Compress an answer; by default at the lowest level, because it runs on the loop (some 13 µs a KiB)."""
    return gzip.compress(body, level, mtime=0)


def accepts_gzip(header: str) -> bool:
    """Whether an Accept-Encoding names gzip with a weight above 0 (RFC 9110, 12.5.3)."""
    if "gzip" not in header or ";" not in header:
        return "gzip" in header
    weights = {name.strip(): weight for name, _, weight in (item.partition(";") for item in header.split(","))}
    return "gzip" in weights and weights["gzip"].replace(" ", "").rstrip("0.") != "q="


def dumps(value: Any) -> bytes:
    """JSON as every answer writes it: UUIDs as text, times in UTC with Z."""
    return orjson.dumps(value, option=_OPTIONS)


def stamp(at: datetime) -> str:
    """A time as every answer writes it."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def envelope(status: int, data: Any, shape: str, at: datetime) -> Finished:
    """Wrap ``data`` by one of ``guards.Shape``; for ``page`` and ``body`` it is an object. The message of a success is
    empty: clients show none."""
    inner = dumps(data)
    parts = [b'{"success":true,"message":"","timestamp":"', stamp(at).encode(), b'"']
    if shape != "none":
        parts += [b',"data":', inner]
    if shape in ("page", "body") and len(inner) > 2:
        parts += [b",", inner[1:-1]]
    parts.append(b"}")
    return Finished(status, b"".join(parts), f'W/"{hashlib.sha1(inner, usedforsecurity=False).hexdigest()}"')


def page_data(found: Found, number: int, size: int, link: Any) -> dict[str, Any]:
    """A page as the contract has it; ``link(number)`` makes an absolute URL."""
    more = number * size < found.count
    return {
        "count": found.count,
        "next": link(number + 1) if more else None,
        "previous": link(number - 1) if number > 1 else None,
        "results": found.rows,
    }
