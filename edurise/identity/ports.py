"""What identity needs from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class PasswordHasher(Protocol):
    """A slow hash, off the event loop and off the database's threads."""

    async def hash(self, password: str) -> str:
        """Return the encoded hash, salt and parameters included."""

    async def verify(self, encoded: str | None, password: str) -> bool:
        """Whether the password matches. ``None`` (no such person) takes as long as a real comparison and is False."""

    def is_outdated(self, encoded: str) -> bool:
        """Whether a hash was made with other parameters than those in use."""


class PasswordJudge(Protocol):
    """Knows passwords that should not be taken."""

    async def fault_of(self, password: str, about: Sequence[str]) -> str | None:
        """``weak_password``, ``breached_password`` or None. ``about`` are words that are known of the person."""


class Devices(Protocol):
    """Reads what a browser says of itself."""

    def name_of(self, user_agent: str) -> str:
        """The browser and its system for people to read; empty where nothing is known."""


class OneTimeCodes(Protocol):
    """Codes of an authenticator (RFC 6238)."""

    def new_secret(self) -> str:
        """A new shared secret, in base32."""

    def uri(self, secret: str, account: str) -> str:
        """The ``otpauth:`` URI by which an authenticator learns the secret."""

    def step_of(self, secret: str, code: str, at: datetime) -> int | None:
        """The time step that a code belongs to, around ``at``; None for one that is of none."""


class QrCodes(Protocol):
    """Pictures that cameras read."""

    def picture_of(self, text: str) -> str:
        """A picture as a ``data:`` URL."""


@dataclass(frozen=True)
class Vouched:
    """Somebody's account elsewhere, whose address whoever runs it has verified. Names may be empty."""

    issuer: str
    subject: str
    email: str
    first_name: str
    last_name: str


class Google(Protocol):
    """Knows whose an access token of Google is."""

    is_offered: bool

    async def who_is(self, access_token: str) -> Vouched:
        """Raises Conflict (GOOGLE_NOT_OFFERED), Invalid (GOOGLE_REFUSED), Upstream (PROVIDER_UNAVAILABLE)."""

    async def close(self) -> None:
        """Close the connections."""
