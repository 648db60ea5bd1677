"""Names of files: whatever comes in, what is kept can stand on a disk, and what is sent can stand in a header."""

from __future__ import annotations

import re
import unicodedata
from email.message import Message
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edurise.files.naming import MOST_BYTES, disposition, extension_of, sanitize

HOSTILE = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("./\\ :\"'%;=\r\n\0\u202e\u200d\u2028\u2003\u00a0\u3000\u212b\u0301~*CONconaux²\ud800"),
    ),
    max_size=300,
)
ATTR_VALUE = re.compile(r"(?:[A-Za-z0-9!#$&+.^_`|~-]|%[0-9A-F]{2})+")
WHOLE = re.compile(r"(inline|attachment); filename=\"([A-Za-z0-9 ._()+,=@-]+)\"; filename\*=UTF-8''(\S+)")


@pytest.mark.parametrize(
    ("given_name", "kept"),
    [
        ("knots.pdf", "knots.pdf"),
        ("/etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("C:\\fakepath\\Knots.PDF", "Knots.PDF"),
        ("a/b\\c/d.txt", "d.txt"),
        ("..", "file"),
        ("", "file"),
        ("folder/", "file"),
        (" . . ", "file"),
        ("\u2003..\u2003", "file"),
        ("\u2003.hidden", "hidden"),
        (".htaccess", "htaccess"),
        ("name.txt. . ", "name.txt"),
        ("a\r\nSet-Cookie: x.txt", "aSet-Cookie_ x.txt"),
        ("two \u2003\u00a0spaces.txt", "two spaces.txt"),
        ("gpj.\u202eexe.txt", "gpj.exe.txt"),
        ("a\0b.txt", "ab.txt"),
        ("Cafe\u0301.txt", "Café.txt"),
        ("ملف الدرس.pdf", "ملف الدرس.pdf"),
        ("課題.docx", "課題.docx"),
        ('<b>"x"|?*.txt', "_b__x____.txt"),
        ("CON", "_CON"),
        ("nul.tar.gz", "_nul.tar.gz"),
        ("con .txt", "_con .txt"),
        ("COM¹.txt", "_COM¹.txt"),
        ("Lpt9", "_Lpt9"),
        ("conout$", "_conout$"),
        ("constant.txt", "constant.txt"),
        ("com10.txt", "com10.txt"),
    ],
)
def test_what_a_name_is_kept_as(given_name: str, kept: str) -> None:
    assert sanitize(given_name) == kept


@pytest.mark.parametrize("stem", ["x" * 500, "é" * 300, "課" * 300, "🪢" * 100, "x. " * 200])
def test_a_long_name_keeps_its_extension_and_its_characters(stem: str) -> None:
    kept = sanitize(f"{stem}.JPEG")
    assert MOST_BYTES - 8 < len(kept.encode()) <= MOST_BYTES
    assert kept.endswith(".JPEG")
    assert stem.startswith(kept.removesuffix(".JPEG"))


@given(HOSTILE)
@example("\u2003.a")
@example("x" * 300 + ". .txt")
@example("A\u030a" * 120)
@example("x " * 150)
@example("xy. " * 80)
def test_every_name_becomes_one_that_is_safe_and_stays_it(name: str) -> None:
    kept = sanitize(name)
    assert sanitize(kept) == kept
    assert kept
    assert len(kept.encode()) <= MOST_BYTES  # which also says that there is no lone surrogate in it
    assert not set(kept) & set('/\\<>:"|?*')
    assert kept == unicodedata.normalize("NFC", kept)
    assert kept == kept.strip(" .")
    assert not [one for one in kept if unicodedata.category(one)[0] == "C"]
    assert not re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)", kept.split(".")[0].strip())


@pytest.mark.parametrize(
    ("name", "extension"),
    [
        ("a.txt", "txt"),
        ("A.TXT", "txt"),
        ("a.tar.gz", "gz"),
        ("a", ""),
        (".txt", ""),
        ("a.", ""),
        ("a.t t", ""),
        ("a.éa", ""),
        ("a." + "x" * 16, "x" * 16),
        ("a." + "x" * 17, ""),
        ("a.pdf/", ""),
        ("", ""),
    ],
)
def test_what_the_extension_is(name: str, extension: str) -> None:
    assert extension_of(name) == extension


@given(HOSTILE)
def test_no_name_says_more_in_a_header_than_a_name(name: str) -> None:
    told = disposition("attachment", name)
    assert all(" " <= one <= "~" for one in told)
    found = WHOLE.fullmatch(told)
    assert found is not None
    assert ATTR_VALUE.fullmatch(found[3])
    assert unquote(found[3]) == (name.encode(errors="replace").decode() or "file")
    parsed = Message()
    parsed["Content-Disposition"] = f'attachment; filename="{found[2]}"'
    assert parsed.get_filename() == found[2]


@given(HOSTILE)
def test_a_library_reads_the_exact_name(name: str) -> None:
    kept = sanitize(name)
    parsed = Message()
    parsed["Content-Disposition"] = re.sub(r"filename=\"[^\"]*\"; ", "", disposition("inline", kept))
    assert parsed.get_content_disposition() == "inline"
    assert parsed.get_filename() == kept


@pytest.mark.parametrize(
    ("name", "plain", "exact"),
    [
        ("knots.pdf", "knots.pdf", "knots.pdf"),
        ("Knoten für Anfänger.pdf", "Knoten fur Anfanger.pdf", "Knoten%20f%C3%BCr%20Anf%C3%A4nger.pdf"),
        ("ملف.pdf", "file.pdf", "%D9%85%D9%84%D9%81.pdf"),
        ("課題", "file", "%E8%AA%B2%E9%A1%8C"),
        ("100%41.txt", "100_41.txt", "100%2541.txt"),
        ("it's (1).txt", "it_s (1).txt", "it%27s%20%281%29.txt"),
        ('a"; filename="b.exe', "a__ filename=_b.exe", "a%22%3B%20filename%3D%22b.exe"),
        ("_CON.txt", "_CON.txt", "_CON.txt"),
    ],
)
def test_what_is_sent_of_a_name(name: str, plain: str, exact: str) -> None:
    assert disposition("inline", name) == f"inline; filename=\"{plain}\"; filename*=UTF-8''{exact}"
