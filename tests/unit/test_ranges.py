"""Conditions and ranges of RFC 9110, by headers alone."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edurise.errors import PreconditionFailed, RangeNotSatisfiable
from edurise.files.ranges import Asked, Plan

TAG = "5d41402abc4b2a76b9719d911017c592"
AT = datetime(2026, 3, 1, 12, 30, 15, 987_654, tzinfo=UTC)
HTTP_AT = format_datetime(AT, usegmt=True)
BEFORE = "Sun, 01 Mar 2026 12:30:14 GMT"
AFTER = "Sun, 01 Mar 2026 12:30:16 GMT"


def planned(size: int = 1000, **headers: str) -> Plan:
    return Asked(**headers).plan(TAG, size, AT)


@pytest.mark.parametrize(
    ("header", "start", "length"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, 1000),
        ("bytes=0-999", 0, 1000),
        ("bytes=0-1000", 0, 1000),
        ("bytes=999-", 999, 1),
        ("bytes=10-19", 10, 10),
        ("bytes=-1", 999, 1),
        ("bytes=-1000", 0, 1000),
        ("bytes=-5000", 0, 1000),
        ("BYTES=1-1", 1, 1),
        ("bytes= 1-2 ", 1, 2),
        ("bytes=0-999999999999999999999999999999", 0, 1000),
    ],
)
def test_one_range_is_answered(header: str, start: int, length: int) -> None:
    plan = planned(range=header)
    assert (plan.status, plan.start, plan.length) == (206, start, length)
    assert plan.content_range == f"bytes {start}-{start + length - 1}/1000"
    assert plan.holds_first == (start == 0)


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=1000-1001", "bytes=-0", f"bytes={10**29}-"])
def test_what_lies_behind_the_end_is_refused(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable) as refused:
        planned(range=header)
    assert refused.value.params == {"size": 1000}


@pytest.mark.parametrize(
    "header",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-2",
        "bytes=--5",
        "bytes=1.5-2",
        "bytes=+1-2",
        "bytes=٣-٤",
        "items=0-5",
        "bytes 0-5",
        "bytes=0-5\x00",
        f"bytes={'9' * 31}-",
        "bytes=0-1,5-6",
        "bytes=0-,0-,0-",
        "bytes=-5,",
    ],
)
def test_what_is_no_single_range_gets_the_whole(header: str) -> None:
    plan = planned(range=header)
    assert (plan.status, plan.start, plan.length, plan.holds_first) == (200, 0, 1000, True)


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=0-0", "bytes=5-", "bytes=-5", "bytes=-0"])
def test_an_empty_file_is_given_to_whoever_asks_for_a_part(header: str) -> None:
    plan = planned(0, range=header)
    assert (plan.status, plan.length, plan.holds_first) == (200, 0, True)


def test_hostile_ranges_cost_nothing() -> None:
    many = "bytes=" + ",".join(f"{n}-" for n in range(6000))
    began = time.thread_time()
    for header in (many, "bytes=" + "9" * 32_000, "bytes=" + "-" * 32_000, "bytes=" + " " * 32_000):
        assert planned(range=header).status == 200
    for header in ('"' * 32_000, 'W/"' * 10_000, '"a", ' * 6_000):
        planned(if_none_match=header)
    assert time.thread_time() - began < 0.2


@given(st.text(max_size=40), st.integers(0, 100))
def test_no_header_raises_anything_else(header: str, size: int) -> None:
    for name in ("range", "if_range", "if_match", "if_none_match", "if_modified_since", "if_unmodified_since"):
        try:
            plan = Asked(**{"range": "bytes=0-0", name: header}).plan(TAG, size, AT)
        except (PreconditionFailed, RangeNotSatisfiable):
            continue
        assert 0 <= plan.start <= plan.start + plan.length <= size


@given(st.integers(0, 200), st.integers(0, 200), st.integers(1, 150))
def test_a_range_is_the_slice_that_it_names(first: int, last: int, size: int) -> None:
    content = bytes(n % 251 for n in range(size))
    try:
        plan = planned(size, range=f"bytes={first}-{last}")
    except RangeNotSatisfiable:
        assert first >= size
        return
    found = content[plan.start : plan.start + plan.length]
    assert found == (content if last < first else content[first : last + 1])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"if_none_match": f'"{TAG}"'}, 304),
        ({"if_none_match": f'W/"{TAG}"'}, 304),
        ({"if_none_match": f'"a", "b,c" , W/"{TAG}"'}, 304),
        ({"if_none_match": "*"}, 304),
        ({"if_none_match": '"other"'}, 200),
        ({"if_none_match": TAG}, 200),
        ({"if_none_match": '"other"', "if_modified_since": AFTER}, 200),
        ({"if_modified_since": HTTP_AT}, 304),
        ({"if_modified_since": AFTER}, 304),
        ({"if_modified_since": BEFORE}, 200),
        ({"if_modified_since": "yesterday"}, 200),
        ({"if_modified_since": "Sun, 99 Mar 2026 12:30:14 GMT"}, 200),
        ({"if_none_match": f'"{TAG}"', "range": "bytes=0-5"}, 304),
        ({"if_match": f'"{TAG}"'}, 200),
        ({"if_match": "*"}, 200),
        ({"if_match": f'"{TAG}"', "range": "bytes=1-5"}, 206),
        ({"if_unmodified_since": HTTP_AT}, 200),
        ({"if_unmodified_since": "nonsense"}, 200),
        ({"range": "bytes=1-5", "if_range": f'"{TAG}"'}, 206),
        ({"range": "bytes=1-5", "if_range": f'W/"{TAG}"'}, 200),
        ({"range": "bytes=1-5", "if_range": '"other"'}, 200),
        ({"range": "bytes=1-5", "if_range": HTTP_AT}, 206),
        ({"range": "bytes=1-5", "if_range": BEFORE}, 200),
        ({"range": "bytes=1-5", "if_range": AFTER}, 200),
        ({"range": "bytes=1-5", "if_range": "nonsense"}, 200),
        ({"range": "bytes=2000-", "if_range": '"other"'}, 200),
    ],
)
def test_conditions_are_weighed_in_their_order(headers: dict[str, str], status: int) -> None:
    assert planned(**headers).status == status


@pytest.mark.parametrize(
    "headers",
    [
        {"if_match": '"other"'},
        {"if_match": f'W/"{TAG}"'},
        {"if_match": '"other"', "if_none_match": f'"{TAG}"'},
        {"if_unmodified_since": BEFORE},
    ],
)
def test_a_condition_that_does_not_hold_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(PreconditionFailed):
        planned(**headers)


def test_head_takes_no_part_and_counts_for_nothing() -> None:
    plan = planned(method="HEAD", range="bytes=2000-")
    assert (plan.status, plan.length, plan.has_body, plan.holds_first) == (200, 1000, False, False)
    assert planned(method="HEAD", if_none_match=f'"{TAG}"').status == 304


@pytest.mark.parametrize(
    ("headers", "counts"),
    [
        ({}, True),
        ({"range": "bytes=0-10"}, True),
        ({"range": "bytes=1-"}, False),
        ({"range": "bytes=-10"}, False),
        ({"range": "bytes=-99999"}, True),
        ({"range": "bytes=1-,5-"}, True),
        ({"range": "bytes=1-", "if_range": '"other"'}, True),
        ({"range": "bytes=1-", "if_range": f'"{TAG}"'}, False),
        ({"if_none_match": "*"}, False),
    ],
)
def test_what_holds_the_first_byte_counts(headers: dict[str, str], counts: bool) -> None:
    assert planned(**headers).holds_first is counts
