"""The load generator counts what a server sent, however the stream is cut."""

from __future__ import annotations

import pytest

from benchmarks.frames import EMPTY_PONG, Scanned, masked_text, scan, texts_of, upgrade
from handlers.ws.wire import PING, text_frame

SIZES = (0, 1, 125, 126, 65_535, 65_536)
CLOSED = b"\x88\x02" + (4404).to_bytes(2, "big")


@pytest.mark.parametrize("size", SIZES)
def test_a_frame_of_any_length_is_one(size: int) -> None:
    frame = text_frame(b"x" * size)
    assert scan(frame) == Scanned(1, 0, False, 0, len(frame))
    assert texts_of(frame) == [b"x" * size]


@pytest.mark.parametrize("size", SIZES)
def test_a_frame_that_is_not_whole_is_none_yet(size: int) -> None:
    frame = text_frame(b"x" * size)
    for cut in {0, 1, 2, 3, 4, 9, 10, len(frame) - 1}:
        if cut < len(frame):
            assert scan(frame[:cut]) == Scanned(0, 0, False, 0, 0)
            assert texts_of(frame[:cut]) == []


def test_wherever_the_stream_is_cut_the_frames_are_the_same() -> None:
    stream = text_frame(b"a") + PING + text_frame(b"b" * 300) + b"\x8a\x00" + text_frame(b"c") + CLOSED
    for cut in range(len(stream)):
        first = scan(stream[:cut])
        second = scan(stream[first.used :])
        assert first.texts + second.texts == 3
        assert first.pings + second.pings == 1
        assert (second.closed, second.code) == (True, 4404)
        assert first.used + second.used == len(stream)
    assert texts_of(stream) == [b"a", b"b" * 300, b"c"]


def test_a_close_without_a_code_is_a_close() -> None:
    assert scan(b"\x88\x00" + text_frame(b"never read")).code == 0
    assert scan(b"\x88\x00").closed


@pytest.mark.parametrize("frame", [b"\x81\x81....x", b"\x01\x01x", b"\x82\x01x", b"\x00\x01x"])
def test_what_no_server_of_ours_sends_is_an_error(frame: bytes) -> None:
    with pytest.raises(ValueError, match=r"mask|not expected"):
        scan(frame)


@pytest.mark.parametrize("size", [1, 125, 126, 65_535, 65_536])
def test_a_client_s_frame_is_masked_with_zeros(size: int) -> None:
    frame = masked_text("y" * size)
    bare = text_frame(b"y" * size)
    head = len(bare) - size
    assert frame[0] == bare[0]
    assert frame[1] == bare[1] | 0x80
    assert frame[2:head] == bare[2:head]
    assert frame[head:] == bytes(4) + b"y" * size
    assert b"\x8a\x80" + bytes(4) == EMPTY_PONG


def test_a_handshake_asks_for_an_upgrade_with_a_key_of_its_own() -> None:
    first, second = upgrade(8000, "/ws/"), upgrade(8000, "/ws/")
    assert first.startswith("GET /ws/ HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n")
    assert first.endswith("Sec-WebSocket-Version: 13\r\n\r\n")
    assert first != second
