"""What enrollments tell the rest of the platform."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from edurise.outbox import Event


@dataclass(frozen=True, kw_only=True)
class CourseEnrolled(Event):
    """A person was enrolled in a course; ``paid`` says that a payment led to it."""

    topic: ClassVar[str] = "enrollments.course_enrolled.v1"
    enrollment_id: UUID
    course_id: UUID
    person_id: UUID
    paid: bool
