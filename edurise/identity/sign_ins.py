"""Ways to an organization's provider and back: begun in one browser, answered once, used once. System role only.

What the browser carries is stored as hashes, and what the provider is shown again is sealed: a copy of the database
ends nobody's sign-in.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, select, update
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from edurise.db import moment
from edurise.errors import Forbidden, Invalid, NotFound
from edurise.identity.client_secrets import context_of
from edurise.identity.models import Person
from edurise.identity.ports import Relying
from edurise.identity.proofs import ExternalIdentity, IdentityProvider, SignIn
from edurise.sealing import Vault, base64url
from edurise.tenants import belonging
from edurise.tenants import queries as tenants

AWAY_FOR = timedelta(minutes=10)
CODE_FOR = timedelta(minutes=2)
_ROOT = "/api/v1/accounts/auth/oidc"


@dataclass(frozen=True)
class Ticket:
    """What begins a way. ``asked`` is the S256 of a secret of the client's own, or empty: with it, only who holds the
    secret can end the way that it began."""

    state: str = field(repr=False)
    browser: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    next_path: str
    asked: str = field(repr=False)


@dataclass(frozen=True)
class Claimed:
    """A way that came back."""

    id: UUID
    tenant_id: UUID
    relying: Relying
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    next_path: str


def ticket(next_path: str, asked: str) -> Ticket:
    """New secrets for a way."""
    state, browser, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(4))
    return Ticket(state, browser, nonce, verifier, next_path, asked)


def challenge(verifier: str) -> str:
    """The S256 challenge of RFC 7636."""
    return base64url(hashlib.sha256(verifier.encode()).digest())


def hashed(value: str) -> str:
    """How a secret that the browser carries is stored."""
    return hashlib.sha256(value.encode()).hexdigest()


def cookie_name(state: str) -> str:
    """The cookie of one way: two tabs do not take each other's."""
    return f"edurise_sign_in_{hashed(state)[:16]}"


def callback_path(provider_id: UUID) -> str:
    """Where a provider sends the browser back to. Each has its own, so that one cannot be given the code of another
    (mix-up, RFC 9700, 4.4)."""
    return f"{_ROOT}/{provider_id}/callback/"


def begin(session: Session, provider_id: UUID, begun: Ticket, vault: Vault) -> Relying:
    """Begin a way to an active provider. Raises NotFound."""
    provider = session.scalars(
        select(IdentityProvider).where(IdentityProvider.id == provider_id, IdentityProvider.is_active)
    ).one_or_none()
    if provider is None or tenants.organization(session, provider.tenant_id) is None:
        raise NotFound
    now, way_id = moment(session), uuid7()
    session.add(
        SignIn(
            id=way_id,
            tenant_id=provider.tenant_id,
            provider_id=provider.id,
            state_hash=hashed(begun.state),
            browser_hash=hashed(begun.browser),
            nonce=begun.nonce,
            sealed_verifier=vault.seal(f"{begun.verifier} {begun.asked}".encode(), way_id.bytes),
            next_path=begun.next_path,
            created_at=now,
            expires_at=now + AWAY_FOR,
        )
    )
    return relying(provider, vault)


def claim(session: Session, provider_id: UUID, state: str, browser: str, vault: Vault) -> Claimed:
    """Take a way that came back to its provider's address, once, in the browser that began it.

    Raises Invalid (SIGN_IN_REFUSED) for every other; another browser does not use it up.
    """
    now = moment(session)
    found = session.execute(
        update(SignIn)
        .where(
            SignIn.state_hash == hashed(state),
            SignIn.browser_hash == hashed(browser),
            SignIn.provider_id == provider_id,
            SignIn.answered_at.is_(None),
            SignIn.expires_at > now,
        )
        .values(answered_at=now)
        .returning(SignIn.id, SignIn.tenant_id, SignIn.nonce, SignIn.sealed_verifier, SignIn.next_path)
    ).one_or_none()
    provider = session.get(IdentityProvider, provider_id)
    if found is None or provider is None or not provider.is_active:
        raise Invalid("SIGN_IN_REFUSED")
    verifier, _ = _unsealed(vault, found.id, found.sealed_verifier)
    return Claimed(found.id, found.tenant_id, relying(provider, vault), found.nonce, verifier, found.next_path)


def answer(session: Session, way_id: UUID, person_id: UUID, code: str) -> None:
    """Keep whom the way led to, for who brings ``code`` soon."""
    session.execute(
        update(SignIn)
        .where(SignIn.id == way_id)
        .values(person_id=person_id, code_hash=hashed(code), expires_at=moment(session) + CODE_FOR)
    )


def led_to(session: Session, code: str, secret: str, vault: Vault) -> tuple[UUID, UUID]:
    """The person whom a code would let in, and the organization; ``use`` uses it up.

    Raises Invalid (SIGN_IN_REFUSED) for a code that was used, has expired, or was begun with another secret.
    """
    found = session.execute(
        select(SignIn.id, SignIn.tenant_id, SignIn.person_id, SignIn.sealed_verifier).where(*_good(session, code))
    ).one_or_none()
    if found is None or found.person_id is None:
        raise Invalid("SIGN_IN_REFUSED")
    _, asked = _unsealed(vault, found.id, found.sealed_verifier)
    if asked and not hmac.compare_digest(asked, challenge(secret)):
        raise Invalid("SIGN_IN_REFUSED")
    return found.person_id, found.tenant_id


def use(session: Session, code: str) -> None:
    """Use a code up, in the transaction that opens the session.

    Raises Invalid (SIGN_IN_REFUSED) for one that somebody else was faster with, for who is gone, and where the provider
    is trusted no more: whoever takes it away waits for this session and then ends it. Forbidden (MEMBERSHIP_SUSPENDED)
    for who was switched off in the meantime.
    """
    trusted = (
        select(SignIn.tenant_id, SignIn.person_id)
        .join(IdentityProvider, IdentityProvider.id == SignIn.provider_id)
        .join(
            ExternalIdentity,
            and_(
                ExternalIdentity.tenant_id == SignIn.tenant_id,
                ExternalIdentity.person_id == SignIn.person_id,
                ExternalIdentity.issuer == IdentityProvider.issuer,
                ExternalIdentity.linked_at.is_not(None),
            ),
        )
        .where(*_good(session, code), IdentityProvider.is_active)
        .with_for_update(read=True, of=IdentityProvider)  # before the way's own row, as whoever removes a provider does
    )
    found = session.execute(trusted).first()
    used = update(SignIn).where(*_good(session, code)).values(used_at=moment(session)).returning(SignIn.id)
    if found is None or found.person_id is None or session.scalar(used) is None:
        raise Invalid("SIGN_IN_REFUSED")
    belongs = belonging.state(session, found.tenant_id, found.person_id)
    if belongs is None or not session.get_one(Person, found.person_id).is_active:
        raise Invalid("SIGN_IN_REFUSED")
    if not belongs:
        raise Forbidden("MEMBERSHIP_SUSPENDED")


def _good(session: Session, code: str) -> tuple[ColumnElement[bool], ...]:
    return (SignIn.code_hash == hashed(code), SignIn.used_at.is_(None), SignIn.expires_at > moment(session))


def forget_expired(session: Session) -> int:
    """Delete ways that can lead nowhere any more; returns how many."""
    gone = session.execute(delete(SignIn).where(SignIn.expires_at < moment(session)).returning(SignIn.id))
    return len(gone.all())


def relying(provider: IdentityProvider, vault: Vault) -> Relying:
    """How we are known to a provider, with the secret in clear."""
    sealed = provider.sealed_client_secret
    secret = None if sealed is None else vault.unseal(sealed, context_of(provider.id)).decode()
    return Relying(provider.issuer, provider.client_id, secret)


def _unsealed(vault: Vault, way_id: UUID, sealed: bytes) -> tuple[str, str]:
    verifier, _, asked = vault.unseal(sealed, way_id.bytes).decode().partition(" ")
    return verifier, asked
