"""The personal data of live classes: who gave them, and who came."""

from __future__ import annotations

from edurise.live.models import Attendance, Interval, LiveClass
from edurise.personal import NAMELESS, Fate, PersonalTable, declare, emptying, exporting

SECTION = "live"

declare(
    PersonalTable(
        section=SECTION,
        table="live_classes",
        person=("instructor_id",),
        fate=Fate.EMPTIED,
        export=exporting(
            LiveClass.instructor_id,
            LiveClass.id,
            LiveClass.tenant_id,
            LiveClass.course_id,
            LiveClass.instructor_name,
            LiveClass.title,
            LiveClass.description,
            LiveClass.status,
            LiveClass.scheduled_at,
            LiveClass.started_at,
            LiveClass.ended_at,
            LiveClass.created_at,
        ),
        erase=emptying(
            LiveClass.instructor_id,
            instructor_name=" ".join(NAMELESS),
            idempotency_key=None,
            idempotency_digest=None,
        ),
        because="Classes are the school's, and others attended them; the teacher's name goes.",
    )
)
declare(
    PersonalTable(
        section=SECTION,
        table="attendance",
        person=("person_id",),
        fate=Fate.KEPT,
        export=exporting(
            Attendance.person_id,
            Attendance.tenant_id,
            Attendance.class_id,
            Attendance.marked_status,
            Attendance.questions_asked,
            Attendance.first_joined_at,
            Attendance.created_at,
        ),
        erase=None,
        because="The school's record of how many attended a class: of somebody without a name.",
    )
)
declare(
    PersonalTable(
        section=SECTION,
        table="attendance_intervals",
        person=("person_id",),
        fate=Fate.KEPT,
        export=exporting(
            Attendance.person_id,
            Interval.tenant_id,
            Interval.class_id,
            Interval.joined_at,
            Interval.left_at,
            Interval.ended_by,
            order=(Interval.id,),
            joined=(
                Interval,
                (Interval.class_id == Attendance.class_id)
                & (Interval.person_id == Attendance.person_id)
                & (Interval.tenant_id == Attendance.tenant_id),
            ),
        ),
        erase=None,
        because="What a record of attendance is made of.",
    )
)
