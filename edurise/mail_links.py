"""Tokens of links in mails: made from a row's id and the platform's secret, so that no token is stored, a mail that is
sent twice is the same mail, and a copy of the database opens nothing. Whether one is used or expired, its row says."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from uuid import UUID

from edurise.errors import Invalid
from edurise.sealing import base64url, derive

_TAG_BYTES = 20


class MailLinks:
    """Makes and reads tokens; one purpose's are no other's."""

    def __init__(self, secret: str) -> None:
        self._key = derive(secret, "mail-links")

    def token(self, purpose: str, row_id: UUID) -> str:
        """The token of a row, 48 characters that are safe in a URL."""
        return base64url(row_id.bytes + self._tag(purpose, row_id))

    def read(self, purpose: str, token: str) -> UUID:
        """The id of the row; raises Invalid (MAILED_LINK_INVALID) for what ``token`` did not make."""
        try:
            raw = urlsafe_b64decode(token.encode("ascii") + b"==")
        except (Base64Error, ValueError):
            raise Invalid("MAILED_LINK_INVALID") from None
        if len(raw) != 16 + _TAG_BYTES:
            raise Invalid("MAILED_LINK_INVALID")
        row_id = UUID(bytes=raw[:16])
        if not hmac.compare_digest(raw[16:], self._tag(purpose, row_id)):
            raise Invalid("MAILED_LINK_INVALID")
        return row_id

    def _tag(self, purpose: str, row_id: UUID) -> bytes:
        return hmac.digest(self._key, purpose.encode() + b"\0" + row_id.bytes, "sha256")[:_TAG_BYTES]
