"""Downloads that do not come to their end: who reads notices, and nobody goes on working for nothing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
import structlog

from edurise.files.ports import ObjectMissing, StoreUnavailable
from handlers import bytes_out
from tests.harness.filing import FILES, TEXT, column, kept, settle
from tests.harness.waiting import eventually
from tests.harness.world import Someone, World

PIECE = b"x" * 2**20
LARGE = 64 * 2**20
"""More than the buffers of both ends of a connection take."""


class OddStore:
    """In the place of a store: after ``good`` pieces it raises, or waits for ever where there is nothing to raise."""

    name = "local"
    is_direct = False

    def __init__(self, good: int, raises: Exception | None) -> None:
        self.good, self.raises = good, raises
        self.read_pieces = 0
        self.reading = asyncio.Event()
        self.ended = asyncio.Event()

    def path(self, key: str) -> Path | None:
        return None

    async def read(self, key: str, start: int = 0, size: int | None = None) -> AsyncIterator[bytes]:
        try:
            for _ in range(self.good):
                self.read_pieces += 1
                yield PIECE
            self.reading.set()
            if self.raises is not None:
                raise self.raises
            await asyncio.get_running_loop().create_future()
        finally:
            self.ended.set()


@asynccontextmanager
async def asking(world: World, who: Someone, file_id: UUID) -> AsyncIterator[tuple[asyncio.StreamReader, Any]]:
    """A connection on which a file was asked for, with small buffers, and nothing was read."""
    address = urlsplit(world.base_url)
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    plain.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plain, (address.hostname, address.port))
    reader, writer = await asyncio.open_connection(sock=plain, limit=4096)
    writer.write(
        f"GET {FILES}{file_id}/download/ HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {who.access}\r\n\r\n".encode()
    )
    await writer.drain()
    try:
        yield reader, writer
    finally:
        writer.close()


async def head_of(reader: asyncio.StreamReader) -> str:
    return (await reader.readuntil(b"\r\n\r\n")).decode()


async def rest_of(reader: asyncio.StreamReader) -> int:
    """How many bytes come until the connection ends, however it ends."""
    found = 0
    try:
        while piece := await reader.read(65_536):
            found += len(piece)
    except ConnectionError:
        pass
    return found


async def large_file(world: World, who: Someone) -> tuple[UUID, Path]:
    """A file whose row and bytes are large; the bytes are a hole of the disk."""
    file_id = await kept(world, who)
    plain = world.c.stores["local"].path(column(world, file_id, "key"))
    assert plain is not None
    with plain.open("r+b") as opened:
        opened.truncate(LARGE)
    settle(world, file_id, TEXT, size_bytes=LARGE)
    return file_id, plain


def idle(world: World) -> bool:
    return not world.application.edge.under_way


@pytest.fixture
def teacher(world: World) -> Someone:
    return world.person("teacher", world.organization())


@pytest.mark.parametrize("raises", [StoreUnavailable("local", "stall"), ObjectMissing(), ValueError("a fault of ours")])
@pytest.mark.gen_test
async def test_a_store_that_fails_in_the_middle_ends_the_connection(
    world: World, teacher: Someone, monkeypatch: pytest.MonkeyPatch, raises: Exception
) -> None:
    file_id = await kept(world, teacher)
    settle(world, file_id, TEXT, size_bytes=LARGE)
    monkeypatch.setitem(world.c.stores, "local", OddStore(3, raises))
    with structlog.testing.capture_logs() as logged:
        async with asking(world, teacher, file_id) as (reader, _):
            head = await head_of(reader)
            assert f"Content-Length: {LARGE}\r\n" in head
            assert await rest_of(reader) <= 3 * len(PIECE)
        await eventually(lambda: idle(world), "the request ends")
    assert [one["event"] for one in logged] == ["a body broke off"]


@pytest.mark.parametrize("raises", [StoreUnavailable("local", "down"), ObjectMissing()])
@pytest.mark.gen_test
async def test_a_store_that_fails_at_once_is_told(
    world: World, teacher: Someone, monkeypatch: pytest.MonkeyPatch, raises: Exception
) -> None:
    file_id = await kept(world, teacher)
    monkeypatch.setitem(world.c.stores, "local", OddStore(0, raises))
    with structlog.testing.capture_logs() as logged:
        refused = await world.of(teacher).get(f"{FILES}{file_id}/download/")
    assert (refused.status, refused.code) == (424, "STORE_UNAVAILABLE")
    assert [one["event"] for one in logged] == ["a file cannot be read"]


@pytest.mark.gen_test
async def test_a_client_that_goes_away_stops_the_reading(
    world: World, teacher: Someone, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_id = await kept(world, teacher)
    settle(world, file_id, TEXT, size_bytes=LARGE)
    store = OddStore(1, None)  # it waits for ever after the first piece
    monkeypatch.setitem(world.c.stores, "local", store)
    with structlog.testing.capture_logs() as logged:
        async with asking(world, teacher, file_id) as (reader, writer):
            await head_of(reader)
            await reader.readexactly(len(PIECE))
            await asyncio.wait_for(store.reading.wait(), 10)
            writer.close()
            await asyncio.wait_for(store.ended.wait(), 10)
        await eventually(lambda: idle(world), "the request ends")
    assert logged == []


@pytest.mark.gen_test
async def test_no_more_is_read_than_the_client_takes(
    world: World, teacher: Someone, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_id = await kept(world, teacher)
    settle(world, file_id, TEXT, size_bytes=LARGE)
    store = OddStore(LARGE // len(PIECE), None)
    monkeypatch.setitem(world.c.stores, "local", store)
    monkeypatch.setattr(bytes_out, "STALL_S", 0.4)
    async with asking(world, teacher, file_id):  # which reads nothing
        await asyncio.wait_for(store.ended.wait(), 20)
        assert 1 <= store.read_pieces <= 12, "what the buffers of the connection take, and a piece"


@pytest.mark.gen_test
async def test_a_client_that_stands_still_is_dropped(
    world: World, teacher: Someone, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_id, _ = await large_file(world, teacher)
    monkeypatch.setattr(bytes_out, "STALL_S", 0.4)
    async with asking(world, teacher, file_id) as (reader, _):
        await eventually(lambda: not idle(world), "the request is under way")
        await eventually(lambda: idle(world), "the request ends")
        assert f"Content-Length: {LARGE}\r\n" in await head_of(reader)
        assert await rest_of(reader) < LARGE


@pytest.mark.gen_test
async def test_a_slow_client_is_not(world: World, teacher: Someone, monkeypatch: pytest.MonkeyPatch) -> None:
    file_id, _ = await large_file(world, teacher)
    monkeypatch.setattr(bytes_out, "STALL_S", 0.4)
    loop = asyncio.get_running_loop()
    async with asking(world, teacher, file_id) as (reader, _):
        await head_of(reader)
        until = loop.time() + 3 * bytes_out.STALL_S

        async def takes_a_little() -> bool:
            return len(await reader.readexactly(65_536)) == 65_536 and loop.time() > until

        await eventually(takes_a_little, "three times as long as one that takes nothing may")
        assert not idle(world)
        await reader.readexactly(2**20)


@pytest.mark.gen_test
async def test_a_file_that_shrinks_ends_the_connection(world: World, teacher: Someone) -> None:
    file_id, plain = await large_file(world, teacher)
    with structlog.testing.capture_logs() as logged:
        async with asking(world, teacher, file_id) as (reader, _):
            await head_of(reader)
            with plain.open("r+b") as opened:
                opened.truncate(1000)
            assert await rest_of(reader) < LARGE
        await eventually(lambda: idle(world), "the request ends")
    assert [one["event"] for one in logged] == ["a body broke off"]


@pytest.mark.parametrize("is_plain", [True, False])
@pytest.mark.gen_test
async def test_nothing_stays_open(
    world: World, teacher: Someone, monkeypatch: pytest.MonkeyPatch, is_plain: bool
) -> None:
    file_id = await kept(world, teacher)
    store = world.c.stores["local"]
    plain = store.path(column(world, file_id, "key"))
    if not is_plain:
        monkeypatch.setattr(store, "path", lambda _: None)

    def readers() -> int:
        found = [link for link in Path("/proc/self/fd").iterdir() if link.exists() and link.samefile(plain)]
        return len(found)

    for headers in ({}, {"Range": "bytes=1-2"}, {"Range": "bytes=99999-"}, {"If-None-Match": "*"}):
        await world.of(teacher).get(f"{FILES}{file_id}/download/", **headers)
    async with asking(world, teacher, file_id) as (_, writer):
        writer.close()
    await eventually(lambda: idle(world) and readers() == 0, "the file is closed")


@pytest.mark.gen_test
async def test_a_connection_serves_on_after_a_file(world: World, teacher: Someone) -> None:
    """Requests that were sent together: each answer begins where the one before it ends."""
    file_id = await kept(world, teacher)
    address = urlsplit(world.base_url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    asked = ["GET", "HEAD", "GET"]
    for method in asked:
        writer.write(
            f"{method} {FILES}{file_id}/download/ HTTP/1.1\r\nHost: here\r\n"
            f"Authorization: Bearer {teacher.access}\r\n\r\n".encode()
        )
    for method in asked:
        head = await asyncio.wait_for(head_of(reader), 10)
        assert head.startswith("HTTP/1.1 200 OK\r\n")
        assert f"Content-Length: {len(TEXT)}\r\n" in head
        if method == "GET":
            assert await reader.readexactly(len(TEXT)) == TEXT
    writer.close()
    await writer.wait_closed()
