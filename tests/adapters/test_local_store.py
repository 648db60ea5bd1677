"""What only the store in a folder does: its files, its crashes, its disk, its keys."""

from __future__ import annotations

import asyncio
import os
import resource
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edurise.adapters.clock import SetClock
from edurise.adapters.stores.disk_threads import DiskThreads
from edurise.adapters.stores.local_store import LocalStore
from edurise.adapters.stores.sealed_blocks import EncryptionKey
from edurise.adapters.stores.store_files import Draft
from edurise.files.ports import ObjectMissing, StoreUnavailable
from tests.harness.shelf import MIB, BrokenSource, Run, Shelf, failing, new_key, noise, stream

NOON = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
OLD, NEW = EncryptionKey("old", noise(32, seed=1)), EncryptionKey("new", noise(32, seed=2))


@pytest.fixture
def run() -> Iterator[Run]:
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture
def clock() -> SetClock:
    return SetClock(NOON)


@contextmanager
def opened(root: Path, run: Run, clock: SetClock, *keys: EncryptionKey) -> Iterator[Shelf]:
    store = LocalStore(root, clock, keys)
    yield Shelf(store, run)
    run(store.close())


@pytest.fixture
def shelf(tmp_path: Path, run: Run, clock: SetClock) -> Iterator[Shelf]:
    with opened(tmp_path / "files", run, clock) as made:
        yield made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "files"


def files_below(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def test_files_and_folders_are_the_process_own(shelf: Shelf, root: Path, run: Run) -> None:
    before = os.umask(0)
    try:
        key = run(shelf.put(b"content"))
        upload_key = new_key()
        upload = run(shelf.store.begin_parts(upload_key))
        run(shelf.part(upload_key, upload, 1, b"part"))
    finally:
        os.umask(before)
    assert (root / key).read_bytes() == b"content"
    modes = {stat.S_IMODE(path.stat().st_mode) for path in files_below(root)}
    assert modes == {0o600}
    folders = [path for path in root.rglob("*") if path.is_dir()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in [root, *folders] if path != root.parent} <= {0o700}


def test_a_plain_object_may_be_sent_as_the_file_that_it_is(shelf: Shelf, root: Path, run: Run) -> None:
    key = run(shelf.put(b"content"))
    assert shelf.store.path(key) == root.resolve() / key


def test_an_encrypted_object_is_no_plain_file(root: Path, run: Run, clock: SetClock) -> None:
    with opened(root, run, clock, NEW) as shelf:
        key = run(shelf.put(b"the answer is 42" * 10_000))
        upload_key = new_key()
        upload = run(shelf.store.begin_parts(upload_key))
        run(shelf.part(upload_key, upload, 1, b"the answer is 42" * 10_000))
        assert shelf.store.path(key) is None
    assert len(files_below(root)) == 2
    assert not any(b"the answer" in path.read_bytes() for path in files_below(root))


def test_keys_come_and_go(root: Path, run: Run, clock: SetClock) -> None:
    with opened(root, run, clock) as shelf:
        plain = run(shelf.put(b"plain"))
    with opened(root, run, clock, OLD) as shelf:
        old = run(shelf.put(b"old"))
    with opened(root, run, clock, NEW, OLD) as shelf:
        new = run(shelf.put(b"new"))
        assert [run(shelf.read(key)) for key in (plain, old, new)] == [b"plain", b"old", b"new"]
        assert {one.key: one.size for one in run(listed(shelf))} == {plain: 5, old: 3, new: 3}
        run(shelf.put(b"sealed now", plain))
        assert shelf.store.path(plain) is None
    with opened(root, run, clock, NEW) as shelf:
        assert run(shelf.read(plain)) == b"sealed now"
        assert run(shelf.read(new)) == b"new"
        for ask in (lambda: shelf.read(old), lambda: shelf.store.size(old)):
            with pytest.raises(StoreUnavailable, match="unknown_key"):
                run(ask())
        run(shelf.store.delete([old]))
        with pytest.raises(ObjectMissing):
            run(shelf.read(old))
    with opened(root, run, clock) as shelf:
        run(shelf.put(b"plain again", plain))
        assert run(shelf.read(plain)) == b"plain again"
        assert run(shelf.stored(plain)) == [11]


def test_parts_from_before_the_key_came_are_joined_too(root: Path, run: Run, clock: SetClock) -> None:
    key = new_key()
    with opened(root, run, clock) as shelf:
        upload = run(shelf.store.begin_parts(key))
        parts = [run(shelf.part(key, upload, 1, noise(8 * MIB)))]
    with opened(root, run, clock, OLD) as shelf:
        parts.append(run(shelf.part(key, upload, 2, b"end")))
    with opened(root, run, clock, NEW, OLD) as shelf:
        run(shelf.store.join_parts(key, upload, parts))
        assert shelf.store.path(key) is None
        assert run(shelf.read(key)) == noise(8 * MIB) + b"end"


async def listed(shelf: Shelf) -> list:
    return [one async for one in shelf.store.listing()]


def test_a_sealed_file_that_was_changed_or_cut_is_not_read(root: Path, run: Run, clock: SetClock) -> None:
    with opened(root, run, clock, NEW) as shelf:
        key, other = run(shelf.put(noise(300_000))), run(shelf.put(noise(300_000)))
        path = root / f"{key}.sealed"
        content = path.read_bytes()
        for changed in (content[:-65_552], content[:70_000] + b"\0" + content[70_001:], content[:10], b""):
            path.write_bytes(changed)
            with pytest.raises(StoreUnavailable, match="corrupt"):
                run(shelf.read(key))
        path.write_bytes((root / f"{other}.sealed").read_bytes())
        with pytest.raises(StoreUnavailable, match="corrupt"):
            run(shelf.store.size(key))
        path.write_bytes(b"")
        assert run(shelf.stored(key)) == [0]


def test_a_plain_file_that_shrinks_while_it_is_read_is_noticed(shelf: Shelf, root: Path, run: Run) -> None:
    async def story() -> None:
        key = await shelf.put(noise(3 * MIB))
        pieces = shelf.store.read(key)
        await anext(pieces)
        os.truncate(root / key, MIB + 5)
        with pytest.raises(StoreUnavailable, match="truncated"):
            await anext(pieces)

    run(story())


@pytest.mark.parametrize("keys", [(), (NEW,)], ids=["plain", "sealed"])
def test_links_lead_nowhere(
    root: Path, tmp_path: Path, run: Run, clock: SetClock, keys: tuple[EncryptionKey, ...]
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    with opened(root, run, clock, *keys) as shelf:
        key = run(shelf.put(b"content"))
        (file,) = files_below(root)
        file.rename(secret / file.name)
        file.symlink_to(secret / file.name)
        for ask in (lambda: shelf.read(key), lambda: shelf.store.size(key)):
            with pytest.raises(StoreUnavailable, match="link"):
                run(ask())
        assert shelf.store.path(key) is None
        assert run(shelf.stored(key)) == []
        file.unlink()
        file.parent.rmdir()
        file.parent.symlink_to(secret)
        for ask in (
            lambda: shelf.read(key),
            lambda: shelf.put(b"new", key),
            lambda: shelf.store.delete([key]),
        ):
            with pytest.raises(StoreUnavailable, match=r"link|folder_gone"):
                run(ask())
        assert shelf.store.path(key) is None
        assert [path.name for path in files_below(secret)] == [file.name]


def test_what_is_no_file_is_not_waited_for(shelf: Shelf, root: Path, run: Run) -> None:
    key = run(shelf.put(b"content"))
    (root / key).unlink()
    os.mkfifo(root / key)
    with pytest.raises(StoreUnavailable, match="not_a_file"):
        run(shelf.read(key))


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes: the kernel refuses as it does on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_nothing(shelf: Shelf, root: Path, run: Run) -> None:
    key, upload_key = new_key(), new_key()
    upload = run(shelf.store.begin_parts(upload_key))
    part = run(shelf.part(upload_key, upload, 1, noise(MIB)))
    with small_disk(2 * MIB):
        for ask in (
            lambda: shelf.put(noise(5 * MIB), key),
            lambda: shelf.part(upload_key, upload, 2, noise(3 * MIB)),
        ):
            with pytest.raises(StoreUnavailable) as refused:
                run(ask())
            assert refused.value.reason == "full"
    assert len(files_below(root)) == 1
    assert list(run(shelf.store.parts(upload_key, upload))) == [part]
    run(shelf.put(noise(5 * MIB), key))


def test_a_folder_that_is_gone_is_not_an_empty_one(shelf: Shelf, root: Path, run: Run) -> None:
    key = run(shelf.put(b"content"))
    root.rename(root.with_name("moved"))
    root.mkdir()
    calls = [
        lambda: shelf.read(key),
        lambda: shelf.store.size(key),
        lambda: shelf.put(b"x"),
        lambda: listed(shelf),
        lambda: shelf.unfinished(key),
        lambda: shelf.store.begin_parts(key),
        shelf.store.check,
    ]
    for call in calls:
        with pytest.raises(StoreUnavailable):
            run(call())
    root.rmdir()
    for call in calls:
        with pytest.raises(StoreUnavailable):
            run(call())


def test_what_a_crash_left_is_found_and_dropped(shelf: Shelf, root: Path, run: Run, clock: SetClock) -> None:
    key = new_key()
    crashed = shelf.store._folder.draft(key)
    crashed.write([b"half of it"])
    (left,) = files_below(root)
    clock.advance(timedelta(days=2))

    async def found() -> list:
        return [one async for one in shelf.store.unfinished()]

    (one,) = run(found())
    assert (one.key, one.since) == (key, NOON)
    assert one.upload in left.name
    run(shelf.store.drop_parts(key, one.upload))
    assert files_below(root) == []
    assert run(found()) == []
    crashed.discard()


def test_two_parts_of_one_number_that_a_crash_left_count_as_the_later(shelf: Shelf, root: Path, run: Run) -> None:
    key = new_key()
    upload = run(shelf.store.begin_parts(key))
    first = run(shelf.part(key, upload, 1, b"first"))
    (file,) = files_below(root)
    copy = file.with_name("kept")
    os.link(file, copy)
    later = run(shelf.part(key, upload, 1, b"later"))
    copy.rename(copy.with_name(f"00001.{first.tag}"))
    assert len(files_below(root)) == 2
    assert list(run(shelf.store.parts(key, upload))) == [later]
    again = run(shelf.part(key, upload, 1, b"again"))
    assert list(run(shelf.store.parts(key, upload))) == [again]
    assert len(files_below(root)) == 1


def test_tags_of_a_part_sort_as_they_were_stored(shelf: Shelf, run: Run) -> None:
    key = new_key()
    upload = run(shelf.store.begin_parts(key))
    tags = [run(shelf.part(key, upload, 1, b"part")).tag for _ in range(12)]
    assert tags == sorted(set(tags))


def test_a_part_that_is_replaced_while_it_is_joined_is_not_believed(shelf: Shelf, run: Run) -> None:
    key = new_key()
    upload = run(shelf.store.begin_parts(key))
    part = run(shelf.part(key, upload, 1, b"first"))
    folder = shelf.store._folder
    draft = folder.draft(key)
    folder.append_part(draft, key, upload, part)
    run(shelf.part(key, upload, 1, b"later"))
    with pytest.raises(ObjectMissing):
        folder.publish_joined(draft, key, upload, [part])
    draft.discard()
    with pytest.raises(ObjectMissing):
        run(shelf.store.size(key))


def test_a_late_writer_cannot_change_a_part_that_was_recorded(shelf: Shelf, run: Run) -> None:
    async def story() -> None:
        key = new_key()
        upload = await shelf.store.begin_parts(key)
        late = shelf.store._folder.part_draft(key, upload, 1)
        late.write([b"late"])
        part = await shelf.part(key, upload, 1, b"recorded")
        await shelf.store.join_parts(key, upload, [part])
        with pytest.raises(ObjectMissing):
            shelf.store._folder.publish_part(late, key, upload, 1)
        late.discard()
        assert await shelf.read(key) == b"recorded"

    run(story())


def test_times_are_the_clocks(shelf: Shelf, run: Run, clock: SetClock) -> None:
    key = run(shelf.put(b"content"))
    (one,) = run(listed(shelf))
    assert (one.key, one.at) == (key, NOON)


def test_a_large_put_crosses_to_the_threads_once_a_mebibyte(
    shelf: Shelf, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = []
    write = Draft.write

    def counted(draft: Draft, chunks: list[bytes]) -> None:
        assert threading.current_thread() is not threading.main_thread()
        writes.append(sum(map(len, chunks)))
        write(draft, chunks)

    monkeypatch.setattr(Draft, "write", counted)
    run(shelf.store.put(new_key(), stream([bytes(1_000)] * 21_000)))
    assert len(writes) == 21
    assert min(writes[:-1]) >= MIB


def test_what_is_written_is_on_the_disk_before_it_is_seen(
    shelf: Shelf, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = []
    for name in ("fsync", "rename"):

        def noted(*args: object, name: str = name, call: object = getattr(os, name), **more: object) -> None:
            order.append(name)
            call(*args, **more)

        monkeypatch.setattr(os, name, noted)
    key = run(shelf.put(b"content"))
    assert order[-3:] == ["fsync", "rename", "fsync"]
    order.clear()
    upload = run(shelf.store.begin_parts(key))
    part = run(shelf.part(key, upload, 1, b"part"))
    assert order == ["fsync", "fsync", "rename", "fsync"]
    order.clear()
    run(shelf.store.join_parts(key, upload, [part]))
    assert order == ["fsync", "rename", "fsync", "rename", "fsync"]


def test_who_is_cancelled_waits_for_the_thread(run: Run) -> None:
    async def story() -> None:
        threads = DiskThreads(1, "test")
        begun, go_on, done = threading.Event(), threading.Event(), []

        def work() -> None:
            begun.set()
            go_on.wait(10)
            done.append(True)
            raise OSError("nobody asks for it")

        hop = asyncio.ensure_future(threads.hop(work))
        await asyncio.to_thread(begun.wait, 10)
        for _ in range(3):
            hop.cancel()
            await asyncio.sleep(0)
            assert not hop.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await hop
        assert done
        await threads.close()

    run(story())


def test_links_are_not_to_be_asked_for(shelf: Shelf, run: Run) -> None:
    key = new_key()
    for ask in (
        lambda: shelf.store.link(key, 9, disposition="inline", media_type="text/plain"),
        lambda: shelf.store.part_link(key, "x", 1, 1, 9),
    ):
        with pytest.raises(RuntimeError, match="is_direct"):
            run(ask())


@pytest.mark.parametrize("upload", ["", "..", "../f", "00000000-0000-4000-8000-000000000000", "x/y", "\0"])
def test_what_is_no_name_of_an_upload_is_refused(shelf: Shelf, run: Run, upload: str) -> None:
    for ask in (
        lambda: shelf.store.parts(new_key(), upload),
        lambda: shelf.store.drop_parts(new_key(), upload),
        lambda: shelf.store.join_parts(new_key(), upload, []),
        lambda: shelf.part(new_key(), upload, 1, b"x"),
    ):
        with pytest.raises(ValueError, match="upload"):
            run(ask())


def test_no_descriptor_stays_open(root: Path, run: Run, clock: SetClock) -> None:
    async def story(shelf: Shelf) -> None:
        key = await shelf.put(noise(2 * MIB))
        pieces = shelf.store.read(key)
        await anext(pieces)
        await pieces.aclose()
        for ask in (
            lambda: shelf.store.put(new_key(), failing(noise(2 * MIB))),
            lambda: shelf.store.size(new_key()),
            lambda: shelf.read(new_key()),
            lambda: shelf.read(key, 5, 9 * MIB),
            lambda: shelf.store.put_part(key, new_upload, 1, stream(b"x"), 1),
        ):
            with pytest.raises((BrokenSource, ObjectMissing, StoreUnavailable)):
                await ask()
        upload = await shelf.store.begin_parts(key)
        part = await shelf.part(key, upload, 1, b"part")
        await shelf.store.join_parts(key, upload, [part])
        await shelf.store.check()
        await listed(shelf)
        await shelf.store.drop_parts(key, upload)

    new_upload = "00000000-0000-7000-8000-000000000000"
    with opened(root, run, clock, NEW) as shelf:
        run(story(shelf))
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(3):
            run(story(shelf))
        assert len(list(Path("/proc/self/fd").iterdir())) == before
