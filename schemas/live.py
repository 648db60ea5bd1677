"""Bodies, queries and answers of live classes and attendance."""

from __future__ import annotations

from typing import Any

from marshmallow import post_load, validates_schema

from edurise.live.queries import CLASS_ORDER
from schemas.base import (
    Bool,
    Choice,
    Id,
    Instant,
    Int,
    Nested,
    Ordering,
    OutSchema,
    PageQuery,
    StrictSchema,
    Text,
    Url,
    refuse_field,
)
from schemas.enrollments import StudentOut
from schemas.fields import JsonSchema

STATES = ["scheduled", "live", "completed", "cancelled"]
STATUSES = ["present", "absent", "partial", "late"]


class Minutes(Int):
    """From 1 to 1440 minutes, as a whole number or, as select boxes send it, as its digits in a text."""

    def __init__(self, **options: Any) -> None:
        super().__init__(min=1, max=1440, **options)

    def read(self, value: Any) -> int:
        is_digits = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 4
        return super().read(int(value) if is_digits else value)

    def json_schema(self) -> JsonSchema:
        digits = "^(?:[1-9][0-9]{0,2}|1[0-3][0-9]{2}|14[0-3][0-9]|1440)$"
        return {"anyOf": [super().json_schema(), {"type": "string", "pattern": digits}]}


class LiveClassListQuery(PageQuery):
    """The classes of a course, or without one those of the caller."""

    course = Id()
    status = Choice(STATES)
    ordering = Ordering(list(CLASS_ORDER.columns))


class LiveClassIn(StrictSchema):
    """A new class. Its course is named by ``course_id`` or by ``course``. A ``scheduled_at`` without a zone is a local
    time of the course's organization."""

    course_id = Id()
    course = Id()
    title = Text(min=1, max=200, required=True)
    description = Text(max=20_000, lines=True)
    scheduled_at = Instant(naive=True, required=True)
    duration_minutes = Minutes(required=True)
    join_url = Url()

    @validates_schema
    def names_one_course(self, data: dict[str, Any], **_: object) -> None:
        """Exactly one of the two ways of naming the course."""
        if ("course_id" in data) == ("course" in data):
            refuse_field("course_id", "one_of", names="course_id, course")

    @post_load
    def by_one_name(self, data: dict[str, Any], **_: object) -> dict[str, Any]:
        """Whichever name came, ``course_id`` goes on."""
        course_id = data.pop("course", None) or data["course_id"]
        return {**data, "course_id": course_id}


class MomentIn(StrictSchema):
    """Nothing is needed: the time is the server's."""


class TeacherOut(OutSchema):
    """Who teaches a class."""

    id = Id()
    full_name = Text(max=511)


class LiveClassOut(OutSchema):
    """The contract's LiveClass. ``join_url`` is for learners and staff of the course, else null. There are no meetings
    of a vendor, passwords and recordings yet: null."""

    id = Id()
    course = Id()
    course_id = Id()
    course_title = Text()
    title = Text()
    description = Text(max=20_000, lines=True)
    instructor = Nested(TeacherOut)
    instructor_name = Text(max=511)
    scheduled_at = Instant()
    duration_minutes = Int(min=1, max=1440)
    status = Choice(STATES)
    join_url = Text(max=2000, allow_none=True)
    start_url = Text(max=2000, allow_none=True)
    password = Text(allow_none=True)
    zoom_meeting_id = Text(allow_none=True)
    recording_url = Text(max=2000, allow_none=True)
    started_at = Instant(allow_none=True)
    ended_at = Instant(allow_none=True)
    enrolled_students = Int(description="Learners of the course.")
    attendance_count = Int(required=False, description="Learners who came; for who teaches the class.")
    attended = Bool(required=False, description="Whether the caller came; for learners.")
    attendance_duration = Int(required=False, description="Minutes that the caller attended; for learners.")
    created_at = Instant()
    updated_at = Instant()


class AttendanceQuery(PageQuery):
    """The class whose attendance is asked for."""

    live_class_id = Id(required=True)


class MarkIn(StrictSchema):
    """A learner's status, set by hand."""

    live_class_id = Id(required=True)
    student_id = Id(required=True)
    status = Choice(STATUSES, required=True)


class AttendanceOut(OutSchema):
    """The contract's ClassAttendance."""

    id = Id()
    live_class = Id()
    student = Nested(StudentOut)
    status = Choice(STATUSES)
    join_time = Instant(allow_none=True)
    leave_time = Instant(allow_none=True)
    duration_minutes = Int(description="Whole minutes in the class while it ran.")
    participation_score = Int(max=100, description="Per cent of the class's time so far.")
    questions_asked = Int()
    created_at = Instant()
    updated_at = Instant()
