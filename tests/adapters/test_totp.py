"""One-time codes against the test vectors of RFC 6238 (appendix B, SHA-1; six digits are the last six of its eight)."""

from __future__ import annotations

import re
from base64 import b32encode
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from edurise.adapters.qr_codes import SvgQrCodes
from edurise.adapters.totp import TotpCodes

SECRET = b32encode(b"12345678901234567890").decode()
VECTORS = {
    59: "94287082",
    1111111109: "07081804",
    1111111111: "14050471",
    1234567890: "89005924",
    2000000000: "69279037",
    20000000000: "65353130",
}


@pytest.mark.parametrize(("seconds", "code"), VECTORS.items())
def test_the_vectors_of_the_rfc(seconds: int, code: str) -> None:
    at = datetime.fromtimestamp(seconds, UTC)
    assert TotpCodes().step_of(SECRET, code[-6:], at) == seconds // 30


@pytest.mark.parametrize(("late", "found"), [(-60, False), (-30, True), (0, True), (30, True), (60, False)])
def test_a_code_is_good_one_step_around(late: int, found: bool) -> None:
    at = datetime.fromtimestamp(1234567890, UTC)
    step = TotpCodes().step_of(SECRET, "005924", at + timedelta(seconds=late))
    assert (step == 1234567890 // 30) is found


@pytest.mark.parametrize("code", ["", "00592", "0059244", "89005924", "٠٠٥٩٢٤", "00592a", "+05924", "-05924"])
def test_what_is_no_code_is_of_no_step(code: str) -> None:
    assert TotpCodes().step_of(SECRET, code, datetime.fromtimestamp(1234567890, UTC)) is None


def test_a_code_may_be_typed_with_a_gap() -> None:
    assert TotpCodes().step_of(SECRET, " 005 924 ", datetime.fromtimestamp(1234567890, UTC)) is not None


def test_a_secret_has_160_bits_and_a_uri_that_says_whose_it_is() -> None:
    codes = TotpCodes()
    made = {codes.new_secret() for _ in range(100)}
    assert len(made) == 100
    assert {len(one) for one in made} == {32}
    found = urlsplit(codes.uri(SECRET, "ada+1@example.org"))
    assert (found.scheme, found.netloc, unquote(found.path)) == ("otpauth", "totp", "/EduRise:ada+1@example.org")
    assert parse_qs(found.query) == {"secret": [SECRET], "issuer": ["EduRise"]}


def test_a_qr_code_is_a_picture_that_runs_nothing() -> None:
    head, _, body = SvgQrCodes().picture_of("otpauth://totp/EduRise:<script>alert(1)</script>").partition(",")
    assert head.startswith("data:image/svg+xml")
    assert set(re.findall(r"<([^/\s>?!]+)", unquote(body))) == {"svg", "path"}
