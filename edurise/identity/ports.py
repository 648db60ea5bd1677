"""What identity needs from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
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
class Relying:
    """How this installation is known to a provider. ``client_secret`` is None for a public client."""

    issuer: str
    client_id: str
    client_secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Departure:
    """What goes along to the authorization endpoint. ``challenge`` is the S256 of the verifier (RFC 7636)."""

    redirect_uri: str
    state: str = field(repr=False)
    nonce: str = field(repr=False)
    challenge: str = field(repr=False)


@dataclass(frozen=True)
class Return:
    """What came back by the browser, and what was kept for it. ``issuer`` is the answer's ``iss`` (RFC 9207)."""

    redirect_uri: str
    code: str = field(repr=False)
    verifier: str = field(repr=False)
    nonce: str = field(repr=False)
    issuer: str | None = None


@dataclass(frozen=True)
class Vouched:
    """Somebody's account elsewhere. ``email`` is None unless whoever runs it has verified it. Names may be empty."""

    issuer: str
    subject: str
    email: str | None = field(repr=False)
    first_name: str
    last_name: str


class OpenIdClient(Protocol):
    """The relying party of OpenID Connect Core 1.0, by the authorization code flow with PKCE."""

    async def departure(self, relying: Relying, going: Departure) -> str:
        """The URL that the browser is sent to. Raises Upstream (PROVIDER_UNAVAILABLE)."""

    async def arrival(self, relying: Relying, back: Return) -> Vouched:
        """Exchange the code and verify what came for it.

        Raises Invalid (SIGN_IN_REFUSED) for what the provider refuses or what does not hold, Upstream
        (PROVIDER_UNAVAILABLE) for a provider that does not answer as it should.
        """

    async def faults(self, issuer: str) -> list[str]:
        """What is wrong with a provider, asked anew, as codes of ``edurise/texts``; nothing for a good one."""

    async def close(self) -> None:
        """Close the connections."""


class Google(Protocol):
    """Knows whose an access token of Google is."""

    is_offered: bool

    async def who_is(self, access_token: str) -> Vouched:
        """Raises Conflict (GOOGLE_NOT_OFFERED), Invalid (GOOGLE_REFUSED), Upstream (PROVIDER_UNAVAILABLE)."""

    async def close(self) -> None:
        """Close the connections."""
