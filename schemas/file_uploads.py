"""What uploads in several requests say about their file, in headers and in bodies."""

from __future__ import annotations

import base64
from typing import Any

from edurise.errors import Invalid, Problem
from edurise.files import naming
from schemas.base import (
    Id,
    Instant,
    Int,
    ListOf,
    Nested,
    OutSchema,
    QueryInt,
    QuerySchema,
    StrictSchema,
    Text,
    load,
    made,
)
from schemas.files import FileFields, FileOut

MOST_METADATA = 16 * 1024
# What clients add of themselves, and nothing is made of: types are read off the bytes.
_IGNORED = frozenset({"filetype", "type", "contentType", "relativePath"})


class RawBytes(StrictSchema):
    """The next bytes of an upload."""


class UploadFields(FileFields):
    """What is said of a file before its bytes come."""

    filename = Text(min=1, max=1000, required=True)


class DirectUploadIn(UploadFields):
    """A file that the client sends to the store itself."""

    size = Int(min=1, max=2**53, required=True)


class PartLinkOut(OutSchema):
    """Where one part is sent by PUT, and how many bytes it has."""

    number = Int(max=10_000)
    size = Int(max=2**53)
    url = Text(max=4000)


class PartOut(OutSchema):
    """A part that the store has."""

    number = Int(max=10_000)
    size = Int(max=2**53)


class DirectUploadOut(OutSchema):
    """An upload to the store: which parts it has, and links for those that are missing, from the first on."""

    upload_id = Id()
    file = Nested(FileOut)
    size = Int(max=2**53)
    part_size = Int(max=2**53)
    part_count = Int(max=10_000)
    stored = ListOf(Nested(PartOut), max=10_000)
    parts = ListOf(Nested(PartLinkOut), max=100)
    expires_at = Instant()
    url_expires_at = Instant()


class PartsQuery(QuerySchema):
    """The number of the first part that a link is wanted for."""

    first = QueryInt(min=1, max=10_000, load_default=1, data_key="from")


def read_metadata(header: str) -> dict[str, Any]:
    """``Upload-Metadata``: pairs of a key and a value in base64, separated by commas; ``name`` stands for ``filename``
    where that is missing. Raises Invalid."""
    given: dict[str, str] = {}
    if len(header) > MOST_METADATA:
        raise _malformed()
    for pair in header.split(","):
        key, _, value = pair.strip().partition(" ")
        if not key or key in given:
            raise _malformed()
        try:
            given[key] = base64.b64decode(value.strip(), validate=True).decode()
        except ValueError:  # no base64, not ASCII, or no UTF-8 in it
            raise _malformed() from None
    name = given.pop("name", "")
    name = given.get("filename") or name
    if name:
        given["filename"] = naming.sanitize(name)
    wanted = {key: value for key, value in given.items() if key not in _IGNORED and value != ""}
    return load(made(UploadFields), wanted)


def _malformed() -> Invalid:
    return Invalid(errors={"Upload-Metadata": [Problem("bad_upload_header", {"name": "Upload-Metadata"})]})
