"""What the frames of live classes hold under ``data``. A client's ``timestamp`` is accepted and not believed."""

from __future__ import annotations

from schemas.base import Choice, Id, Ignored, StrictSchema, Text

LONGEST_ANNOUNCEMENT = 2_000
LONGEST_QUESTION = 2_000


class QuestionFrame(StrictSchema):
    """``ask_question``: what a learner asks the teacher."""

    question = Text(min=1, max=LONGEST_QUESTION, lines=True, required=True)
    timestamp = Ignored()


class AnnouncementFrame(StrictSchema):
    """``send_announcement``: what the teacher tells everybody in the class."""

    message = Text(min=1, max=LONGEST_ANNOUNCEMENT, lines=True, required=True)
    timestamp = Ignored()


class MarkFrame(StrictSchema):
    """``update_attendance``: what the teacher says of one learner."""

    student_id = Id(required=True)
    status = Choice(["present", "absent", "partial", "late"], required=True)
    timestamp = Ignored()
