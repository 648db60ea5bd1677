"""What identity tells the rest of the platform."""

from __future__ import annotations

from dataclasses import dataclass
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
class IdentityLinkAsked(Event):
    """An organization's identity provider vouched for an address that an account has; its person is asked by mail
    whether the two belong together."""

    topic: ClassVar[str] = "identity.identity_link_asked.v1"
    link_id: UUID
    person_id: UUID
