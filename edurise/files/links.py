"""Signed links: a URL that opens one file by itself, as one person, for a while.

A link says *as whom* a file is opened; the policy decides anew each time, so who loses access loses it with every link
at once. Signed are file, person, disposition, expiry and the file's link version, which is counted up to revoke them
all. Keys follow from the platform's secret and the number of the current period (HKDF), so they rotate by themselves
and one that leaks signs nothing after its period; a link outlives no more than one rotation.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote
from uuid import UUID

from edurise.errors import NotFound
from edurise.files.ports import Disposition
from edurise.sealing import derive

LONGEST_S = 7 * 86_400
SHOWN_S = 3600
"""How long a link in an answer opens at least; it is rounded up, so that an answer stays the same for a while."""
_PERIOD_S = 30 * 86_400
_BODY = struct.Struct(">BHIIB16s16s")
_FORMAT = 1
_TAG_BYTES = 16
_VARIANTS = ("attachment", "inline", "thumbnail")
_TOKEN_CHARS = (_BODY.size + _TAG_BYTES) * 4 // 3  # a multiple of three bytes: there is no padding


@dataclass(frozen=True)
class Link:
    """What a link says. ``variant`` is a disposition, or ``thumbnail``."""

    file_id: UUID
    person_id: UUID
    version: int
    variant: str
    expires_at: int

    @property
    def disposition(self) -> Disposition:
        return "attachment" if self.variant == "attachment" else "inline"


class LinkSigner:
    """Makes and reads the tokens of links."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._key = lru_cache(maxsize=8)(self._derived)

    def _derived(self, period: int) -> bytes:
        return derive(self._secret, f"file-links:{period}")

    def sign(self, link: Link, now: datetime) -> str:
        """The token of a link, 80 characters of the URL-safe alphabet."""
        period = int(now.timestamp()) // _PERIOD_S
        body = _BODY.pack(
            _FORMAT,
            period,
            link.expires_at,
            link.version,
            _VARIANTS.index(link.variant),
            link.file_id.bytes,
            link.person_id.bytes,
        )
        return base64.urlsafe_b64encode(body + self._tag(period, body)).decode()

    def read(self, token: str, now: datetime) -> Link:
        """What a token says. Raises NotFound for one that is forged, changed, expired or of a key that has gone."""
        body = self._verified(token, int(now.timestamp()) // _PERIOD_S)
        _, _, expires_at, version, variant, file_id, person_id = _BODY.unpack(body)
        if expires_at <= now.timestamp():
            raise NotFound("LINK_EXPIRED")
        return Link(UUID(bytes=file_id), UUID(bytes=person_id), version, _VARIANTS[variant], expires_at)

    def _verified(self, token: str, current: int) -> bytes:
        if len(token) != _TOKEN_CHARS or not token.isascii():
            raise NotFound("LINK_INVALID")
        try:
            raw = base64.b64decode(token, altchars=b"-_", validate=True)
        except binascii.Error:
            raise NotFound("LINK_INVALID") from None
        if len(raw) != _BODY.size + _TAG_BYTES:
            raise NotFound("LINK_INVALID")
        body, tag = raw[: _BODY.size], raw[_BODY.size :]
        made, period = _BODY.unpack(body)[:2]
        is_known = made == _FORMAT and period in (current, current - 1)
        if not hmac.compare_digest(tag, self._tag(period, body)) or not is_known:
            raise NotFound("LINK_INVALID")
        return body

    def _tag(self, period: int, body: bytes) -> bytes:
        return hmac.digest(self._key(period), body, "sha256")[:_TAG_BYTES]


@dataclass(frozen=True)
class Links:
    """Where links lead: ``base`` is the server's public address, ``cdn`` what stands before it for public files."""

    signer: LinkSigner
    base: str
    cdn: str

    def for_(self, person_id: UUID | None, now: datetime) -> LinkMaker:
        """Who makes links that open files as this person."""
        return LinkMaker(self.signer, person_id, now, self.base, self.cdn)


@dataclass(frozen=True)
class LinkMaker:
    """Makes the URLs of files for one person."""

    signer: LinkSigner
    person_id: UUID | None
    now: datetime
    base: str
    cdn: str

    def file_url(self, row: Mapping[str, Any]) -> str | None:
        """A URL that opens the file: for good where anybody may, else for an hour or two, as this person."""
        if row["access"] == "public" and row["sha256"]:
            return self.cdn + public_path(row)
        return self.signed(row, "attachment", SHOWN_S)

    def thumbnail_url(self, row: Mapping[str, Any]) -> str | None:
        """The same for the small picture of a file."""
        if row["access"] == "public" and row["sha256"]:
            return self.cdn + thumbnail_path(row)
        return self.signed(row, "thumbnail", SHOWN_S)

    def signed(self, row: Mapping[str, Any], variant: str, seconds: int, *, exact: bool = False) -> str | None:
        """A signed link for (at least, unless ``exact``) so many seconds; None for nobody."""
        if self.person_id is None:
            return None
        until = int(self.now.timestamp()) + seconds
        if not exact:
            until += -until % SHOWN_S
        token = self.signer.sign(Link(row["id"], self.person_id, row["link_version"], variant, until), self.now)
        return f"{self.base}/api/v1/file-links/{token}/{quote(row['name'], safe='')}"


def public_path(row: Mapping[str, Any]) -> str:
    """The path of a public file: named by its content, so whatever keeps it may keep it for good."""
    return f"/media/{row['id']}/{row['sha256'][:32]}/{quote(row['name'], safe='')}"


def thumbnail_path(row: Mapping[str, Any]) -> str:
    """The path of the small picture of a public file."""
    return f"/media/{row['id']}/{row['sha256'][:32]}/thumbnail/"
