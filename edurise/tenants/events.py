"""What tenants tell the rest of the platform."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from edurise.outbox import Event


@dataclass(frozen=True, kw_only=True)
class InvitationMade(Event):
    """Somebody was asked to join an organization, or is asked again. The mail's link is made from the invitation."""

    topic: ClassVar[str] = "tenants.invitation_made.v1"
    invitation_id: UUID
