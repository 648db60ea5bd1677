"""Types of files by their bytes, behind the port ``Detector``.

What a school keeps is told apart by the signatures of the formats' own specifications; puremagic, a maintained list of
several hundred, says what the rest is. Text is what decodes as text, and HTML or SVG what a browser could take for it
(WHATWG MIME Sniffing, 7.1, whose tags are looked for wherever a browser would look).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence

import puremagic

UNKNOWN = "application/octet-stream"
_TEXT_BYTES = 65_536
_OFFICE = "application/vnd.openxmlformats-officedocument"
# Offset, bytes, media type. The first that fits counts.
_SIGNATURES: Sequence[tuple[int, bytes, str]] = (
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (0, b"BM", "image/bmp"),
    (0, b"II*\x00", "image/tiff"),
    (0, b"MM\x00*", "image/tiff"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"{\\rtf", "application/rtf"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"OggS", "application/ogg"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"Rar!\x1a\x07", "application/vnd.rar"),
    (0, b"\x1f\x8b\x08", "application/gzip"),
    (0, b"\x7fELF", "application/x-executable"),
    (0, b"MZ", "application/x-msdownload"),
    (0, b"\xfe\xed\xfa\xce", "application/x-mach-binary"),
    (0, b"\xfe\xed\xfa\xcf", "application/x-mach-binary"),
    (0, b"\xce\xfa\xed\xfe", "application/x-mach-binary"),
    (0, b"\xcf\xfa\xed\xfe", "application/x-mach-binary"),
    (0, b"\xca\xfe\xba\xbe", "application/java-vm"),
    (0, b"#!", "text/x-script"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}
# Major brands of ISO base media files (ISO/IEC 14496-12, 4.3; mp4ra.org).
_BRANDS = {
    b"qt  ": "video/quicktime",
    b"M4A ": "audio/mp4",
    b"M4V ": "video/mp4",
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heic",
    b"msf1": "image/heic",
}
# A part that each kind of Office Open XML has (ECMA-376), as the zip's directory names it.
_OFFICE_PARTS = (
    (b"word/document.xml", f"{_OFFICE}.wordprocessingml.document"),
    (b"xl/workbook.xml", f"{_OFFICE}.spreadsheetml.sheet"),
    (b"ppt/presentation.xml", f"{_OFFICE}.presentationml.presentation"),
)
_MARKUP = re.compile(
    rb"<(?:!doctype\s+html|html|head|body|script|iframe|style|title|table|img|a\s|div|font|meta|link|object|embed"
    rb"|form|base|frameset|h1|br|p[\s>]|!--)",
    re.IGNORECASE,
)
_SVG = re.compile(rb"<(?:[a-z0-9]{1,20}:)?svg[\s>/]", re.IGNORECASE)
_CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")


class MagicDetector:
    """Looks at the first and the last bytes only; nothing is unpacked."""

    def media_type(self, head: bytes, tail: bytes) -> str:
        """Never raises, and takes a bounded time for any bytes."""
        if not head:
            return "text/plain"
        for look in _LOOKS:
            found = look(head, tail)
            if found is not None:
                return found
        return _by_puremagic(head)


def _by_signature(head: bytes, _tail: bytes) -> str | None:
    for at, signature, media_type in _SIGNATURES:
        if head.startswith(signature, at):
            # Text may begin with these letters too; what it is named for then has to be in it.
            if signature in (b"BM", b"MZ", b"ID3", b"#!") and _decoded(head) is not None:
                return "text/x-script" if signature == b"#!" else None
            return media_type
    return None


def _by_container(head: bytes, tail: bytes) -> str | None:
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "video/mp4")
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "video/webm" if b"webm" in head[:64] else "video/x-matroska"
    if head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xE6 == 0xE2:
        return "audio/mpeg"  # a frame of layer III without a tag (ISO/IEC 11172-3, 2.4.1.3)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zipped(head, tail)
    return None


def _zipped(head: bytes, tail: bytes) -> str:
    """Which kind of zip: OpenDocument and EPUB say so in their first member, Office in the names of its parts."""
    if head[26:30] == b"\x08\x00\x00\x00" and head[30:38] == b"mimetype":
        said = re.match(rb"[a-z0-9./+-]{1,100}", head[38:138])
        if said is not None:
            return re.split(r"PK", said[0].decode())[0]
    for part, media_type in _OFFICE_PARTS:
        if b"[Content_Types].xml" in head + tail and part in head + tail:
            return media_type
    return "application/zip"


def _by_text(head: bytes, tail: bytes) -> str | None:
    text = _decoded(head)
    if text is None or _decoded(tail, cut=True) is None:
        return None
    plain = text.encode()
    if _SVG.search(plain):
        return "image/svg+xml"
    if _MARKUP.search(plain):
        return "text/html"
    if plain.lstrip().startswith(b"<?xml"):
        return "application/xml"
    return "text/plain"


def _decoded(data: bytes, *, cut: bool = False) -> str | None:
    """Text in UTF-8, or in UTF-16 with a mark of its byte order; None for what is no text. The ends may be cut."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data[: len(data) // 2 * 2].decode("utf-16", errors="ignore")
    else:
        start = next((at for at in range(min(4, len(data))) if data[at] & 0xC0 != 0x80), 0) if cut else 0
        try:
            text = data[start:].decode()
        except UnicodeDecodeError as wrong:
            if wrong.end < len(data) - start or wrong.reason != "unexpected end of data":
                return None
            text = data[start : start + wrong.start].decode()
    return None if _CONTROL.search(text) else text


def _by_puremagic(head: bytes) -> str:
    try:
        found = puremagic.magic_string(head)
    except (puremagic.PureError, ValueError, IndexError, OSError, zlib.error):
        return UNKNOWN
    return next((one.mime_type for one in found if one.mime_type), UNKNOWN)


_LOOKS: Sequence[Callable[[bytes, bytes], str | None]] = (_by_signature, _by_container, _by_text)
