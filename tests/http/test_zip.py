"""Many files as one archive: exact, in constant memory, and honest about what is left out."""

from __future__ import annotations

import asyncio
import io
import subprocess
import tracemalloc
import zipfile
import zlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from tornado.simple_httpclient import HTTPStreamClosedError

from edurise.adapters.provision import DatabaseUrls
from edurise.adapters.zip_stream import archive_bytes, zipped
from edurise.files import naming
from edurise.files.flows.zipping import SKIPPED_NAME, Member, unique_names
from edurise.files.ports import StoreUnavailable
from tests.harness.client import Answer
from tests.harness.filing import FILES, TEXT, column, kept, settle, shared
from tests.harness.machine import require
from tests.harness.waiting import eventually
from tests.harness.world import Someone, World
from tests.harness.worlds import another

BULK = f"{FILES}bulk_download/"
AT = datetime(2026, 3, 1, 12, 30, 16, tzinfo=UTC)
OTHER = b"Round turn and two half hitches.\n" * 50_000


async def zip_of(world: World, who: Someone, ids: Sequence[UUID], **headers: str) -> Answer:
    client = world.of(who, **{"X-Tenant-ID": str(who.tenant_id)})
    return await client.post(BULK, {"file_ids": [str(one) for one in ids]}, **headers)


def opened(answer: Answer) -> zipfile.ZipFile:
    """The archive, whose size and checksums are right."""
    assert answer.status == 200, answer.content
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    found = zipfile.ZipFile(io.BytesIO(answer.content))
    assert found.testzip() is None
    return found


def member(name: str, content: bytes, crc32: int | None = None) -> Member:
    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(content), 100_000):
            yield content[at : at + 100_000]

    return Member(name, len(content), zlib.crc32(content) if crc32 is None else crc32, AT, pieces)


async def gathered(members: Sequence[Member]) -> bytes:
    return b"".join([piece async for piece in zipped(members)])


@pytest.fixture
def teacher(world: World) -> Someone:
    return world.person("teacher", world.organization())


@pytest.mark.parametrize("keys", [(), (f"k1:{'5a' * 32}",)])
@pytest.mark.gen_test
async def test_files_come_as_one_archive(
    world: World, database: DatabaseUrls, tmp_path: Path, keys: tuple[str, ...]
) -> None:
    async with another(world, database, file_keys=keys) as here:
        teacher = here.person("teacher", here.organization())
        contents = {"knots.txt": TEXT, "hitches.txt": OTHER, "empty.txt": b"", "Knöten 😀.txt": TEXT * 2}
        ids = [await kept(here, teacher, content, name) for name, content in contents.items()]
        answer = await zip_of(here, teacher, [*ids, ids[0]])
        found = opened(answer)
        assert {name: found.read(name) for name in found.namelist()} == contents
        assert found.namelist() == list(contents)
        assert {one.compress_type for one in found.infolist()} == {zipfile.ZIP_STORED}
        assert answer.headers["Content-Type"] == "application/zip"
        assert answer.headers["Content-Disposition"].startswith('attachment; filename="files.zip"')
        assert answer.headers["Cache-Control"] == "no-store"
        assert [column(here, one, "download_count") for one in ids] == [1, 1, 1, 1]
        archive = tmp_path / "files.zip"
        archive.write_bytes(answer.content)
        checked = await asyncio.to_thread(
            subprocess.run, [require("unzip"), "-tq", archive], capture_output=True, check=False
        )
        assert checked.returncode == 0, checked.stdout


@pytest.mark.gen_test
async def test_what_is_left_out_is_told_in_the_reader_s_language(world: World, teacher: Someone) -> None:
    reader, stranger = world.person(tenant_id=teacher.tenant_id), world.person("teacher", world.organization())
    open_id, closed, waiting = [await kept(world, teacher) for _ in range(3)]
    foreign = await kept(world, stranger)
    for one in (open_id, waiting):
        shared(world, one, reader)
    nothing = uuid4()
    settle(world, waiting, TEXT, state="ready", expires_at=world.clock.now())
    ids = [closed, open_id, waiting, foreign, nothing]
    found = opened(await zip_of(world, reader, ids, Accept_Language="de"))
    assert found.namelist() == ["knots.txt", SKIPPED_NAME]
    lines = found.read(SKIPPED_NAME).decode().splitlines()
    assert [line.partition(":")[0] for line in lines] == [str(one) for one in (closed, waiting, foreign, nothing)]
    told = [line.partition(": ")[2] for line in lines]
    assert told[0] == told[2] == told[3], "what may not be known of looks like what is not there"
    assert told[1] not in ("", told[0])
    assert [column(world, one, "download_count") for one in ids[:4]] == [0, 1, 0, 0]


@pytest.mark.gen_test
async def test_an_archive_of_nothing_is_refused(world: World, teacher: Someone) -> None:
    stranger = world.person("teacher", world.organization())
    foreign = await kept(world, stranger)
    refused = await zip_of(world, teacher, [foreign, uuid4()])
    assert (refused.status, refused.code) == (404, "NOT_FOUND")
    elsewhere = await world.of(teacher, **{"X-Tenant-ID": str(stranger.tenant_id)}).post(
        BULK, {"file_ids": [str(foreign)]}
    )
    assert elsewhere.status == 403
    waiting = await kept(world, teacher)
    settle(world, waiting, TEXT, state="quarantined")
    assert (await zip_of(world, teacher, [waiting])).code == "FILE_QUARANTINED"
    assert (await world.of(teacher).post(BULK, {"file_ids": []})).status == 400


@pytest.mark.gen_test
async def test_what_is_left_out_is_not_counted(world: World, teacher: Someone) -> None:
    """A file whose checksum nobody knows passes everything else, and what it has counted by then is taken back."""
    good, bad = await kept(world, teacher), await kept(world, teacher)
    settle(world, bad, TEXT, crc32=None)
    assert opened(await zip_of(world, teacher, [good, bad])).namelist() == ["knots.txt", SKIPPED_NAME]
    assert [column(world, one, "download_count") for one in (good, bad)] == [1, 0]


@pytest.mark.gen_test
async def test_the_day_s_downloads_end_in_the_middle(world: World, database: DatabaseUrls) -> None:
    async with another(world, database, downloads_per_day={"basic": 2, "pro": 2, "enterprise": 2}) as here:
        teacher = here.person("teacher", here.organization())
        ids = [await kept(here, teacher) for _ in range(4)]
        found = opened(await zip_of(here, teacher, ids))
        assert found.namelist() == ["knots.txt", "knots (2).txt", SKIPPED_NAME]
        assert sum(column(here, one, "download_count") for one in ids) == 2
        assert (await zip_of(here, teacher, ids)).code == "DAILY_LIMIT_REACHED"


@pytest.mark.gen_test
async def test_bytes_that_are_not_those_of_the_row_end_the_connection(world: World, teacher: Someone) -> None:
    file_id = await kept(world, teacher, OTHER)
    settle(world, file_id, OTHER, crc32=1)
    with structlog.testing.capture_logs() as logged:
        with pytest.raises(HTTPStreamClosedError):
            await zip_of(world, teacher, [file_id])
        await eventually(lambda: not world.application.edge.under_way, "the request ends")
    assert [one["event"] for one in logged] == ["a body broke off"]


@pytest.mark.gen_test
async def test_the_size_is_known_before() -> None:
    members = [member(name, content) for name, content in (("a", b""), ("ä😀.bin", OTHER), ("b" * 200, b"x"))]
    assert len(await gathered(members)) == archive_bytes(members)


def test_the_size_beyond_four_gibibytes_and_many_members() -> None:
    """Everything is in the 64-bit form from the start: bytes are all that a larger file adds."""
    small, large = member("film.mp4", b""), Member("film.mp4", 5 * 2**32 + 7, 0, AT, lambda: member("", b"").read())
    assert archive_bytes([large]) - archive_bytes([small]) == large.size
    assert archive_bytes([large] * 200) == 200 * (archive_bytes([large]) - archive_bytes([])) + archive_bytes([])


@pytest.mark.gen_test
async def test_headers_of_a_member_beyond_four_gibibytes() -> None:
    """What stands before the bytes says their size; then the bytes end, which is noticed."""
    size = 5 * 2**32 + 7

    async def few() -> AsyncIterator[bytes]:
        yield b"x" * 2**20
        raise StoreUnavailable("local", "truncated")

    came = b""
    pieces = zipped([Member("film.mp4", size, 0, AT, few)])
    failed: StoreUnavailable | None = None
    try:
        async for piece in pieces:
            came += piece
    except StoreUnavailable as truncated:
        failed = truncated
    assert failed is not None
    assert came[:4] == b"PK\x03\x04"
    assert came[18:26] == b"\xff" * 8
    assert int.from_bytes(came[42:50], "little") == size


@pytest.mark.parametrize("cut", [0, 1, 150_000])
@pytest.mark.gen_test
async def test_too_few_bytes_are_noticed(cut: int) -> None:
    good = member("a.bin", OTHER)
    bad = Member("a.bin", good.size + 1, good.crc32, AT, good.read)
    with pytest.raises(ValueError, match=r"^$"):
        await gathered([bad])
    with pytest.raises(ValueError, match=r"^$"):
        await gathered([member("a.bin", OTHER, crc32=cut)])


@pytest.mark.gen_test
async def test_who_stops_in_the_middle_leaves_nothing_open() -> None:
    ended = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 2**20
        finally:
            ended.set()

    pieces = zipped([Member("a", 2**50, 0, AT, endless)])
    assert len(await anext(pieces)) > 0
    assert await anext(pieces) == b"x" * 2**20, "the first piece was what stands before the bytes"
    await pieces.aclose()
    assert ended.is_set()


@pytest.mark.gen_test
async def test_who_is_cancelled_waits_for_no_store() -> None:
    waits, ended = asyncio.Event(), asyncio.Event()

    async def waiting() -> AsyncIterator[bytes]:
        yield b"x" * 2**21
        waits.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()

    async def take() -> None:
        async for _ in zipped([Member("a", 2**50, 0, AT, waiting)]):
            pass

    taking = asyncio.create_task(take())
    await asyncio.wait_for(waits.wait(), 10)
    taking.cancel()
    await asyncio.wait({taking}, timeout=10)
    assert taking.cancelled()
    assert ended.is_set()


@pytest.mark.gen_test
async def test_a_large_archive_takes_little_memory() -> None:
    async def zeros() -> AsyncIterator[bytes]:
        piece = bytes(2**20)
        for _ in range(64):
            yield piece

    crc32 = 0
    for _ in range(64):
        crc32 = zlib.crc32(bytes(2**20), crc32)
    members = [Member(f"{n}", 64 * 2**20, crc32, AT, zeros) for n in range(3)]
    tracemalloc.start()
    try:
        came = 0
        async for piece in zipped(members):
            came += len(piece)
        assert came == archive_bytes(members)
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    finally:
        tracemalloc.stop()


@given(st.lists(st.sampled_from(["a.txt", "A.TXT", "a (2).txt", "b", ".env", "_Skipped.txt", "ä.tar.gz"]), max_size=12))
def test_names_are_unique_whatever_their_case(names: list[str]) -> None:
    found = unique_names(names)
    assert len({name.casefold() for name in [*found, SKIPPED_NAME]}) == len(names) + 1
    assert all(naming.extension_of(new) == naming.extension_of(old) for new, old in zip(found, names, strict=True))
    assert unique_names(found) == found or SKIPPED_NAME in map(str.casefold, found)


def test_names_are_numbered_in_their_order() -> None:
    assert unique_names(["a.txt", "A.txt", "a.txt", "b", "b", ".env", ".env"]) == [
        "a.txt",
        "A (2).txt",
        "a (3).txt",
        "b",
        "b (2)",
        ".env",
        ".env (2)",
    ]
    assert unique_names([SKIPPED_NAME]) == ["_skipped (2).txt"]
