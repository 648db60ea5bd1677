"""Tokens of signed links: nothing of one can be changed, and none lives long."""

from __future__ import annotations

import string
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edurise.errors import NotFound
from edurise.files.links import LONGEST_S, Link, Links, LinkSigner

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SECRET = "a secret of at least thirty-two characters"
ALPHABET = string.ascii_letters + string.digits + "-_"
SIGNER = LinkSigner(SECRET)


def link(**values: object) -> Link:
    made = Link(uuid4(), uuid4(), 1, "attachment", int(NOW.timestamp()) + 3600)
    return replace(made, **values)


def code_of(token: str, now: datetime = NOW, signer: LinkSigner = SIGNER) -> str | None:
    try:
        signer.read(token, now)
    except NotFound as refused:
        return refused.code
    return None


@given(
    st.uuids(),
    st.uuids(),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["attachment", "inline", "thumbnail"]),
    st.integers(1, LONGEST_S),
)
def test_what_is_signed_is_what_is_read(
    file_id: UUID, person_id: UUID, version: int, variant: str, seconds: int
) -> None:
    made = Link(file_id, person_id, version, variant, int(NOW.timestamp()) + seconds)
    token = SIGNER.sign(made, NOW)
    assert set(token) <= set(ALPHABET)
    assert len(token) == 80
    assert SIGNER.read(token, NOW) == made
    assert SIGNER.read(token, NOW + timedelta(seconds=seconds - 1)) == made
    assert code_of(token, NOW + timedelta(seconds=seconds)) == "LINK_EXPIRED"


def test_no_character_can_be_another() -> None:
    token = SIGNER.sign(link(), NOW)
    for at, was in enumerate(token):
        for other in ALPHABET:
            if other != was:
                assert code_of(token[:at] + other + token[at + 1 :]) == "LINK_INVALID"


@pytest.mark.parametrize(
    "change",
    [
        lambda token: "",
        lambda token: token[:-1],
        lambda token: token[1:],
        lambda token: token + "A",
        lambda token: token + "=",
        lambda token: token + "====",
        lambda token: token[:-1] + "=",
        lambda token: token[:-2] + "==",
        lambda token: " " + token[1:],
        lambda token: token[:-1] + "\n",
        lambda token: token[:-1] + "ä",
        lambda token: token[:-1] + "\u0661",
        lambda token: token.swapcase(),
        lambda token: token[::-1],
        lambda token: token * 1000,
        lambda token: "\x00" * 80,
        lambda token: "A" * 80,
        lambda token: "." * 80,
    ],
)
def test_a_token_of_another_shape_is_none(change: object) -> None:
    assert code_of(change(SIGNER.sign(link(), NOW))) == "LINK_INVALID"


@given(st.text(max_size=200))
def test_no_text_raises_anything_else(token: str) -> None:
    assert code_of(token) == "LINK_INVALID"


def test_another_secret_signs_other_links() -> None:
    assert code_of(LinkSigner(SECRET + "!").sign(link(), NOW)) == "LINK_INVALID"


def test_keys_are_those_of_this_and_the_last_thirty_days() -> None:
    until = int((NOW + timedelta(days=3650)).timestamp())
    token = SIGNER.sign(link(expires_at=until), NOW)
    ages = [day for day in range(200) if code_of(token, NOW + timedelta(days=day)) is None]
    assert ages == list(range(len(ages))), "once gone it stays gone"
    assert 30 <= len(ages) <= 60
    assert code_of(token, NOW - timedelta(days=31)) == "LINK_INVALID", "nor was it signed in the future"


def test_the_longest_link_outlives_a_change_of_keys() -> None:
    for day in range(60):
        made_at = NOW + timedelta(days=day)
        token = SIGNER.sign(link(expires_at=int(made_at.timestamp()) + LONGEST_S), made_at)
        assert code_of(token, made_at + timedelta(seconds=LONGEST_S - 1)) is None


def test_links_in_answers_stay_the_same_for_a_while() -> None:
    row = {
        "id": uuid4(),
        "link_version": 3,
        "name": "Knöten & /?#.txt",
        "access": "owner",
        "sha256": "ab" * 32,
        "thumbnail_key": None,
    }
    links = Links(SIGNER, "https://school.example", "https://cdn.example")
    person = uuid4()
    first, later = (links.for_(person, NOW + timedelta(minutes=minutes)).file_url(row) for minutes in (1, 50))
    assert first == later
    assert first is not None
    assert first.startswith("https://school.example/api/v1/file-links/")
    assert first.endswith("/Kn%C3%B6ten%20%26%20%2F%3F%23.txt")
    assert links.for_(uuid4(), NOW).file_url(row) != first
    assert links.for_(None, NOW).file_url(row) is None
    public = links.for_(None, NOW).file_url(row | {"access": "public"})
    assert public is not None
    assert public.startswith(f"https://cdn.example/media/{row['id']}/{'ab' * 16}/")
