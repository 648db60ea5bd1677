"""Teacher applications: bodies and answers."""

from __future__ import annotations

from typing import Any

from marshmallow import post_load

from schemas.base import Choice, Email, Id, Instant, ListOf, Nested, OutSchema, StrictSchema, Text


class ApplicantOut(OutSchema):
    """The person of an application, nested as one screen reads it."""

    first_name = Text()
    last_name = Text()
    email = Email()
    name = Text(max=300)
    avatar = Text(max=2000, allow_none=True)


class DocumentOut(OutSchema):
    """A document of an application."""

    id = Id()
    name = Text()
    url = Text(max=2000)


class ReviewerOut(OutSchema):
    """Who decided."""

    first_name = Text()
    last_name = Text()


class TeacherApprovalOut(OutSchema):
    """The contract's TeacherApproval: the union of what four screens read."""

    id = Id()
    user_id = Id()
    status = Choice(["pending", "approved", "rejected"])
    user = Nested(ApplicantOut)
    user_first_name = Text()
    user_last_name = Text()
    user_email = Email()
    first_name = Text()
    last_name = Text()
    email = Email()
    organization_name = Text()
    name = Text(max=300)
    avatar = Text(max=2000, allow_none=True)
    teaching_experience = Text(max=5000, lines=True)
    subject_expertise = Text(max=5000, lines=True)
    education = Text(max=5000, lines=True)
    experience = Text(max=5000, lines=True)
    expertise_areas = Text(max=5000, lines=True)
    teaching_philosophy = Text(max=5000, lines=True)
    documents = ListOf(Nested(DocumentOut))
    rejection_reason = Text(max=5000, lines=True)
    applied_at = Instant()
    created_at = Instant()
    submitted_at = Instant()
    reviewed_at = Instant(allow_none=True)
    processed_at = Instant(allow_none=True)
    processed_by = Nested(ReviewerOut, allow_none=True)


class ApplicationIn(StrictSchema):
    """What an applicant writes; all of it can follow later."""

    teaching_experience = Text(max=5000, lines=True, load_default="")
    subject_expertise = Text(max=5000, lines=True, load_default="")
    education = Text(max=5000, lines=True, load_default="")
    experience = Text(max=5000, lines=True, load_default="")
    expertise_areas = Text(max=5000, lines=True, load_default="")
    teaching_philosophy = Text(max=5000, lines=True, load_default="")


class ApplicationPatch(StrictSchema):
    """A decision (``status``, with ``notes`` or ``rejection_reason`` for the applicant), or what an applicant writes
    otherwise."""

    status = Choice(["approved", "rejected"])
    notes = Text(max=5000, lines=True)
    rejection_reason = Text(max=5000, lines=True)
    teaching_experience = Text(max=5000, lines=True)
    subject_expertise = Text(max=5000, lines=True)
    education = Text(max=5000, lines=True)
    experience = Text(max=5000, lines=True)
    expertise_areas = Text(max=5000, lines=True)
    teaching_philosophy = Text(max=5000, lines=True)

    @post_load
    def one_spelling(self, data: dict[str, Any], **_: object) -> dict[str, Any]:
        if "rejection_reason" in data:
            data["notes"] = data.pop("rejection_reason")
        return data


class RejectIn(StrictSchema):
    """Why, for the applicant."""

    notes = Text(max=5000, lines=True, load_default="")


class DocumentIn(StrictSchema):
    """A file of the applicant's."""

    file_id = Id(required=True)
