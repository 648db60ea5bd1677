"""People and how they are let in. Everything but people and teacher applications is granted to the system role
alone."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Computed, ForeignKey, Identity, Index, LargeBinary, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from edurise.db import Base, Keyed, TenantScoped


class Person(Keyed, Base):
    """A human being, once, over all organizations."""

    __tablename__ = "people"

    email: Mapped[str]
    email_key: Mapped[str | None] = mapped_column(Computed("lower(email)", persisted=True), unique=True)
    first_name: Mapped[str]
    last_name: Mapped[str]
    language: Mapped[str] = mapped_column(default="en")
    timezone: Mapped[str] = mapped_column(default="UTC")
    is_platform_admin: Mapped[bool] = mapped_column(default=False)
    is_active: Mapped[bool] = mapped_column(default=True)
    token_version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    last_login_at: Mapped[datetime | None]


class Credential(Base):
    """The password of a person, as an Argon2id string."""

    __tablename__ = "credentials"

    person_id: Mapped[UUID] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), primary_key=True)
    password_hash: Mapped[str]
    changed_at: Mapped[datetime]


class TeacherApplication(TenantScoped, Base):
    """A person's wish to teach in an organization. Approval makes the membership a teacher's."""

    __tablename__ = "teacher_applications"
    __table_args__ = (
        CheckConstraint("status IN ('pending', 'approved', 'rejected')", name="status"),
        UniqueConstraint("tenant_id", "person_id"),
        UniqueConstraint("tenant_id", "id"),
        Index(None, "tenant_id", "submitted_at"),
    )

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"))
    person_id: Mapped[UUID] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), index=True)
    status: Mapped[str] = mapped_column(default="pending")
    rejection_reason: Mapped[str] = mapped_column(default="")
    submitted_at: Mapped[datetime]
    reviewed_at: Mapped[datetime | None]
    reviewed_by: Mapped[UUID | None] = mapped_column(ForeignKey("people.id", ondelete="SET NULL"), index=True)


class LoginSession(Keyed, Base):
    """One log-in on one device: the family of its refresh tokens, and the organization it acts in."""

    __tablename__ = "sessions"

    person_id: Mapped[UUID] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), index=True)
    tenant_id: Mapped[UUID | None] = mapped_column(ForeignKey("organizations.id"), index=True)
    is_pinned: Mapped[bool] = mapped_column(default=False)
    user_agent: Mapped[str] = mapped_column(default="")
    ip: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime]
    used_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    revoked_at: Mapped[datetime | None]


class RefreshToken(Keyed, Base):
    """The SHA-256 of a refresh token. A rotated one is accepted again only within the grace."""

    __tablename__ = "refresh_tokens"

    session_id: Mapped[UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"), index=True)
    token_hash: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    rotated_at: Mapped[datetime | None]


class Revocation(Base):
    """A session whose access tokens are refused although they have not expired; every process reads new rows each
    second."""

    __tablename__ = "revocations"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    session_id: Mapped[UUID]
    at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class SigningKey(Base):
    """An Ed25519 key pair; the private half is sealed with the platform's secret."""

    __tablename__ = "signing_keys"

    kid: Mapped[str] = mapped_column(primary_key=True)
    generation: Mapped[int] = mapped_column(unique=True)
    sealed_private_key: Mapped[bytes] = mapped_column(LargeBinary)
    public_key: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime]
    retired_at: Mapped[datetime | None]
