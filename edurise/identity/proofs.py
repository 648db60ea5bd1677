"""What proves who somebody is beside a password: mailed links, second factors, identities elsewhere. System role only,
but for the identity providers of organizations."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from edurise.db import Base, Keyed, TenantScoped


class MailedLink(Keyed, Base):
    """A link that was mailed to an address, good once and until ``expires_at``. Its token is made from the id and
    ``EDU_SECRET_KEY`` when it is mailed, and is stored nowhere."""

    __tablename__ = "mailed_links"
    __table_args__ = (
        CheckConstraint(
            "purpose IN ('verify_email', 'change_email', 'reset_password', 'link_identity')", name="purpose"
        ),
    )

    person_id: Mapped[UUID] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), index=True)
    purpose: Mapped[str]
    email: Mapped[str]
    identity_id: Mapped[UUID | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    used_at: Mapped[datetime | None]


class SecondFactor(Base):
    """A person's TOTP secret (RFC 6238), sealed. It counts once it is confirmed; ``last_step`` is the newest time step
    that was used, so that no code is good twice."""

    __tablename__ = "second_factors"

    person_id: Mapped[UUID] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), primary_key=True)
    sealed_secret: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]
    last_step: Mapped[int | None] = mapped_column(BigInteger)
    failures: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[datetime | None]


class RecoveryCode(Keyed, Base):
    """The hash of a code that replaces the second factor once."""

    __tablename__ = "recovery_codes"
    __table_args__ = (UniqueConstraint("person_id", "code_hash"),)

    person_id: Mapped[UUID] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"))
    code_hash: Mapped[str]
    created_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class IdentityProvider(TenantScoped, Base):
    """An OpenID Connect provider that an organization trusts with its own members, and with nobody else's."""

    __tablename__ = "identity_providers"
    __table_args__ = (UniqueConstraint("tenant_id", "issuer"), UniqueConstraint("tenant_id", "id"))

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"))
    name: Mapped[str]
    issuer: Mapped[str]
    client_id: Mapped[str]
    sealed_client_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    is_active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class ExternalIdentity(Keyed, Base):
    """Somebody's account elsewhere. It lets in once ``linked_at`` is set; ``tenant_id`` is the organization whose
    provider vouches for it, None for one that the platform trusts."""

    __tablename__ = "external_identities"
    __table_args__ = (UniqueConstraint("tenant_id", "issuer", "subject", postgresql_nulls_not_distinct=True),)

    person_id: Mapped[UUID] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), index=True)
    tenant_id: Mapped[UUID | None] = mapped_column(ForeignKey("organizations.id"))
    issuer: Mapped[str]
    subject: Mapped[str]
    email: Mapped[str]
    linked_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class SignIn(Keyed, Base):
    """One way to a provider and back: begun, answered (``person_id``, ``code_hash``), used. Bound to the browser that
    began it."""

    __tablename__ = "sign_ins"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "provider_id"],
            ["identity_providers.tenant_id", "identity_providers.id"],
            ondelete="CASCADE",
        ),
        Index(None, "tenant_id", "provider_id"),
    )

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"))
    provider_id: Mapped[UUID]
    state_hash: Mapped[str] = mapped_column(unique=True)
    browser_hash: Mapped[str]
    nonce: Mapped[str]
    sealed_verifier: Mapped[bytes] = mapped_column(LargeBinary)
    next_path: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    answered_at: Mapped[datetime | None]
    person_id: Mapped[UUID | None] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), index=True)
    code_hash: Mapped[str | None] = mapped_column(unique=True)
    used_at: Mapped[datetime | None]
