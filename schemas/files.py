"""Bodies, forms, queries and answers of files."""

from __future__ import annotations

from typing import Any

import orjson
from marshmallow import INCLUDE, validates_schema

from edurise.files.access import REASONS, STATE_TO_CONTRACT, TO_CONTRACT
from edurise.files.links import LONGEST_S
from edurise.files.queries import FILE_ORDER
from edurise.files.service import MOST_TAGS
from schemas.base import (
    Bool,
    Choice,
    Email,
    Id,
    Instant,
    Int,
    ListOf,
    Nested,
    Number,
    Ordering,
    OutSchema,
    PageQuery,
    QueryInt,
    QuerySchema,
    StrictSchema,
    Text,
    load,
    made,
)
from schemas.fields import JsonSchema, Plain, refuse

LEVELS = sorted(TO_CONTRACT.values())
STATUSES = sorted(set(STATE_TO_CONTRACT.values()))
MOST_AT_ONCE = 500
_BIG = 2**53


class FileContent(Plain[bytes]):
    """The file of a form. It is streamed past the schema, which only documents it."""

    def json_schema(self) -> JsonSchema:
        return {"type": "string", "format": "binary"}


class FormTags(Plain[list[str]]):
    """Tags as forms send them: a JSON array of texts, written as one text."""

    def read(self, value: Any) -> list[str]:
        try:
            given = orjson.loads(value) if isinstance(value, str) else value
        except orjson.JSONDecodeError:
            refuse("bad_json")
        found: list[str] = Tags().deserialize(given)
        return found

    def json_schema(self) -> JsonSchema:
        return {"type": "string", "contentMediaType": "application/json", "maxLength": 8192}


class Tags(ListOf):
    """At most ``MOST_TAGS`` words, each once."""

    def __init__(self, **options: Any) -> None:
        super().__init__(Text(min=1, max=50), max=MOST_TAGS, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        return list(dict.fromkeys(super()._deserialize(value, attr, data, **kwargs)))


class FileListQuery(PageQuery):
    """Files by what they are for, who may open them and where they belong; ``category`` is an id or a slug."""

    category = Text(max=100)
    access_level = Choice(LEVELS)
    status = Choice(STATUSES)
    course = Id()
    ordering = Ordering(list(FILE_ORDER.columns))


class MyFilesQuery(QuerySchema):
    """One's own files, of one category or of all."""

    category = Text(max=100)


class CourseFilesQuery(QuerySchema):
    """The files of one course, or without one of all courses."""

    course_id = Id()


class SecureUrlQuery(QuerySchema):
    """How long the link opens, in seconds, and whether a browser is to show or to save what it opens."""

    expires_in = QueryInt(min=1, max=LONGEST_S, load_default=3600)
    disposition = Choice(["attachment", "inline"], load_default="attachment")


class UsageQuery(QuerySchema):
    """The course whose use is wanted too."""

    course_id = Id()


class FileForm(StrictSchema):
    """A file and what is said of it (``multipart/form-data``). ``category`` is an id, a slug or a name."""

    file = FileContent(required=True)
    category = Text(min=1, max=100, required=True)
    title = Text(max=200)
    description = Text(max=5000, lines=True)
    access_level = Choice(LEVELS)
    course_id = Id()
    expires_at = Instant()
    tags = FormTags()


class FileFields(FileForm):
    """The form without its file, which was read before."""

    class Meta:
        exclude = ("file",)


def read_fields(given: dict[str, str]) -> dict[str, Any]:
    """The other fields of a form. Raises Invalid."""
    return load(made(FileFields), given)


class FilePatch(StrictSchema):
    """What is to change; what is absent stays."""

    title = Text(min=1, max=200)
    description = Text(max=5000, lines=True)
    category = Text(min=1, max=100)
    access_level = Choice(LEVELS)
    course_id = Id(allow_none=True)
    expires_at = Instant(allow_none=True)
    tags = Tags()


class AccessIn(StrictSchema):
    """Who may open a file."""

    access_level = Choice(LEVELS, required=True)


class ShareIn(StrictSchema):
    """Addresses of members of the file's organization."""

    user_emails = ListOf(Email(), min=1, max=100, required=True)


class FileIdsIn(StrictSchema):
    """Which files."""

    file_ids = ListOf(Id(), min=1, max=MOST_AT_ONCE, required=True)


class CategoryFaceOut(OutSchema):
    """The category inside a file."""

    id = Id()
    name = Text(max=100)
    description = Text(max=1000, lines=True)


class FileOwnerOut(OutSchema):
    """Who uploaded a file; the address is empty for who does not manage it."""

    id = Id()
    email = Text(max=254)
    name = Text(max=511)


class FileCourseOut(OutSchema):
    """The course that a file belongs to."""

    id = Id()
    title = Text(max=200)


class FileOut(OutSchema):
    """A file. ``file`` and ``thumbnail`` open by themselves; they are null until it is ready."""

    id = Id()
    original_filename = Text(max=255)
    file = Text(max=2000, allow_none=True)
    thumbnail = Text(max=2000, allow_none=True)
    file_size = Int(max=_BIG)
    file_size_mb = Number(min=0)
    file_type = Text(max=200)
    file_extension = Text(max=16)
    category = Nested(CategoryFaceOut)
    title = Text(max=255)
    description = Text(max=5000, lines=True)
    tags = ListOf(Text(max=50), max=MOST_TAGS)
    uploaded_by = Nested(FileOwnerOut)
    access_level = Choice(LEVELS)
    course = Nested(FileCourseOut, allow_none=True)
    status = Choice(STATUSES)
    state = Choice(list(STATE_TO_CONTRACT), description="As ``status``, and more exact.")
    scan = Choice(["pending", "clean", "infected", "not_scanned"])
    failure = Text(max=100, allow_none=True, description="Why it cannot be opened: a signature or an error code.")
    sha256 = Text(max=64, allow_none=True)
    download_count = Int(max=_BIG)
    last_accessed = Instant(allow_none=True)
    created_at = Instant()
    updated_at = Instant()
    expires_at = Instant(allow_none=True)
    is_image = Bool()
    is_video = Bool()
    is_document = Bool()
    is_expired = Bool()


class PermissionsOut(OutSchema):
    """What the caller may do with a file, why, and what stands in the way now."""

    can_view = Bool()
    can_download = Bool()
    can_edit = Bool()
    can_delete = Bool()
    can_share = Bool()
    access_reason = Choice([*REASONS, "no_access"])
    restrictions = ListOf(Text(max=50))


class CheckedInfoOut(OutSchema):
    """A file in a bulk check."""

    filename = Text(max=255)
    size_mb = Number(min=0)
    type = Text(max=200)
    access_level = Choice(LEVELS)


class CheckedOut(OutSchema):
    """The answer about one file of a bulk check; ``file_info`` is null for one that the caller may not know of."""

    access_allowed = Bool()
    access_reason = Choice([*REASONS, "no_access"])
    permissions = Nested(PermissionsOut)
    file_info = Nested(CheckedInfoOut, allow_none=True)


class CheckedFilesOut(OutSchema):
    """The answers of a bulk check, by the id of each file."""

    class Meta:
        unknown = INCLUDE

    @validates_schema
    def check_each(self, data: dict[str, Any], **_: object) -> None:
        """Every value is a ``CheckedOut``."""
        for one in data.values():
            load(made(CheckedOut), one)


class SharedPersonOut(OutSchema):
    """Somebody whom a file was shared with."""

    user_id = Id()
    email = Text(max=254)
    name = Text(max=511)


class DeniedPersonOut(OutSchema):
    """An address that a file was not shared with; ``user_id`` is empty, whoever that is."""

    user_id = Text(max=36)
    email = Text(max=254)
    reason = Choice(["not_a_member"])


class ShareOut(OutSchema):
    """What became of each address."""

    shared_with = ListOf(Nested(SharedPersonOut))
    denied_users = ListOf(Nested(DeniedPersonOut))


class SharedUserOut(OutSchema):
    """Somebody who may open a file by a share."""

    id = Id()
    email = Text(max=254)
    name = Text(max=511)
    shared_at = Instant()


class SecureUrlOut(OutSchema):
    """A link that opens a file by itself for so many seconds."""

    secure_url = Text(max=2000)
    expires_in = Int(max=LONGEST_S)


class AccessLogOut(OutSchema):
    """One download."""

    user = Text(max=511)
    accessed_at = Instant()
    ip_address = Text(max=50)


class FileStatisticsOut(OutSchema):
    """How often a file was downloaded, and by whom last."""

    download_count = Int(max=_BIG)
    unique_downloaders = Int(max=_BIG)
    last_accessed = Instant(allow_none=True)
    access_logs = ListOf(Nested(AccessLogOut), max=100)


class QuotaOut(OutSchema):
    """What is used of a limit, reservations included; in bytes."""

    scope = Choice(["organization", "course", "person"])
    subject_id = Id()
    used = Int(max=_BIG)
    limit = Int(max=_BIG)
