"""What identity needs from outside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


class PasswordHasher(Protocol):
    """A slow hash, off the event loop and off the database's threads."""

    async def hash(self, password: str) -> str:
        """Return the encoded hash, salt and parameters included."""

    async def verify(self, encoded: str | None, password: str) -> bool:
        """Whether the password matches. ``None`` (no such person) takes as long as a real comparison and is False."""


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
    """Whom a provider vouches for. ``email`` is None unless the provider says that it verified the address."""

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


class GoogleAccounts(Protocol):
    """Google, as far as it tells whose access token one is."""

    async def vouch(self, access_token: str) -> Vouched:
        """Whose token it is. Raises Invalid (GOOGLE_REFUSED) for one that was not given to this installation, has
        expired, or is of an account whose address Google did not verify; Upstream (PROVIDER_UNAVAILABLE)."""

    async def close(self) -> None:
        """Close the connections."""
