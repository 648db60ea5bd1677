"""Types by bytes: files as programs write them, files that pretend, and bytes that are made to hold it up."""

from __future__ import annotations

import gzip
import io
import os
import struct
import time
import wave
import zipfile
from collections.abc import Callable, Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from edurise.adapters.magic_detector import UNKNOWN, MagicDetector
from edurise.files import types

HEAD, TAIL = 65_536, 4096
OFFICE = "application/vnd.openxmlformats-officedocument"
ODF = "application/vnd.oasis.opendocument"
WORD, EXCEL, SLIDES = (
    f"{OFFICE}.{one}" for one in ("wordprocessingml.document", "spreadsheetml.sheet", "presentationml.presentation")
)
EXECUTABLE = "application/x-executable"


def detect(content: bytes) -> str:
    return MagicDetector().media_type(content[:HEAD], content[-TAIL:])


def drawn(kind: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (30, 20)).save(out, kind)
    return out.getvalue()


def sounding() -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(1000))
    return out.getvalue()


class OneWay(io.RawIOBase):
    """Cannot be gone back in, as a network cannot; so sizes stand behind what they are of."""

    def __init__(self) -> None:
        self.content = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:
        self.content += data
        return len(data)


def zipped(*members: tuple[str, bytes], stored: Sequence[str] = (), is_streamed: bool = False) -> bytes:
    out = OneWay() if is_streamed else io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content, zipfile.ZIP_STORED if name in stored else None)
    return bytes(out.content) if isinstance(out, OneWay) else out.getvalue()


def office(folder: str, part: str, order: str, **options: bool) -> bytes:
    """Types, relations, parts and pictures in the order of the letters."""
    members = {
        "t": [("[Content_Types].xml", b"<Types/>")],
        "r": [("_rels/.rels", b"<Relationships/>"), ("docProps/app.xml", b"<Properties/>")],
        "p": [(f"{folder}/{part}.xml", b"<document/>"), (f"{folder}/styles.xml", b"<styles/>")],
        "i": [(f"{folder}/media/image{number}.png", os.urandom(3000)) for number in range(60)],
    }
    return zipped(*(one for letter in order for one in members[letter]), **options)


def declared(media_type: str, first: str = "mimetype") -> bytes:
    return zipped((first, media_type.encode()), ("content.xml", b"<x/>"), stored=(first,))


def brand(major: bytes, *others: bytes) -> bytes:
    box = major + bytes(4) + b"".join(others)
    return struct.pack(">I", len(box) + 8) + b"ftyp" + box + b"\0\0\0\x08free" + bytes(100)


def matroska(kind: bytes) -> bytes:
    inside = b"\x42\x86\x81\x01\x42\x82" + bytes([0x80 | len(kind)]) + kind
    return b"\x1a\x45\xdf\xa3" + bytes([0x80 | len(inside)]) + inside + b"\x18\x53\x80\x67" + bytes(200)


FRAME = b"\xff\xfb\x90\x64" + bytes(413)
# Name, bytes, what they are, and the extension that goes with it.
SAMPLES: dict[str, tuple[bytes, str, str | None]] = {
    "jpeg": (drawn("JPEG"), "image/jpeg", "jpg"),
    "png": (drawn("PNG"), "image/png", "png"),
    "gif": (drawn("GIF"), "image/gif", "gif"),
    "webp": (drawn("WEBP"), "image/webp", "webp"),
    "bmp": (drawn("BMP"), "image/bmp", "bmp"),
    "tiff": (drawn("TIFF"), "image/tiff", "tiff"),
    "avif": (brand(b"avif", b"mif1", b"miaf"), "image/avif", "avif"),
    "avif as an image": (brand(b"mif1", b"avif", b"miaf"), "image/avif", "avif"),
    "heic": (brand(b"heic", b"mif1", b"heic"), "image/heic", "heic"),
    "heic as an image": (brand(b"mif1", b"mif1", b"heic"), "image/heic", "heif"),
    "mp4": (brand(b"isom", b"isom", b"iso2", b"avc1", b"mp41"), "video/mp4", "mp4"),
    "mp4 of a phone": (brand(b"3gp5", b"isom"), "video/mp4", "mp4"),
    "mp4 of a camera": (brand(b"XAVC", b"XAVC", b"mp42"), "video/mp4", "mp4"),
    "m4v": (brand(b"M4V ", b"M4V ", b"mp42"), "video/mp4", "m4v"),
    "m4a": (brand(b"M4A ", b"M4A ", b"mp42", b"isom"), "audio/mp4", "m4a"),
    "mov": (brand(b"qt  ", b"qt  "), "video/quicktime", "mov"),
    "webm": (matroska(b"webm"), "video/webm", "webm"),
    "mkv": (matroska(b"matroska"), "video/x-matroska", "mkv"),
    "ogg": (b"OggS\0\2" + bytes(200), "application/ogg", "ogg"),
    "mp3 with a tag": (b"ID3\4\0\0\0\0\0\0" + FRAME, "audio/mpeg", "mp3"),
    "mp3": (FRAME * 3, "audio/mpeg", "mp3"),
    "wav": (sounding(), "audio/wav", "wav"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n" + bytes(100), "application/pdf", "pdf"),
    "rtf": (b"{\\rtf1\\ansi Hello}", "application/rtf", "rtf"),
    "doc": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "application/x-ole-storage", "doc"),
    "docx of Word": (office("word", "document", "trpi"), WORD, "docx"),
    "docx of LibreOffice": (office("word", "document", "rpit"), WORD, "docx"),
    "docx from a stream": (office("word", "document", "trpi", is_streamed=True), WORD, "docx"),
    "xlsx of Excel": (office("xl", "workbook", "trp"), EXCEL, "xlsx"),
    "xlsx of openpyxl": (office("xl", "workbook", "ript"), EXCEL, "xlsx"),
    "pptx": (office("ppt", "presentation", "trip"), SLIDES, "pptx"),
    "odt": (declared(f"{ODF}.text"), f"{ODF}.text", "odt"),
    "ods": (declared(f"{ODF}.spreadsheet"), f"{ODF}.spreadsheet", "ods"),
    "odp": (declared(f"{ODF}.presentation"), f"{ODF}.presentation", "odp"),
    "epub": (declared("application/epub+zip"), "application/epub+zip", "epub"),
    "zip": (zipped(("a.txt", b"a"), ("b/c.txt", b"c")), "application/zip", "zip"),
    "empty zip": (zipped(), "application/zip", "zip"),
    "zip from a stream": (zipped(("a.txt", b"a" * 99), is_streamed=True), "application/zip", "zip"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\4" + bytes(60), "application/x-7z-compressed", "7z"),
    "rar": (b"Rar!\x1a\x07\x01\x00" + bytes(60), "application/vnd.rar", "rar"),
    "gz": (gzip.compress(b"a"), "application/gzip", "gz"),
    "text": (b"Knots.\r\n\tBends.\x0c\n", "text/plain", "txt"),
    "nothing": (b"", "text/plain", "txt"),
    "csv": (b"a;b\n1;2\n", "text/plain", "csv"),
    "json": (b'{"a": "<svg>"}', "text/plain", "json"),
    "markdown": ("# Überschrift\n<br>\n".encode(), "text/plain", "md"),
    "html": (b"<!DOCTYPE html>\n<html></html>", "text/html", "html"),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "image/svg+xml", "svg"),
    "xml": (b'<?xml version="1.0"?><a/>', "application/xml", None),
    "ELF": (b"\x7fELF\2\1\1" + bytes(60), EXECUTABLE, None),
    "PE": (b"MZ\x90\0\3\0\0\0" + bytes(60), EXECUTABLE, None),
    "Mach-O": (b"\xcf\xfa\xed\xfe\x07\0\0\1" + bytes(60), EXECUTABLE, None),
    "Mach-O for several": (b"\xca\xfe\xba\xbe\0\0\0\2" + bytes(60), EXECUTABLE, None),
    "script": (b"#!/bin/sh\necho\n", EXECUTABLE, None),
    "script with a space": (b"#! /usr/bin/env python3\n", EXECUTABLE, None),
    "zeros": (bytes(5000), UNKNOWN, None),
    "every byte": (bytes(range(256)), UNKNOWN, None),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_what_programs_write_is_what_it_is(name: str) -> None:
    content, media_type, _ = SAMPLES[name]
    assert detect(content) == media_type


@pytest.mark.parametrize("name", SAMPLES)
def test_bytes_go_with_their_own_extension_and_hardly_another(name: str) -> None:
    content, media_type, own = SAMPLES[name]
    taken = {one for one in types._BY_EXTENSION if types.agree(one, detect(content)) is not None}
    assert (own in taken) if own else not taken
    groups = {types.of_extension(one).group for one in taken}
    assert groups <= ({"audio", "video"} if media_type.startswith(("video/", "application/ogg")) else groups)
    assert len(groups) <= 2


def test_every_extension_but_a_few_has_a_sample_of_it() -> None:
    covered = {
        one for content, _, _ in SAMPLES.values() for one in types._BY_EXTENSION if types.agree(one, detect(content))
    }
    assert covered == set(types._BY_EXTENSION)


def test_what_nothing_here_knows_puremagic_may() -> None:
    assert detect(b"8BPS\0\1" + bytes(100)) == "image/vnd.adobe.photoshop"
    assert detect(b"RIFF" + struct.pack("<I", 100) + b"AVI LIST" + bytes(100)).startswith("video/")
    # It knows zips that begin elsewhere, and such; but what is decided here is decided.
    assert detect(b"RIFF" + struct.pack("<I", 100) + b"????" + bytes(100)) not in ("image/webp", "audio/wav")


# -- archives that say something of themselves -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "said", ["image/png", "text/html", "application/pdf", "application/epub+zipx", f"{ODF}.textile", "", "x" * 60_000]
)
def test_an_archive_is_no_other_thing_because_it_says_so(said: str) -> None:
    assert detect(declared(said)) == "application/zip"


def test_what_an_archive_says_counts_in_its_first_member_only() -> None:
    epub = "application/epub+zip"
    assert detect(declared(epub, "mimetypes")) == "application/zip"
    assert detect(zipped(("a", b"a"), ("mimetype", epub.encode()), stored=("mimetype",))) == "application/zip"
    assert detect(zipped(("mimetype", epub.encode()))) == "application/zip"  # packed: not as the format demands it


def test_an_archive_of_documents_is_an_archive() -> None:
    document = SAMPLES["docx of Word"][0]
    assert detect(zipped(("a.docx", document), stored=("a.docx",))) == "application/zip"
    assert (
        detect(zipped(("a.docx", document[-2000:]), ("b.docx", document), stored=("a.docx", "b.docx")))
        == "application/zip"
    )
    assert detect(zipped(("a.txt", b"word/document.xml [Content_Types].xml"), stored=("a.txt",))) == "application/zip"
    assert detect(zipped(("word/document.xml", b"<x/>"))) == "application/zip"
    assert detect(zipped(("_rels/.rels", b"<x/>"), ("a.xml", b"<x/>"))) == "application/zip"


@pytest.mark.parametrize(
    ("folder", "media_type"),
    [
        ("word", "application/vnd.ms-word.document.macroEnabled.12"),
        ("xl", "application/vnd.ms-excel.sheet.macroEnabled.12"),
        ("ppt", "application/vnd.ms-powerpoint.presentation.macroEnabled.12"),
    ],
)
def test_a_document_with_macros_is_none_without(folder: str, media_type: str) -> None:
    content = zipped(("[Content_Types].xml", b"<x/>"), (f"{folder}/a.xml", b"<x/>"), (f"{folder}/vbaProject.bin", b"x"))
    assert detect(content) == media_type
    assert not [one for one in types._BY_EXTENSION if types.agree(one, media_type)]


@pytest.mark.parametrize("is_streamed", [False, True])
def test_either_end_of_a_document_tells_what_it_is(is_streamed: bool) -> None:
    content = office("word", "document", "trpi", is_streamed=is_streamed)
    assert len(content) > HEAD + TAIL
    assert MagicDetector().media_type(content[:HEAD], b"") == WORD
    first = ("a.bin", os.urandom(HEAD))
    last = zipped(first, ("_rels/.rels", b"<x/>"), ("xl/workbook.xml", b"<x/>"), is_streamed=is_streamed)
    assert MagicDetector().media_type(last[:HEAD], b"") == "application/zip"
    assert detect(last) == EXCEL


@pytest.mark.parametrize("header", ["ffea9064", "fffbf064", "fffb0064", "fffb9c64", "fff99064", "ff1b9064"])
def test_what_is_no_frame_of_sound_is_none(header: str) -> None:
    """A version, rates of bits and of samples that are reserved or unknown, another layer, no beginning of a frame."""
    assert detect(bytes.fromhex(header) + bytes(413)) != "audio/mpeg"


def test_a_document_in_a_document_does_not_count() -> None:
    sheet = SAMPLES["xlsx of Excel"][0]
    content = zipped(
        ("[Content_Types].xml", b"<x/>"), ("word/embeddings/a.xlsx", sheet), ("word/document.xml", b"<x/>"),
        stored=("word/embeddings/a.xlsx",),
    )  # fmt: skip
    assert detect(content) == WORD


# -- text -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "cp1252", "cp1256", "shift-jis"])
@pytest.mark.parametrize("lines", [1, 500, 20_000])
def test_text_is_text_in_the_encodings_that_there_are(encoding: str, lines: int) -> None:
    line = {"cp1256": "الاسم;الدرس\r\n", "shift-jis": "名前;課題\r\n"}.get(encoding, "Name;Größe\r\n")
    content = (line * lines).encode(encoding)
    if encoding == "utf-16-be":
        content = b"\xfe\xff" + content
    assert detect(content) == "text/plain"


@pytest.mark.parametrize("cut", range(4))
def test_a_character_may_be_cut_where_the_head_ends(cut: int) -> None:
    assert detect(b"x" * cut + "🪢".encode() * 30_000) == "text/plain"
    assert detect(b"\xff\xfe" + ("x" * (cut % 2) + "🪢" * 30_000).encode("utf-16-le")) == "text/plain"


def test_what_holds_what_no_text_holds_is_none() -> None:
    assert detect(b"text\0") == UNKNOWN
    assert detect(b"x" * 100_000 + b"\0" + b"x" * 1000) == UNKNOWN
    assert detect(b"\xff\xfe" + "x\0y".encode("utf-16-le")) == UNKNOWN
    assert detect(b"\xff\xfe" + b"x\0\x00\xd8y\0" * 10) == UNKNOWN  # half of a pair
    assert detect(b"text\x1b[31m red") == "text/plain"  # as terminals log


@pytest.mark.parametrize(
    "text",
    ["BMI of pupils", "MZ is a signature", "ID3 is a tag", "#!important", "#![allow(x)]", "PK", "RIFF", "GIF", "%PD"],
)
def test_letters_that_formats_begin_with_are_letters(text: str) -> None:
    assert detect(text.encode()) == "text/plain"


@pytest.mark.parametrize(
    ("text", "media_type"),
    [
        ("<html>", "text/html"),
        ("  \r\n\t<ScRiPt src=x>", "text/html"),
        ("\ufeff<body onload=x>", "text/html"),
        ("<!doctype HTML>", "text/html"),
        ("<!DOCTYPE html SYSTEM 'about:legacy-compat'>", "text/html"),
        ("<!-- a comment --> <p>", "text/html"),
        ("<!-- never ends", "text/html"),
        ("<img/src=x onerror=y>", "text/html"),
        ("<iframe\nsrc=x>", "text/html"),
        ("<?xml version='1.0'?><!DOCTYPE html><html>", "text/html"),
        ("<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'>", "text/html"),
        ("<svg>", "image/svg+xml"),
        ("<svg/onload=alert(1)>", "image/svg+xml"),
        ("<SVG\n>", "image/svg+xml"),
        ("<s:svg xmlns:s='http://www.w3.org/2000/svg'>", "image/svg+xml"),
        ("<?xml version='1.0'?>\n<!-- Generator -->\n<svg>", "image/svg+xml"),
        ("<!-- Generator --><svg>", "image/svg+xml"),
        ("<!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN' 'svg11.dtd'><svg>", "image/svg+xml"),
        ("<!DOCTYPE svg [ <!ENTITY a '<b>'> <!ENTITY c 'd'> ] ><svg>", "image/svg+xml"),
        ("<?xml-stylesheet href='a.xsl'?><svg>", "image/svg+xml"),
        ("<?xml version='1.0'?><!-- <svg> --><rss>", "application/xml"),
        ("<!DOCTYPE note><note>", "application/xml"),
        ("<?xml version='1.0'?><table>", "application/xml"),
        ("<?xml version='1.0'?><h:html xmlns:h='http://www.w3.org/1999/xhtml'>", "text/html"),
        ("<svgs>", "text/plain"),
        ("<pre", "text/plain"),
        ("<3 knots", "text/plain"),
        ("In HTML <br> and <!-- --> and <script> and <svg>", "text/plain"),
        ("<", "text/plain"),
        ("<!", "text/plain"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_what_a_browser_would_take_for_a_page(text: str, media_type: str, encoding: str) -> None:
    assert detect(text.encode(encoding)) == media_type
    assert detect((text + " x" * 50_000).encode(encoding)) == media_type


def test_a_long_comment_does_not_hide_what_follows() -> None:
    assert detect(b"<!--" + b"x" * 60_000 + b"--><svg>") == "image/svg+xml"


# -- bytes that are made for it --------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.binary(max_size=300), st.binary(max_size=100))
@example(b"\xff\xfe", b"\xff")
@example(b"PK\x03\x04", b"PK\x05\x06")
@example(b"\0\0\0\x09ftyp", b"")
@example(b"\xff\xfb", b"")
@example(b"RIFF", b"")
def test_no_bytes_make_it_raise(head: bytes, tail: bytes) -> None:
    assert "/" in MagicDetector().media_type(head, tail)


STARTS = [
    b"PK\x03\x04",
    b"\0\0\0\x20ftyp",
    b"\x1a\x45\xdf\xa3",
    b"RIFF",
    b"\xff\xfe",
    b"\xfe\xff",
    b"<!",
    b"<?xml",
    b"\xff\xfb",
    b"PK\x05\x06",
]


@settings(deadline=None)
@given(
    st.sampled_from(STARTS),
    st.binary(max_size=200),
    st.sampled_from([b"", b"PK\x05\x06", b"PK\x01\x02"]),
    st.binary(max_size=60),
)
def test_nor_those_that_begin_well(start: bytes, rest: bytes, end: bytes, after: bytes) -> None:
    assert "/" in MagicDetector().media_type(start + rest, end + after)


@pytest.mark.parametrize("name", SAMPLES)
def test_nor_files_that_are_cut_off_or_damaged(name: str) -> None:
    content = SAMPLES[name][0][:3000] + SAMPLES[name][0][-3000:]
    step = max(1, len(content) // 150)
    for at in range(0, len(content), step):
        assert "/" in detect(content[:at])
        assert "/" in detect(content[at:])
        assert "/" in detect(content[:at] + b"\xff" + content[at + 1 :])


LONG = 65_536
HOSTILE: dict[str, Callable[[], bytes]] = {
    "comments": lambda: b"<!--" * (LONG // 4),
    "short comments": lambda: b"<!---->" * (LONG // 7),
    "instructions": lambda: b"<?a?> " * (LONG // 6),
    "types": lambda: b"<!doctype x>" * (LONG // 12),
    "types with brackets": lambda: b"<!doctype x [" * (LONG // 13),
    "brackets": lambda: b"<!doctype x [" + b"] " * (LONG // 2),
    "bracket and spaces": lambda: b"<!doctype x [" + b"]" + b" " * LONG,
    "type and spaces": lambda: b"<!doctype" + b" " * LONG,
    "tags": lambda: b"<" * LONG,
    "spaces": lambda: b" " * LONG,
    "letters": lambda: b"<" + b"a" * LONG,
    "colons": lambda: b"<a:" * (LONG // 3),
    "members": lambda: b"PK\x03\x04" * (LONG // 4),
    "empty members": lambda: (b"PK\x03\x04" + bytes(26)) * (LONG // 30),
    "streamed members": lambda: (b"PK\x03\x04\0\0\x08" + bytes(23)) * (LONG // 30),
    "long names": lambda: (b"PK\x03\x04" + bytes(22) + b"\xff\xff\0\0") * (LONG // 30),
    "directory": lambda: b"PK\x03\x04" + b"PK\x01\x02" * (LONG // 4),
    "brands": lambda: b"\xff\xff\xff\xffftyp" + b"abcd" * (LONG // 4),
    "halves of pairs": lambda: b"\xff\xfe" + b"\x00\xd8" * (LONG // 2),
    "frames": lambda: FRAME * (LONG // len(FRAME)),
    "chance": lambda: b"\0" + os.urandom(LONG),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_bytes_that_are_made_for_it_do_not_hold_it_up(name: str) -> None:
    content = HOSTILE[name]()
    began = time.process_time()
    detect(content)
    assert time.process_time() - began < 0.1
