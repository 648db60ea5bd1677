"""What payments tell the rest of the platform."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from edurise.outbox import Event


@dataclass(frozen=True, kw_only=True)
class PaymentSettled(Event):
    """A payment was completed, and the learner enrolled, in one transaction."""

    topic: ClassVar[str] = "payments.settled.v1"
    payment_id: UUID
    learner_id: UUID
    course_id: UUID
    course_title: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, kw_only=True)
class GatewayReported(Event):
    """A gateway sent a signed event about an intent; what it means is asked of the gateway again, so that order does
    not matter."""

    topic: ClassVar[str] = "payments.gateway_reported.v1"
    gateway: str
    gateway_event_id: str
    intent_reference: str
