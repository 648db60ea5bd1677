"""What live classes tell the rest of the platform."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from edurise.outbox import Event


@dataclass(frozen=True, kw_only=True)
class LiveClassStarted(Event):
    """A class went live."""

    topic: ClassVar[str] = "live.class_started.v1"
    class_id: UUID
    course_id: UUID
    title: str
