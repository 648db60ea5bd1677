"""What a conditional or partial request gets (RFC 9110, sections 13 and 14), by headers alone.

One range is answered as it is asked for. Several are answered by the whole, which the RFC leaves to the server: their
number then costs nothing. A header that cannot be read counts as absent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from edurise.errors import PreconditionFailed, RangeNotSatisfiable

# Longer numbers lie behind the end of everything, and int() of a very long text is slow.
_RANGE = re.compile(r"bytes=[ \t]*(?:([0-9]{1,30})-([0-9]{0,30})|-([0-9]{1,30}))[ \t]*", re.IGNORECASE)
_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_ANY = "*"


@dataclass(frozen=True)
class Plan:
    """What is answered: ``status`` 200, 206 or 304, and ``length`` bytes of a file of ``size`` from ``start``."""

    status: int
    start: int
    length: int
    size: int
    has_body: bool

    @property
    def holds_first(self) -> bool:
        """Whether the first byte is sent (of an empty file: its nothing), which counts as a download."""
        return self.has_body and self.start == 0

    @property
    def content_range(self) -> str:
        """The Content-Range of a 206."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{self.size}"


@dataclass(frozen=True)
class Asked:
    """The method of a request (GET or HEAD) and its headers about parts and conditions, None where there are none."""

    method: str = "GET"
    range: str | None = None
    if_range: str | None = None
    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: str | None = None
    if_unmodified_since: str | None = None

    @property
    def is_strict(self) -> bool:
        """Whether it depends on validators of ours that nobody else knows."""
        return any((self.if_range, self.if_match, self.if_unmodified_since))

    def plan(self, etag: str, size: int, modified_at: datetime) -> Plan:
        """What a file of ``size`` with this strong tag (without its quotes) gets.

        Raises PreconditionFailed and RangeNotSatisfiable.
        """
        modified = modified_at.replace(microsecond=0)
        self._check(etag, modified)
        if self._has_it(etag, modified):
            return Plan(304, 0, 0, size, has_body=False)
        if self.method != "GET":
            return Plan(200, 0, size, size, has_body=False)
        part = self._part(size) if self._wants_part(etag, modified) else None
        if part is None:
            return Plan(200, 0, size, size, has_body=True)
        return Plan(206, *part, size, has_body=True)

    def _check(self, etag: str, modified: datetime) -> None:
        if self.if_match is not None:
            if not _names(self.if_match, etag, weakly=False):
                raise PreconditionFailed
        elif self.if_unmodified_since is not None:
            since = _moment(self.if_unmodified_since)
            if since is not None and modified > since:
                raise PreconditionFailed

    def _has_it(self, etag: str, modified: datetime) -> bool:
        if self.if_none_match is not None:
            return _names(self.if_none_match, etag, weakly=True)
        since = _moment(self.if_modified_since) if self.if_modified_since is not None else None
        return since is not None and modified <= since

    def _wants_part(self, etag: str, modified: datetime) -> bool:
        if self.if_range is None:
            return True
        if '"' in self.if_range:
            return self.if_range.strip() == f'"{etag}"'
        return _moment(self.if_range) == modified

    def _part(self, size: int) -> tuple[int, int] | None:
        """(start, length), or None for the whole. An empty file has no parts, so a client that always asks for some
        gets it."""
        found = _RANGE.fullmatch(self.range or "")
        if found is None or size == 0:
            return None
        first, last, suffix = found.groups()
        if suffix is not None:
            length = min(int(suffix), size)
            start = size - length
        else:
            start = int(first)
            end = min(int(last), size - 1) if last else size - 1
            if last and int(last) < start:
                return None
            length = end - start + 1
        if length <= 0:
            raise RangeNotSatisfiable(size=size)
        return start, length


def _names(header: str, etag: str, *, weakly: bool) -> bool:
    """Whether a list of entity tags has this one (RFC 9110, 8.8.3.2)."""
    if header.strip() == _ANY:
        return True
    return any(tag == etag and (weakly or not weak) for weak, tag in _TAG.findall(header))


def _moment(header: str) -> datetime | None:
    """An HTTP-date, None for what is none."""
    try:
        found = parsedate_to_datetime(header)
    except (TypeError, ValueError, OverflowError):
        return None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
