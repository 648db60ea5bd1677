"""Forms are read alike however their bytes are cut, and the pipe between hands over all bytes and never too many."""

from __future__ import annotations

import asyncio
import contextlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edurise.errors import Invalid
from edurise.streams import Pipe
from handlers.forms import Form
from tests.harness.filing import form


async def read(body: bytes, media: str, cuts: list[int]) -> tuple[str, bytes, dict[str, str]]:
    pipe = Pipe(most=64)
    edges = sorted({min(cut, len(body)) for cut in cuts} | {0, len(body)})

    async def feed() -> None:
        for start, end in pairwise(edges):
            await pipe.feed(body[start:end])
        pipe.end()

    feeding = asyncio.ensure_future(feed())
    try:
        found = Form(media, pipe)
        file = await found.file()
        content = b"".join([chunk async for chunk in file.chunks])
        return file.name, content, await found.fields()
    finally:
        pipe.discard()
        await feeding


@given(
    st.binary(max_size=2000) | st.sampled_from([b"\r\n--", b"\r\n--b\r\n" * 20, b"--" * 500, b"\r" * 300]),
    st.lists(st.integers(0, 3000), max_size=40),
    st.booleans(),
)
def test_a_form_is_read_alike_however_it_is_cut(content: bytes, cuts: list[int], first: bool) -> None:
    body, media = form(content, "Knots.txt", {"category": "documents", "title": "é\r\nx", "empty": ""}, first=first)
    name, got, fields = asyncio.run(read(body, media, cuts))
    assert (name, got, fields) == ("Knots.txt", content, {"category": "documents", "title": "é\r\nx"})


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=10))
def test_whatever_comes_it_is_a_form_or_refused(body: bytes, cuts: list[int]) -> None:
    with contextlib.suppress(Invalid):
        asyncio.run(read(b"--b\r\n" + body, "multipart/form-data; boundary=b", cuts))


@pytest.mark.parametrize(
    "media", ["", "text/plain", "multipart/form-data", 'multipart/form-data; boundary=""', "multipart/mixed; boundary=b",
              f"multipart/form-data; boundary={'x' * 71}"]
)  # fmt: skip
def test_a_form_needs_its_boundary(media: str) -> None:
    with pytest.raises(Invalid):
        Form(media, Pipe())


async def piped(chunks: list[bytes], most: int) -> tuple[bytes, int]:
    """What comes out, and how many bytes were unread at most."""
    pipe, unread, highest = Pipe(most), 0, 0

    async def feed() -> None:
        nonlocal unread, highest
        for chunk in chunks:
            unread += len(chunk)
            highest = max(highest, unread)
            await pipe.feed(chunk)
        pipe.end()

    feeding = asyncio.ensure_future(feed())
    got = b""
    async for chunk in pipe:
        got += chunk
        unread -= len(chunk)
        await asyncio.sleep(0)
    await feeding
    return got, highest


@given(st.lists(st.binary(max_size=30), max_size=60), st.integers(1, 100))
def test_a_pipe_hands_over_everything_and_holds_little(chunks: list[bytes], most: int) -> None:
    got, highest = asyncio.run(piped(chunks, most))
    assert got == b"".join(chunks)
    assert highest <= most + 2 * 30


def test_a_reader_that_stops_lets_the_feeder_go_on() -> None:
    async def run() -> None:
        pipe = Pipe(most=10)
        feeding = asyncio.ensure_future(pipe.feed(b"x" * 100))
        await asyncio.sleep(0)
        assert not feeding.done()
        pipe.discard()
        await feeding
        await pipe.feed(b"y" * 100)

    asyncio.run(run())


def test_a_pipe_that_breaks_off_says_so_to_its_reader() -> None:
    async def run() -> None:
        pipe = Pipe()
        await pipe.feed(b"begun")
        pipe.fail(ConnectionResetError())
        with pytest.raises(ConnectionResetError):
            await pipe.read()

    asyncio.run(run())


def test_an_end_that_came_stays_an_end() -> None:
    async def run() -> None:
        pipe = Pipe()
        await pipe.feed(b"all")
        pipe.end()
        pipe.fail(ConnectionResetError())  # the connection closes after the whole body came
        assert (await pipe.read(), await pipe.read()) == (b"all", b"")

    asyncio.run(run())
