"""Bodies and answers of enrollments."""

from __future__ import annotations

from schemas.base import Choice, Email, Id, Ignored, Instant, Int, Nested, OutSchema, StrictSchema, Text
from schemas.courses import CourseOut


class EnrollIn(StrictSchema):
    """Nothing is needed: whether the caller may enroll is told by price and payments. Old clients send the payment's
    id."""

    payment_id = Ignored()


class StudentOut(OutSchema):
    """Who is enrolled."""

    id = Id()
    first_name = Text()
    last_name = Text()
    email = Email()


class EnrollmentOut(OutSchema):
    """The contract's Enrollment."""

    id = Id()
    student = Nested(StudentOut)
    course = Nested(CourseOut)
    course_id = Id()
    course_title = Text()
    status = Choice(["active", "completed", "dropped", "suspended"])
    progress_percentage = Int(max=100)
    enrolled_at = Instant()
    completed_at = Instant(allow_none=True)
    last_accessed = Instant()
