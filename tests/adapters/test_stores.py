"""One suite for all stores of files: a folder, a folder that is encrypted, a real S3."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from edurise.adapters.clock import SystemClock
from edurise.adapters.stores.local_store import LocalStore
from edurise.adapters.stores.s3_store import S3Store
from edurise.adapters.stores.sealed_blocks import EncryptionKey
from edurise.files.ports import FileStore, ObjectMissing, Part, StoreUnavailable
from tests.harness.object_storage import REGION
from tests.harness.shelf import MIB, BrokenSource, Shelf, failing, new_key, noise, stream, waiting

SIZES = [0, 1, 65_535, 65_536, 65_537, MIB, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 20 * MIB + 1]
KEY = EncryptionKey("tests-1", noise(32, seed=1))
BAD_KEYS = [
    "",
    "f/../../etc/passwd",
    "/etc/passwd",
    "f/ab/../ab/00000000-0000-0000-0000-0000000000ab",
    "f/ab/00000000-0000-0000-0000-0000000000ab/",
    "f/ab/00000000-0000-0000-0000-0000000000ab.sealed",
    "f/ab/00000000-0000-0000-0000-0000000000ab\n",
    "f/ab/00000000-0000-0000-0000-0000000000AB",
    "parts/x",
]


@pytest.fixture(params=["local", "sealed", "s3"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shelf]:
    with asyncio.Runner() as runner:
        if request.param == "s3":
            storage = request.getfixturevalue("object_storage")
            store: FileStore = S3Store(
                bucket=storage.bucket,
                region=REGION,
                endpoint_url=storage.url,
                access_key_id=storage.access_key_id,
                secret_access_key=storage.secret_access_key,
                path_style=True,
                encryption="AES256",
            )
        else:
            store = LocalStore(tmp_path / "files", SystemClock(), [KEY] if request.param == "sealed" else [])
        yield Shelf(store, runner.run)
        runner.run(store.close())


@pytest.mark.parametrize("size", SIZES)
def test_what_is_put_is_read(shelf: Shelf, size: int) -> None:
    content = noise(size)

    async def story() -> None:
        key = await shelf.put(content)
        assert await shelf.store.size(key) == size
        assert await shelf.read(key) == content
        assert await shelf.stored(key) == [size]
        assert await shelf.unfinished(key) == []

    shelf.run(story())


def test_chunks_of_any_size_make_the_same_object(shelf: Shelf) -> None:
    pieces = [b"", b"a", noise(9 * MIB), b"", noise(3), *[b"tiny"] * 3000, b""]

    async def story() -> None:
        key = new_key("thumb")
        assert await shelf.store.put(key, stream(pieces)) == sum(map(len, pieces))
        assert await shelf.read(key) == b"".join(pieces)

    shelf.run(story())


def test_ranges(shelf: Shelf) -> None:
    content = noise(3 * MIB + 5)
    block = 65_536
    ranges = [
        (0, 1),
        (0, block),
        (1, block),
        (block - 1, 2),
        (block, block),
        (MIB - 1, MIB + 2),
        (3 * MIB, 5),
        (3 * MIB + 4, 1),
        (5, 3 * MIB),
        (7, None),
        (3 * MIB + 4, None),
    ]

    async def story() -> None:
        key = await shelf.put(content)
        for start, length in ranges:
            end = len(content) if length is None else start + length
            assert await shelf.read(key, start, length) == content[start:end], (start, length)
        for start, length in [(0, 0), (len(content), None), (len(content) + 9, None), (len(content), 0)]:
            assert await shelf.read(key, start, length) == b"", (start, length)
        for start, length in [(0, len(content) + 1), (len(content), 1), (len(content) + 9, 4), (3 * MIB, 6)]:
            with pytest.raises(StoreUnavailable) as refused:
                await anext(shelf.store.read(key, start, length))
            assert refused.value.reason == "truncated"
        for start, length in [(-1, None), (0, -1)]:
            with pytest.raises(ValueError, match="range"):
                await shelf.read(key, start, length)

    shelf.run(story())


def test_who_stops_reading_in_the_middle_disturbs_nobody(shelf: Shelf) -> None:
    content = noise(5 * MIB)

    async def story() -> None:
        key = await shelf.put(content)
        for _ in range(20):
            pieces = shelf.store.read(key)
            assert await anext(pieces) == content[:MIB]
            await pieces.aclose()
        assert await shelf.read(key) == content

    shelf.run(story())


def test_what_is_not_there_is_missing(shelf: Shelf) -> None:
    async def story() -> None:
        key = new_key()
        for ask in (
            lambda: shelf.store.size(key),
            lambda: shelf.read(key),
            lambda: shelf.read(key, 5, 5),
            lambda: shelf.read(key, 0, 0),
        ):
            with pytest.raises(ObjectMissing):
                await ask()
        assert shelf.store.path(key) is None
        assert await shelf.stored(key) == []

    shelf.run(story())


@pytest.mark.parametrize("size", [0, 100_000, 10 * MIB, 17 * MIB])
def test_a_put_whose_source_fails_leaves_nothing(shelf: Shelf, size: int) -> None:
    async def story() -> None:
        key = new_key()
        with pytest.raises(BrokenSource):
            await shelf.store.put(key, failing(noise(size)))
        with pytest.raises(ObjectMissing):
            await shelf.store.size(key)
        assert await shelf.unfinished(key) == []

    shelf.run(story())


@pytest.mark.parametrize("size", [0, 100_000, 10 * MIB])
def test_a_put_that_is_cancelled_leaves_nothing(shelf: Shelf, size: int) -> None:
    async def story() -> None:
        key, came = new_key(), asyncio.Event()
        putting = asyncio.ensure_future(shelf.store.put(key, waiting(noise(size), came)))
        await came.wait()
        putting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await putting
        with pytest.raises(ObjectMissing):
            await shelf.store.size(key)
        assert await shelf.unfinished(key) == []

    shelf.run(story())


def test_a_put_may_be_cancelled_at_any_moment(shelf: Shelf) -> None:
    """Whatever was under way in a thread: either all of it is there and told so, or nothing is."""
    content = noise(300_000)

    async def story() -> None:
        outcomes = set()
        for moment in range(45):
            key = new_key()
            putting = asyncio.ensure_future(shelf.store.put(key, stream(content)))
            for _ in range(moment):
                await asyncio.sleep(0 if moment % 2 else 0.0004)
            putting.cancel()
            await asyncio.wait({putting})
            outcomes.add(putting.cancelled())
            if putting.cancelled():
                with pytest.raises(ObjectMissing):
                    await shelf.store.size(key)
            else:
                assert await shelf.read(key) == content
            assert await shelf.unfinished(key) == []
        assert True in outcomes

    shelf.run(story())


def test_an_object_is_replaced_whole(shelf: Shelf) -> None:
    async def story() -> None:
        key = await shelf.put(noise(9 * MIB, seed=1))
        await shelf.put(noise(500, seed=2), key)
        assert await shelf.read(key) == noise(500, seed=2)
        assert await shelf.stored(key) == [500]

    shelf.run(story())


def test_parts_make_an_object_in_their_order(shelf: Shelf) -> None:
    size = shelf.store.part_bytes
    contents = [noise(size, seed=1), noise(size, seed=2), noise(100, seed=3)]

    async def story() -> None:
        key = new_key()
        upload = await shelf.store.begin_parts(key)
        assert await shelf.unfinished(key) == [upload]
        assert list(await shelf.store.parts(key, upload)) == []
        made = [await shelf.part(key, upload, number, contents[number - 1]) for number in (3, 1, 2)]
        parts = sorted(made, key=lambda part: part.number)
        assert list(await shelf.store.parts(key, upload)) == parts
        with pytest.raises(ObjectMissing):
            await shelf.store.size(key)
        await shelf.store.join_parts(key, upload, parts)
        assert await shelf.store.size(key) == 2 * size + 100
        assert await shelf.read(key) == b"".join(contents)
        assert await shelf.read(key, size - 10, size + 20) == b"".join(contents)[size - 10 : 2 * size + 10]
        assert await shelf.unfinished(key) == []
        with pytest.raises(ObjectMissing):
            await shelf.store.parts(key, upload)
        await shelf.store.join_parts(key, upload, parts)
        assert await shelf.read(key) == b"".join(contents)
        with pytest.raises(ObjectMissing):
            await shelf.store.join_parts(key, upload, parts[:2])

    shelf.run(story())


def test_a_part_that_is_stored_again_takes_the_place_of_the_first(shelf: Shelf) -> None:
    size = shelf.store.part_bytes

    async def story() -> None:
        key = new_key()
        upload = await shelf.store.begin_parts(key)
        before = await shelf.part(key, upload, 1, noise(size, seed=1))
        last = await shelf.part(key, upload, 2, b"last")
        after = await shelf.part(key, upload, 1, noise(size, seed=2))
        assert before.tag != after.tag
        assert [part.number for part in await shelf.store.parts(key, upload)] == [1, 2]
        if shelf.store.name == "local":
            # SeaweedFS keeps both, and S3 itself cannot tell which was later within a second.
            assert list(await shelf.store.parts(key, upload)) == [after, last]
            with pytest.raises(ObjectMissing):
                await shelf.store.join_parts(key, upload, [before, last])
        await shelf.store.join_parts(key, upload, [after, last])
        assert await shelf.read(key) == noise(size, seed=2) + b"last"

    shelf.run(story())


def test_what_is_no_part_is_not_joined(shelf: Shelf) -> None:
    async def story() -> None:
        key = new_key()
        upload = await shelf.store.begin_parts(key)
        part = await shelf.part(key, upload, 1, b"content")
        for wrong in (
            [part, Part(2, 7, part.tag)],
            [Part(1, 7, "0" * 32)],
            [Part(1, 8, part.tag)],
            [Part(2, 7, part.tag)],
        ):
            with pytest.raises(ObjectMissing):
                await shelf.store.join_parts(key, upload, wrong)
        with pytest.raises(ObjectMissing):
            await shelf.store.size(key)
        await shelf.put(b"another", key)
        with pytest.raises(ObjectMissing):
            await shelf.store.join_parts(key, upload, [Part(1, 7, "0" * 32)])
        await shelf.store.join_parts(key, upload, [part])
        assert await shelf.read(key) == b"content"

    shelf.run(story())


def test_nothing_can_be_joined_too(shelf: Shelf) -> None:
    async def story() -> None:
        key = new_key()
        upload = await shelf.store.begin_parts(key)
        for _ in range(2):
            await shelf.store.join_parts(key, upload, [])
            assert await shelf.store.size(key) == 0
        assert await shelf.unfinished(key) == []

    shelf.run(story())


def test_an_upload_that_was_dropped_is_gone(shelf: Shelf) -> None:
    async def story() -> None:
        key = new_key()
        upload = await shelf.store.begin_parts(key)
        part = await shelf.part(key, upload, 1, b"content")
        for _ in range(2):
            await shelf.store.drop_parts(key, upload)
            for ask in (
                lambda: shelf.store.parts(key, upload),
                lambda: shelf.store.join_parts(key, upload, [part]),
                lambda: shelf.part(key, upload, 2, b"more"),
                lambda: shelf.store.size(key),
            ):
                with pytest.raises(ObjectMissing):
                    await ask()
        assert await shelf.unfinished(key) == []

    shelf.run(story())


def test_an_upload_belongs_to_its_key(shelf: Shelf) -> None:
    async def story() -> None:
        key, other = new_key(), new_key()
        upload = await shelf.store.begin_parts(key)
        for ask in (
            lambda: shelf.store.parts(other, upload),
            lambda: shelf.part(other, upload, 1, b"x"),
            lambda: shelf.store.join_parts(other, upload, []),
        ):
            with pytest.raises(ObjectMissing):
                await ask()
        await shelf.store.drop_parts(other, upload)
        assert await shelf.unfinished(key) == [upload]
        await shelf.store.drop_parts(key, upload)

    shelf.run(story())


def test_a_part_of_another_size_or_a_broken_one_is_not_stored(shelf: Shelf) -> None:
    async def story() -> None:
        key = new_key()
        upload = await shelf.store.begin_parts(key)
        first = await shelf.part(key, upload, 1, b"first")
        for size in (4, 6, 0, 5 * MIB):
            with pytest.raises(StoreUnavailable) as refused:
                await shelf.store.put_part(key, upload, 1, stream(b"other"), size)
            assert refused.value.reason == "size"
        with pytest.raises(BrokenSource):
            await shelf.store.put_part(key, upload, 1, failing(b"other"), 5)
        for number in (0, -1, 10_001):
            with pytest.raises(ValueError, match="numbered"):
                await shelf.store.put_part(key, upload, number, stream(b"other"), 5)
        assert list(await shelf.store.parts(key, upload)) == [first]
        assert await shelf.unfinished(key) == [upload]
        await shelf.store.drop_parts(key, upload)

    shelf.run(story())


def test_many_join_at_a_time_and_all_are_told_that_it_is_done(shelf: Shelf) -> None:
    contents = [noise(shelf.store.part_bytes, seed=1), b"end"]

    async def story() -> None:
        key = new_key()
        upload = await shelf.store.begin_parts(key)
        parts = await asyncio.gather(*(shelf.part(key, upload, n, content) for n, content in enumerate(contents, 1)))
        await asyncio.gather(*(shelf.store.join_parts(key, upload, parts) for _ in range(8)))
        assert await shelf.read(key) == b"".join(contents)
        assert await shelf.unfinished(key) == []

    shelf.run(story())


@pytest.mark.parametrize("key", BAD_KEYS)
def test_other_keys_are_refused(shelf: Shelf, key: str) -> None:
    store = shelf.store
    upload = str(uuid4())
    calls: list[Callable[[], Any]] = [
        lambda: store.put(key, stream(b"x")),
        lambda: store.begin_parts(key),
        lambda: store.put_part(key, upload, 1, stream(b"x"), 1),
        lambda: store.parts(key, upload),
        lambda: store.join_parts(key, upload, []),
        lambda: store.drop_parts(key, upload),
        lambda: store.size(key),
        lambda: anext(store.read(key)),
        lambda: store.delete([new_key(), key]),
        lambda: store.link(key, 9, disposition="inline", media_type="text/plain"),
        lambda: store.part_link(key, upload, 1, 1, 9),
    ]

    async def refused(call: Callable[[], Any]) -> None:
        with pytest.raises(ValueError, match="no key"):
            await call()

    for call in calls:
        shelf.run(refused(call))
    with pytest.raises(ValueError, match="no key"):
        store.path(key)


def test_deleting_is_repeatable(shelf: Shelf) -> None:
    async def story() -> None:
        first, second, third = [await shelf.put(b"content") for _ in range(3)]
        for _ in range(2):
            await shelf.store.delete([first, new_key(), second])
        await shelf.store.delete([])
        for key in (first, second):
            with pytest.raises(ObjectMissing):
                await shelf.store.size(key)
            assert await shelf.stored(key) == []
        assert await shelf.read(third) == b"content"

    shelf.run(story())


def test_lists_say_what_there_is_and_since_when(shelf: Shelf) -> None:
    async def story() -> None:
        before = datetime.now(UTC) - timedelta(seconds=2)
        keys = {await shelf.put(noise(number)): number for number in range(0, 200_000, 20_000)}
        found = {one.key: one for one in [one async for one in shelf.store.listing()] if one.key in keys}
        assert {key: one.size for key, one in found.items()} == keys
        uploads = {await shelf.store.begin_parts(key): key for key in [new_key(), new_key(), new_key("tail-1")]}
        begun = {one.upload: one for one in [one async for one in shelf.store.unfinished()] if one.upload in uploads}
        assert {name: one.key for name, one in begun.items()} == uploads
        after = datetime.now(UTC) + timedelta(seconds=2)
        for at in [one.at for one in found.values()] + [one.since for one in begun.values()]:
            assert before <= at <= after
        for upload, key in uploads.items():
            await shelf.store.drop_parts(key, upload)

    shelf.run(story())


def test_many_puts_at_a_time_do_not_mix(shelf: Shelf) -> None:
    contents = [noise(MIB + seed, seed=seed) for seed in range(16)] + [noise(9 * MIB, seed=99)]

    async def story() -> None:
        keys = await asyncio.gather(*(shelf.put(content) for content in contents))
        assert await asyncio.gather(*(shelf.read(key) for key in keys)) == contents

    shelf.run(story())


def test_memory_does_not_grow_with_the_file(shelf: Shelf) -> None:
    chunk = noise(65_536)

    async def story() -> None:
        key = new_key()
        tracemalloc.start()
        try:
            assert await shelf.store.put(key, stream([chunk] * 1024)) == 64 * MIB
            received = 0
            async for piece in shelf.store.read(key):
                received += len(piece)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert received == 64 * MIB
        assert peak < 12 * MIB
        await shelf.store.delete([key])

    shelf.run(story())


def test_the_store_can_be_used(shelf: Shelf) -> None:
    async def story() -> None:
        await shelf.store.check()
        assert [one async for one in shelf.store.unfinished() if one.key.startswith("f/00/00000000")] == []

    shelf.run(story())


def test_constants_fit_each_other(shelf: Shelf) -> None:
    assert shelf.store.part_bytes % 65_536 == 0
    assert shelf.store.is_direct == (shelf.store.name == "s3")
