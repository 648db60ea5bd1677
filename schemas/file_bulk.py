"""Bodies and answers of bulk commands on files, and of categories."""

from __future__ import annotations

from typing import Any

from marshmallow import validates_schema

from schemas.base import Bool, Choice, Id, Int, ListOf, Nested, Number, OutSchema, StrictSchema, Text, refuse_field
from schemas.files import LEVELS, FileIdsIn, ShareIn, ShareOut, Tags


class BulkMoveIn(FileIdsIn):
    """Where the files go: another category, another course, or (null) out of their course."""

    category = Text(min=1, max=100)
    course_id = Id(allow_none=True)

    @validates_schema
    def goes_somewhere(self, data: dict[str, Any], **_: object) -> None:
        """At least one of the two."""
        if "category" not in data and "course_id" not in data:
            refuse_field("category", "required")


class BulkShareIn(FileIdsIn, ShareIn):
    """The files, and the people."""


class BulkTagIn(FileIdsIn):
    """Tags to add and to remove."""

    add = Tags(load_default=list)
    remove = Tags(load_default=list)


class BulkResultOut(OutSchema):
    """What became of one file; ``code`` and ``message`` are null for a success, ``result`` is what sharing answers."""

    file_id = Id()
    success = Bool()
    code = Text(max=100, allow_none=True)
    message = Text(max=1000, allow_none=True)
    result = Nested(ShareOut, allow_none=True)


class CategoryIn(StrictSchema):
    """A new category of the organization."""

    name = Text(min=1, max=100, required=True)
    description = Text(max=1000, lines=True)
    icon = Text(max=50, pattern="[a-z0-9-]*")
    allowed_extensions = ListOf(Text(min=1, max=17), min=1, max=100, required=True)
    max_file_size_mb = Int(min=1, max=1_000_000, required=True)
    default_access_level = Choice(LEVELS)


class CategoryPatch(StrictSchema):
    """What is to change; what is absent stays."""

    name = Text(min=1, max=100)
    description = Text(max=1000, lines=True)
    icon = Text(max=50, pattern="[a-z0-9-]*")
    allowed_extensions = ListOf(Text(min=1, max=17), min=1, max=100)
    max_file_size_mb = Int(min=1, max=1_000_000)
    default_access_level = Choice(LEVELS)
    is_active = Bool()


class FileCategoryOut(OutSchema):
    """What a file is for. ``is_own``: the organization's administrators can change it."""

    id = Id()
    slug = Text(max=200)
    name = Text(max=100)
    description = Text(max=1000, lines=True)
    icon = Text(max=50)
    allowed_extensions = ListOf(Text(max=16))
    max_file_size_mb = Number(min=0)
    default_access_level = Choice(LEVELS)
    is_active = Bool()
    is_own = Bool()
