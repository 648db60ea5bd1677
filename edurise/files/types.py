"""The types of files that are known: their extensions, what their bytes may look like, and what a browser may show.

Media types are those of IANA's registry; ``agree`` decides whether a name and the bytes under it belong together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Group = Literal["image", "video", "audio", "document", "text", "archive", "other"]
UNKNOWN_TYPE = "application/octet-stream"


@dataclass(frozen=True)
class FileType:
    """A type of file. ``looks_like`` are media types that the bytes may show beside ``media_type`` itself;
    ``is_inline_safe``: a browser may show it in the application's own origin, for it runs nothing."""

    media_type: str
    extensions: tuple[str, ...]
    group: Group
    is_inline_safe: bool = False
    looks_like: tuple[str, ...] = ()


_OFFICE = "application/vnd.openxmlformats-officedocument"
_ODF = "application/vnd.oasis.opendocument"
_CFB = ("application/x-ole-storage",)
# Any text may be kept as text, but for what a browser would take for a page or a program if it ever guessed: that is
# kept under its own name or not at all. Only Markdown may begin with HTML, and it is never shown inline.
_PLAIN = ("text/plain",)
TYPES: tuple[FileType, ...] = (
    FileType("image/jpeg", ("jpg", "jpeg"), "image", is_inline_safe=True),
    FileType("image/png", ("png",), "image", is_inline_safe=True),
    FileType("image/gif", ("gif",), "image", is_inline_safe=True),
    FileType("image/webp", ("webp",), "image", is_inline_safe=True),
    FileType("image/avif", ("avif",), "image", is_inline_safe=True),
    FileType("image/heic", ("heic", "heif"), "image"),
    FileType("image/bmp", ("bmp",), "image"),
    FileType("image/tiff", ("tif", "tiff"), "image"),
    FileType("image/svg+xml", ("svg",), "image"),
    FileType("video/mp4", ("mp4", "m4v"), "video", is_inline_safe=True, looks_like=("video/x-m4v",)),
    FileType("video/webm", ("webm",), "video", is_inline_safe=True, looks_like=("video/x-matroska",)),
    FileType("video/x-matroska", ("mkv",), "video", looks_like=("video/webm",)),
    FileType("video/quicktime", ("mov",), "video"),
    FileType("video/ogg", ("ogv",), "video", is_inline_safe=True, looks_like=("application/ogg",)),
    FileType("audio/mpeg", ("mp3",), "audio", is_inline_safe=True),
    FileType("audio/mp4", ("m4a",), "audio", is_inline_safe=True, looks_like=("video/mp4",)),
    FileType("audio/ogg", ("ogg", "oga", "opus"), "audio", is_inline_safe=True, looks_like=("application/ogg",)),
    FileType("audio/wav", ("wav",), "audio", is_inline_safe=True),
    FileType("application/pdf", ("pdf",), "document", is_inline_safe=True),
    FileType("application/msword", ("doc",), "document", looks_like=_CFB),
    FileType("application/vnd.ms-excel", ("xls",), "document", looks_like=_CFB),
    FileType("application/vnd.ms-powerpoint", ("ppt",), "document", looks_like=_CFB),
    FileType(f"{_OFFICE}.wordprocessingml.document", ("docx",), "document"),
    FileType(f"{_OFFICE}.spreadsheetml.sheet", ("xlsx",), "document"),
    FileType(f"{_OFFICE}.presentationml.presentation", ("pptx",), "document"),
    FileType(f"{_ODF}.text", ("odt",), "document"),
    FileType(f"{_ODF}.spreadsheet", ("ods",), "document"),
    FileType(f"{_ODF}.presentation", ("odp",), "document"),
    FileType("application/epub+zip", ("epub",), "document"),
    FileType("application/rtf", ("rtf",), "document"),
    FileType("text/plain", ("txt", "log"), "text", is_inline_safe=True),
    FileType("text/markdown", ("md",), "text", looks_like=("text/plain", "text/html")),
    FileType("text/csv", ("csv",), "text", looks_like=_PLAIN),
    FileType("application/json", ("json",), "text", looks_like=_PLAIN),
    FileType("text/html", ("html", "htm"), "text"),
    FileType("application/zip", ("zip",), "archive"),
    FileType("application/x-7z-compressed", ("7z",), "archive"),
    FileType("application/vnd.rar", ("rar",), "archive"),
    FileType("application/gzip", ("gz", "tgz"), "archive"),
)
OTHER = FileType(UNKNOWN_TYPE, (), "other")
_BY_EXTENSION: Mapping[str, FileType] = {name: one for one in TYPES for name in one.extensions}
_BY_MEDIA_TYPE: Mapping[str, FileType] = {one.media_type: one for one in TYPES}


def is_known(extension: str) -> bool:
    """Whether there is a type of this extension, written in lower case without a dot."""
    return extension in _BY_EXTENSION


def of_extension(extension: str) -> FileType:
    """The type of an extension; ``OTHER`` for one that is not known."""
    return _BY_EXTENSION.get(extension, OTHER)


def of_media_type(media_type: str) -> FileType:
    """The type of a stored media type; ``OTHER`` for one that is not known."""
    return _BY_MEDIA_TYPE.get(media_type, OTHER)


def agree(extension: str, detected: str) -> str | None:
    """The media type of a file whose name ends so and whose bytes look so; None where the two do not belong together.

    Plain text may be called text, Markdown, CSV or JSON; HTML and SVG have to be called what they are.
    """
    named = _BY_EXTENSION.get(extension)
    if named is None or detected not in (named.media_type, *named.looks_like):
        return None
    return named.media_type
