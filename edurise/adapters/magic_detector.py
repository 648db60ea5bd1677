"""Types of files by their bytes, behind the port ``Detector``.

What a school keeps is told apart by the signatures of the formats' own specifications; puremagic, a maintained list of
several hundred, says what the rest is. Text is what holds no byte that text does not hold, and HTML or SVG is what
begins as such (WHATWG MIME Sniffing, 5.1 and 7.1): behind white space, comments and an XML prolog, as browsers look.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Sequence

import puremagic

UNKNOWN = "application/octet-stream"
_EXECUTABLE = "application/x-executable"
_OFFICE = "application/vnd.openxmlformats-officedocument"
_ODF = "application/vnd.oasis.opendocument"
# What the bytes begin with, and the media type. The first that fits counts.
_SIGNATURES: Sequence[tuple[bytes, str]] = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"%PDF-", "application/pdf"),
    (b"{\\rtf", "application/rtf"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (b"OggS", "application/ogg"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"\x1f\x8b\x08", "application/gzip"),
    (b"\x7fELF", _EXECUTABLE),
    (b"\xfe\xed\xfa\xce", _EXECUTABLE),  # Mach-O, in both orders and widths
    (b"\xfe\xed\xfa\xcf", _EXECUTABLE),
    (b"\xce\xfa\xed\xfe", _EXECUTABLE),
    (b"\xcf\xfa\xed\xfe", _EXECUTABLE),
    (b"\xca\xfe\xba\xbe", _EXECUTABLE),  # Mach-O for several processors, or a class of Java
)
# These are letters too, so they count only for what is no text.
_LETTERS: Sequence[tuple[bytes, str]] = ((b"BM", "image/bmp"), (b"MZ", _EXECUTABLE), (b"ID3", "audio/mpeg"))
_SCRIPT = re.compile(rb"#![ \t]*/")
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}
# Brands of ISO base media files (ISO/IEC 14496-12, 4.3; mp4ra.org), the more special first: a file lists several.
_BRANDS: Sequence[tuple[frozenset[bytes], str]] = (
    (frozenset({b"avif", b"avis"}), "image/avif"),
    (frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}), "image/heic"),
    (frozenset({b"qt  "}), "video/quicktime"),
    (frozenset({b"M4A ", b"M4B "}), "audio/mp4"),
    (
        frozenset({b"isom", b"mp41", b"mp42", b"avc1", b"M4V ", b"dash", b"MSNV", b"f4v "})
        | {b"iso%d" % number for number in range(2, 10)}
        | {b"3gp%d" % number for number in range(4, 8)},
        "video/mp4",
    ),
)
_MATROSKA = re.compile(rb"\x42\x82[\x81-\x8f](webm|matroska)")  # the element DocType (RFC 9559, 5.1.1)
# What an archive may say of itself in its first member, ``mimetype`` (OpenDocument 1.3 part 2, 3.3; EPUB OCF 3.3, 4.3).
_DECLARED = re.compile(
    rb"application/(?:epub\+zip|vnd\.oasis\.opendocument\.(?:text|spreadsheet|presentation|graphics))(?=PK|$)"
)
# The folder of its own that each kind of Office Open XML has (ECMA-376), and what every one has beside it.
_OFFICE_FOLDERS = (
    (b"word/", f"{_OFFICE}.wordprocessingml.document", "application/vnd.ms-word.document.macroEnabled.12"),
    (b"xl/", f"{_OFFICE}.spreadsheetml.sheet", "application/vnd.ms-excel.sheet.macroEnabled.12"),
    (b"ppt/", f"{_OFFICE}.presentationml.presentation", "application/vnd.ms-powerpoint.presentation.macroEnabled.12"),
)
_PACKAGE = frozenset({b"[Content_Types].xml", b"_rels/.rels", b"docProps/app.xml", b"docProps/core.xml"})
_NAME_BYTES = 64
_SVG = re.compile(r"<(?:[a-z][\w.-]{0,30}:)?svg[\s>/]", re.IGNORECASE)
_HTML = re.compile(
    r"<(?:html|head|body|script|iframe|style|title|table|img|a|b|div|font|meta|link|object|embed|form|base|frameset"
    r"|h1|br|p|video|audio|math|template)[\s>/]",
    re.IGNORECASE,
)
_XHTML = re.compile(r"<(?:[a-z][\w.-]{0,30}:)?html[\s>/]", re.IGNORECASE)
_DOCTYPE = re.compile(r"<!doctype\s+(\w+)", re.IGNORECASE)
_SUBSET_END = re.compile(r"\]\s*>")
_SPACE = re.compile(r"[\s\ufeff]*")
# What is in no text (WHATWG MIME Sniffing, 3, "binary data byte").
_BINARY_BYTE = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_BINARY = re.compile(r"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_BYTE_ORDERS = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


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
    if _SCRIPT.match(head):
        return _EXECUTABLE
    return next((media_type for signature, media_type in _SIGNATURES if head.startswith(signature)), None)


def _by_container(head: bytes, tail: bytes) -> str | None:
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _branded(head)
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        said = _MATROSKA.search(head, 0, 128)
        return "video/webm" if said and said[1] == b"webm" else "video/x-matroska"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zipped(head, tail)
    return "audio/mpeg" if _is_frame(head) else None


def _branded(head: bytes) -> str | None:
    """By the major brand, and where that is none that is known, by those that it is compatible with."""
    end = min(int.from_bytes(head[:4]), 256)
    others = {head[at : at + 4] for at in range(16, end - 3, 4)}
    # An image in general may be one in particular: so says the list of the others.
    major = head[8:12] if head[8:12] not in (b"mif1", b"msf1") else b""
    for brands in ({major}, others, {head[8:12]}):
        for known, media_type in _BRANDS:
            if known & brands:
                return media_type
    return None


def _is_frame(head: bytes) -> bool:
    """Whether a frame of MPEG audio, layer III, begins here, without a tag before it (ISO/IEC 11172-3, 2.4.1.3)."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return False
    has_version, has_rate = head[1] & 0x18 != 0x08, head[2] & 0x0C != 0x0C
    return has_version and has_rate and head[2] & 0xF0 not in (0x00, 0xF0)


def _zipped(head: bytes, tail: bytes) -> str:
    """Which kind of zip: OpenDocument and EPUB say so in their first member, Office in the names of its parts."""
    if head[26:28] == b"\x08\x00" and head[30:38] == b"mimetype":
        said = _DECLARED.match(head, 38 + int.from_bytes(head[28:30], "little"))
        if said is not None:
            return said[0].decode()
    names = {*_local_names(head), *_central_names(tail)}
    if names & _PACKAGE:
        for folder, plain, with_macros in _OFFICE_FOLDERS:
            if any(name.startswith(folder) for name in names):
                return with_macros if folder + b"vbaProject.bin" in names else plain
    return "application/zip"


def _local_names(head: bytes) -> Iterator[bytes]:
    """Names of members from the start of an archive (APPNOTE.TXT, 4.3.7), in the order of their bytes.

    Members are passed over by their size, so that those of an archive inside are not taken for its own.
    """
    at = 0
    while head.startswith(b"PK\x03\x04", at) and at + 30 <= len(head):
        flags, _, _, _, _, packed, _, name_bytes, extra_bytes = struct.unpack_from("<HHHHIIIHH", head, at + 6)
        start = at + 30
        yield head[start : start + min(name_bytes, _NAME_BYTES)]
        at = start + name_bytes + extra_bytes + packed
        if flags & 8 and not packed:  # its size stands behind it
            at = head.find(b"PK\x03\x04", at)
            if at < 0:
                return


def _central_names(tail: bytes) -> Iterator[bytes]:
    """Names of members from the directory at the end of an archive (APPNOTE.TXT, 4.3.12), as far as it is there."""
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or end + 22 > len(tail):
        return
    start = end - int.from_bytes(tail[end + 12 : end + 16], "little")
    at = start if start >= 0 else tail.find(b"PK\x01\x02", 0, end)
    while at >= 0 and at + 46 <= end and tail.startswith(b"PK\x01\x02", at):
        name_bytes, extra_bytes, comment_bytes = struct.unpack_from("<HHH", tail, at + 28)
        yield tail[at + 46 : at + 46 + min(name_bytes, _NAME_BYTES)]
        at += 46 + name_bytes + extra_bytes + comment_bytes


def _by_text(head: bytes, tail: bytes) -> str | None:
    text = _text(head, tail)
    return None if text is None else _marked_up(text) or "text/plain"


def _by_letters(head: bytes, _tail: bytes) -> str | None:
    return next((media_type for signature, media_type in _LETTERS if head.startswith(signature)), None)


def _text(head: bytes, tail: bytes) -> str | None:
    """The beginning of a text, in whatever encoding; None for what is none. Only its ASCII may be relied on."""
    encoding = _BYTE_ORDERS.get(head[:2])
    if encoding is None:
        return None if _BINARY_BYTE.search(head) or _BINARY_BYTE.search(tail) else head.decode(errors="replace")
    text = head[: len(head) // 2 * 2].decode(encoding, errors="replace")
    last = tail[: len(tail) // 2 * 2].decode(encoding, errors="replace")
    # A half of a pair may stand at the ends that were cut; anywhere else it is no text.
    if _BINARY.search(text) or _BINARY.search(last) or "\ufffd" in text[:-1]:
        return None
    return text


def _marked_up(text: str) -> str | None:
    """HTML, SVG or other XML, by what stands behind comments, a prolog and a document type; None for none of them.

    Each step begins where the last one found its end, so the time is in proportion to the text.
    """
    at, is_xml, is_commented = _spaced(text, 0), False, False
    while True:
        if text.startswith("<!--", at):
            is_commented = True
            end = _after(text, "-->", at + 4)
        elif text.startswith("<?", at):
            is_xml = is_xml or text.startswith("<?xml", at)
            end = _after(text, "?>", at + 2)
        elif (doctype := _DOCTYPE.match(text, at)) is not None:
            if doctype[1].lower() == "html":
                return "text/html"
            is_xml, end = True, _after_doctype(text, at)
        else:
            break
        at = _spaced(text, end)
    if _SVG.match(text, at):
        return "image/svg+xml"
    if (_XHTML if is_xml else _HTML).match(text, at):
        return "text/html"
    if is_xml:
        return "application/xml"
    return "text/html" if is_commented else None


def _spaced(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _after(text: str, mark: str, at: int) -> int:
    found = text.find(mark, at)
    return len(text) if found < 0 else found + len(mark)


def _after_doctype(text: str, at: int) -> int:
    """Behind a document type, which may hold declarations in brackets (XML 1.0, 2.8)."""
    end = _after(text, ">", at)
    bracket = text.find("[", at, end)
    if bracket < 0:
        return end
    closing = _SUBSET_END.search(text, bracket)
    return len(text) if closing is None else closing.end()


def _by_puremagic(head: bytes) -> str:
    """What puremagic says; but of a type that is decided here it is not asked, for here it was refused."""
    try:
        found = puremagic.magic_string(head)
    except (puremagic.PureError, ValueError):
        return UNKNOWN
    said = next((one.mime_type for one in found if one.mime_type), UNKNOWN)
    return UNKNOWN if said in _DECIDED or said.startswith("text/") else said


_LOOKS: Sequence[Callable[[bytes, bytes], str | None]] = (_by_signature, _by_container, _by_text, _by_letters)
_DECIDED = frozenset(
    {
        *(media_type for _, media_type in (*_SIGNATURES, *_LETTERS, *_BRANDS)),
        *_RIFF.values(),
        *(one for _, *types in _OFFICE_FOLDERS for one in types),
        *(f"{_ODF}.{one}" for one in ("text", "spreadsheet", "presentation", "graphics")),
        *("video/webm", "video/x-matroska", "application/zip", "application/epub+zip", "image/svg+xml"),
        *("application/xml", "application/json"),
    }
)
