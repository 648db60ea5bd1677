"""What privacy tells the rest of the platform."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from edurise.outbox import Event


@dataclass(frozen=True, kw_only=True)
class AccountErasureDue(Event):
    """The grace of a deleted account is over."""

    topic: ClassVar[str] = "privacy.account_erasure_due.v1"
    person_id: UUID


@dataclass(frozen=True, kw_only=True)
class AccountErased(Event):
    """An account was erased. ``sealed_letter`` says to whom it is told; it is blanked once that was done or given
    up."""

    topic: ClassVar[str] = "privacy.account_erased.v1"
    personal: ClassVar[tuple[str, ...]] = ("sealed_letter",)
    person_id: UUID
    sealed_letter: str
