"""Forms with a file (``multipart/form-data``, RFC 7578), read as they come: the file is never held."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from multipart import (  # type: ignore[import-untyped]  # it has annotations and no py.typed
    MultipartError,
    MultipartSegment,
    PushMultipartParser,
    parse_options_header,
)

from edurise.errors import Invalid, Problem
from edurise.streams import Pipe

_MOST_FIELDS = 32
_FIELD_BYTES = 32 * 1024


@dataclass(frozen=True)
class FormFile:
    """The file of a form: the name that the client gave it, and its bytes, to be read once."""

    name: str
    chunks: AsyncIterator[bytes]


class Form:
    """A form as it comes. First ``file``, then its bytes, then ``fields``; other fields may stand before and after it.

    Raises Invalid (BAD_REQUEST) with ``reason``: ``bad_form`` for what is no form, ``too_many_fields`` and
    ``field_too_long``.
    """

    def __init__(self, content_type: str, pipe: Pipe, file_field: str = "file") -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get("boundary", "")
        if kind != "multipart/form-data" or not 0 < len(boundary) <= 70 or not boundary.isascii():
            raise Invalid("BAD_REQUEST", reason="bad_form")
        self._pipe = pipe
        self._file_field = file_field
        self._parser = PushMultipartParser(boundary, max_segment_count=_MOST_FIELDS)
        self._events = self._parsed()
        self._fields: dict[str, str] = {}

    async def file(self) -> FormFile:
        """The file. Raises Invalid for a form without one."""
        segment = await self._next_file()
        if segment is None:
            raise Invalid(errors={self._file_field: [Problem("required")]})
        return FormFile(segment.filename or "", self._content())

    async def fields(self) -> dict[str, str]:
        """The other fields, when the file has been read; empty ones are left out, of a repeated one the last counts."""
        if await self._next_file() is not None:
            raise Invalid(errors={self._file_field: [Problem("too_many", {"max": 1})]})
        return {name: value for name, value in self._fields.items() if value != ""}

    async def _next_file(self) -> MultipartSegment | None:
        segment: MultipartSegment | None = None
        held = bytearray()
        async for event in self._events:
            if isinstance(event, MultipartSegment):
                segment = event
                if segment.name == self._file_field and segment.filename is not None:
                    return segment
                held.clear()
            elif event is not None:
                held += event
                if len(held) > _FIELD_BYTES:
                    raise Invalid("BAD_REQUEST", reason="field_too_long")
            elif segment is not None:
                self._fields[segment.name or ""] = _text(bytes(held))
        return None

    async def _content(self) -> AsyncIterator[bytes]:
        async for event in self._events:
            if event is None:
                return
            if isinstance(event, bytes | bytearray):
                yield bytes(event)

    async def _parsed(self) -> AsyncIterator[MultipartSegment | bytes | bytearray | None]:
        try:
            async for chunk in self._pipe:
                for event in self._parser.parse(chunk):
                    yield event
            self._parser.close()
        except MultipartError as broken:
            reason = "too_many_fields" if "limit" in str(broken).lower() else "bad_form"
            raise Invalid("BAD_REQUEST", reason=reason) from None


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Invalid("BAD_REQUEST", reason="bad_form") from None
