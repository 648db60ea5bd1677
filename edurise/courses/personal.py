"""The personal data of courses: who teaches one. What a teacher wrote for a course is the school's, and stays."""

from __future__ import annotations

from sqlalchemy import text

from edurise.courses.models import Course
from edurise.personal import NAMELESS, Fate, PersonalTable, declare, emptying, exporting, running

SECTION = "courses"

declare(
    PersonalTable(
        section=SECTION,
        table="courses",
        person=("instructor_id",),
        fate=Fate.EMPTIED,
        export=exporting(
            Course.instructor_id,
            Course.id,
            Course.tenant_id,
            Course.instructor_first_name,
            Course.instructor_last_name,
            Course.title,
            Course.description,
            Course.category,
            Course.tags,
            Course.price_minor,
            Course.currency,
            Course.status,
            Course.moderation_reason,
            Course.created_at,
            Course.updated_at,
            Course.published_at,
        ),
        erase=emptying(
            Course.instructor_id,
            instructor_first_name=NAMELESS[0],
            instructor_last_name=NAMELESS[1],
            idempotency_key=None,
            idempotency_digest=None,
        ),
        because="Courses, with their modules and lessons, are the school's, and people learn from them; the teacher's"
        " name goes.",
    )
)
declare(
    PersonalTable(
        section=SECTION,
        table="catalogue",
        person=("instructor_id",),
        fate=Fate.EMPTIED,
        export=None,
        # The database writes it anew with the courses; this only counts.
        erase=running(text("SELECT course_id FROM catalogue WHERE instructor_id = :person")),
        because="A copy of the published courses.",
    )
)
