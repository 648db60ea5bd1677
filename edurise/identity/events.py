"""What identity tells the rest of the platform. An address that is not on file is sealed: events are kept long."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from edurise.outbox import Event


@dataclass(frozen=True, kw_only=True)
class PersonRegistered(Event):
    """A person made an account and joined an organization."""

    topic: ClassVar[str] = "identity.person_registered.v1"
    person_id: UUID


@dataclass(frozen=True, kw_only=True)
class TeacherApproved(Event):
    """An administrator approved a teacher application; the person now teaches in the organization."""

    topic: ClassVar[str] = "identity.teacher_approved.v1"
    application_id: UUID
    person_id: UUID


@dataclass(frozen=True, kw_only=True)
class TeacherRejected(Event):
    """An administrator rejected a teacher application; the reason stands in it."""

    topic: ClassVar[str] = "identity.teacher_rejected.v1"
    application_id: UUID
    person_id: UUID


@dataclass(frozen=True, kw_only=True)
class EmailVerificationAsked(Event):
    """A person is to show that their address is theirs."""

    topic: ClassVar[str] = "identity.email_verification_asked.v1"
    person_id: UUID


@dataclass(frozen=True, kw_only=True)
class PasswordResetAsked(Event):
    """Somebody who names an address has lost a password. It is recorded alike for known and unknown addresses."""

    topic: ClassVar[str] = "identity.password_reset_asked.v1"
    sealed_email: str


@dataclass(frozen=True, kw_only=True)
class PasswordChanged(Event):
    """A person has another password."""

    topic: ClassVar[str] = "identity.password_changed.v1"
    person_id: UUID


@dataclass(frozen=True, kw_only=True)
class EmailChangeAsked(Event):
    """A person is to confirm another address."""

    topic: ClassVar[str] = "identity.email_change_asked.v1"
    personal: ClassVar[tuple[str, ...]] = ("sealed_email",)
    person_id: UUID
    sealed_email: str


@dataclass(frozen=True, kw_only=True)
class EmailChanged(Event):
    """A person moved to another address; the sealed one is that from before."""

    topic: ClassVar[str] = "identity.email_changed.v1"
    personal: ClassVar[tuple[str, ...]] = ("sealed_email",)
    person_id: UUID
    sealed_email: str


@dataclass(frozen=True, kw_only=True)
class AccountDeletionAsked(Event):
    """A person deleted their account; it is erased after ``until``, unless they log in before."""

    topic: ClassVar[str] = "identity.account_deletion_asked.v1"
    person_id: UUID
    until: datetime


@dataclass(frozen=True, kw_only=True)
class AccountRestored(Event):
    """Who had deleted their account logged in again in time."""

    topic: ClassVar[str] = "identity.account_restored.v1"
    person_id: UUID


@dataclass(frozen=True, kw_only=True)
class SecondFactorEnrolled(Event):
    """A person has a second factor now."""

    topic: ClassVar[str] = "identity.second_factor_enrolled.v1"
    person_id: UUID


@dataclass(frozen=True, kw_only=True)
class SecondFactorDisabled(Event):
    """A person has no second factor any more."""

    topic: ClassVar[str] = "identity.second_factor_disabled.v1"
    person_id: UUID


@dataclass(frozen=True, kw_only=True)
class RecoveryCodeUsed(Event):
    """A recovery code stood in for the second factor."""

    topic: ClassVar[str] = "identity.recovery_code_used.v1"
    person_id: UUID


@dataclass(frozen=True, kw_only=True)
class IdentityLinkAsked(Event):
    """An organization's identity provider vouched for an address that an account has; its person is asked by mail
    whether the two belong together."""

    topic: ClassVar[str] = "identity.identity_link_asked.v1"
    link_id: UUID
    person_id: UUID
