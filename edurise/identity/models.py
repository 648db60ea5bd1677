"""People and how they are let in. Everything but people and teacher applications is granted to the system role
alone."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    LargeBinary,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from edurise.db import Base, Keyed, TenantScoped


class Person(Keyed, Base):
    """A human being, once, over all organizations.

    ``email_verified_at``: when the address was shown to be theirs. ``avatar_path`` is the path of a public picture.
    ``erase_after``: when an account that its person deleted is erased, unless they log in before.
    """

    __tablename__ = "people"
    __table_args__ = (
        Index(None, "created_at"),
        Index(None, "last_login_at"),
        Index("ix_people_erase_after", "erase_after", postgresql_where=text("erase_after IS NOT NULL")),
    )

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
    email_verified_at: Mapped[datetime | None]
    avatar_path: Mapped[str | None]
    has_second_factor: Mapped[bool] = mapped_column(default=False)
    erase_after: Mapped[datetime | None]
    erased_at: Mapped[datetime | None]


class Profile(Base):
    """What a person says of themselves, once, over all organizations; made when it is first changed."""

    __tablename__ = "profiles"

    person_id: Mapped[UUID] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), primary_key=True)
    bio: Mapped[str] = mapped_column(default="")
    phone: Mapped[str] = mapped_column(default="")
    date_of_birth: Mapped[date | None]
    title: Mapped[str] = mapped_column(default="")
    experience: Mapped[str] = mapped_column(default="")
    expertise: Mapped[str] = mapped_column(default="")
    education: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, default=list)
    social_links: Mapped[dict[str, str]] = mapped_column(JSONB, default=dict)
    updated_at: Mapped[datetime]


class Preferences(Base):
    """How a person wants to be treated, once, over all organizations; without a row the defaults count."""

    __tablename__ = "preferences"
    __table_args__ = (CheckConstraint("theme IN ('light', 'dark', 'auto')", name="theme"),)

    person_id: Mapped[UUID] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), primary_key=True)
    email_notifications: Mapped[bool] = mapped_column(default=True)
    push_notifications: Mapped[bool] = mapped_column(default=True)
    marketing_emails: Mapped[bool] = mapped_column(default=False)
    theme: Mapped[str] = mapped_column(default="auto")
    updated_at: Mapped[datetime]


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
    teaching_experience: Mapped[str] = mapped_column(default="")
    subject_expertise: Mapped[str] = mapped_column(default="")
    education: Mapped[str] = mapped_column(default="")
    experience: Mapped[str] = mapped_column(default="")
    expertise_areas: Mapped[str] = mapped_column(default="")
    teaching_philosophy: Mapped[str] = mapped_column(default="")
    submitted_at: Mapped[datetime]
    reviewed_at: Mapped[datetime | None]
    reviewed_by: Mapped[UUID | None] = mapped_column(ForeignKey("people.id", ondelete="SET NULL"), index=True)


class ApplicationDocument(TenantScoped, Base):
    """A file of the applicant's that belongs to an application."""

    __tablename__ = "application_documents"
    __table_args__ = (
        UniqueConstraint("tenant_id", "application_id", "file_id"),
        ForeignKeyConstraint(
            ["tenant_id", "application_id"],
            ["teacher_applications.tenant_id", "teacher_applications.id"],
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(["tenant_id", "file_id"], ["files.tenant_id", "files.id"], ondelete="CASCADE"),
        Index(None, "tenant_id", "file_id"),
    )

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"))
    application_id: Mapped[UUID]
    file_id: Mapped[UUID]
    name: Mapped[str]
    added_at: Mapped[datetime]


class LoginSession(Keyed, Base):
    """One log-in on one device: the family of its refresh tokens, and the organization it acts in.

    ``confined_to``: an organization's identity provider opened it, and it counts in that organization alone.
    ``proved_at``: when a second factor, or the password again, was last asked for and given. ``ends_at``: when it ends
    however much it is used.
    """

    __tablename__ = "sessions"
    __table_args__ = (CheckConstraint("method IN ('password', 'google', 'oidc', 'invitation')", name="method"),)

    person_id: Mapped[UUID] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), index=True)
    tenant_id: Mapped[UUID | None] = mapped_column(ForeignKey("organizations.id"), index=True)
    is_pinned: Mapped[bool] = mapped_column(default=False)
    user_agent: Mapped[str] = mapped_column(default="")
    ip: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime]
    used_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    revoked_at: Mapped[datetime | None]
    method: Mapped[str] = mapped_column(default="password")
    confined_to: Mapped[UUID | None] = mapped_column(ForeignKey("organizations.id"), index=True)
    proved_at: Mapped[datetime | None]
    ends_at: Mapped[datetime | None]


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
    """An Ed25519 key pair; the private half is sealed with the platform's secret. It signs from ``signs_from`` on, by
    when every process knows it, until a younger one does."""

    __tablename__ = "signing_keys"

    kid: Mapped[str] = mapped_column(primary_key=True)
    generation: Mapped[int] = mapped_column(unique=True)
    sealed_private_key: Mapped[bytes] = mapped_column(LargeBinary)
    public_key: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime]
    signs_from: Mapped[datetime]
    retired_at: Mapped[datetime | None]
