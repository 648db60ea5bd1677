"""Server-sent events, however their bytes are cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edurise.adapters.server_sent import EventReader, Oversize

STREAM = (
    b": a comment\n\ndata: one\n\nevent: token\nid: 7\ndata:two\n\n"
    b"data: three\r\ndata: and a half\r\n\r\nretry: 10\n\ndata:  \xc3\x84 \n\ndata: never ended"
)
EVENTS = [b"one", b"two", b"three\nand a half", b" \xc3\x84 "]


@given(st.lists(st.integers(0, len(STREAM))))
def test_events_are_whole_wherever_the_stream_is_cut(cuts: list[int]) -> None:
    reader, found = EventReader(), []
    edges = [0, *sorted(cuts), len(STREAM)]
    for start, end in itertools.pairwise(edges):
        found += reader.feed(STREAM[start:end])
    assert found == EVENTS


@pytest.mark.parametrize("endless", [b"data: " + b"x" * 50, b"data: x\n" * 20, b"x" * 101])
def test_an_event_that_goes_on_and_on_is_refused(endless: bytes) -> None:
    reader = EventReader(longest_bytes=100)
    assert reader.feed(b"data: fine\n\n" * 30) == [b"fine"] * 30
    with pytest.raises(Oversize):
        reader.feed(endless * 3)
