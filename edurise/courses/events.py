"""What courses tell the rest of the platform."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from edurise.outbox import Event


@dataclass(frozen=True, kw_only=True)
class CoursePublished(Event):
    """A course became visible to everybody."""

    topic: ClassVar[str] = "courses.published.v1"
    course_id: UUID
