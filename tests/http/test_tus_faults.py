"""Resumable uploads while writers die, wake up again and race, and while stores forget: no byte is taken for another."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from edurise.authz import About
from edurise.errors import Conflict, Upstream
from edurise.files import holding
from edurise.files.flows import resuming
from edurise.files.permissions import Files
from tests.harness.errands import run_actors
from tests.harness.filing import column
from tests.harness.waiting import eventually
from tests.harness.world import Someone, World
from tests.http.test_tus import (
    BYTES,
    SMALL_PART,
    SmallParts,
    call,
    content_of,
    create,
    noise,
    offset_of,
    once,
    patch,
    row,
    upload_id,
    used,
)

OVERTAKEN = timedelta(seconds=holding.HELD_S + 1)
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND transactionid = pg_current_xact_id()::xid"

TAKEN = "UPDATE uploads SET holder = :other WHERE id = :id"


class Gated(SmallParts):
    """Small parts, and one kind of call that waits at a gate before it writes."""

    def __init__(self, store) -> None:
        super().__init__(store)
        self.slow = ""
        self.is_waiting = asyncio.Event()
        self.gate = asyncio.Event()
        self.calls: list[str] = []

    def __getattr__(self, name):
        self.calls.append(name)
        found = super().__getattr__(name)
        if name != self.slow:
            return found
        self.slow = ""  # only the first one

        async def late(*args):
            self.is_waiting.set()
            await self.gate.wait()
            return await found(*args)

        return late


@pytest.fixture
def teacher(world: World) -> Someone:
    return world.person("teacher", world.organization())


@pytest.fixture
def store(world: World):
    real = world.c.stores["local"]
    world.c.stores["local"] = small = Gated(real)
    yield small
    world.c.stores["local"] = real


def noises(*seeds: str, size: int) -> list[bytes]:
    """Texts of one size, each of another content."""
    return [(f"{seed}\n".encode() * size)[:size] for seed in seeds]


class Writer:
    """A client that sends the body of a PATCH piece by piece."""

    def __init__(self, world: World, who: Someone, path: str, length: int, offset: int = 0) -> None:
        self.address = urlsplit(world.base_url)
        self.head = (
            f"PATCH {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {who.access}\r\nTus-Resumable: 1.0.0\r\n"
            f"Content-Type: {BYTES}\r\nUpload-Offset: {offset}\r\nContent-Length: {length}\r\n\r\n"
        ).encode()

    async def begin(self, content: bytes) -> None:
        self.reader, self.writer = await asyncio.open_connection(self.address.hostname, self.address.port)
        await self.send(self.head + content)

    async def send(self, content: bytes) -> None:
        self.writer.write(content)
        await self.writer.drain()

    async def status(self) -> int:
        """Of the answer; the connection is closed."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 20)
        self.writer.close()
        return int(head.split(b" ", 2)[1])


@pytest.mark.gen_test
async def test_who_takes_over_sees_what_the_one_before_recorded_last(world: World, teacher: Someone) -> None:
    """The row changes between the first look at it and the hold: an offset from before would be written over."""
    path = await create(world, teacher, 500)
    who, about = teacher.principal.needing(Files.UPLOAD), About("upload", upload_id(path))
    found: dict = {}

    def take_over() -> None:
        found.update(world.c.db.run_sync(who, holding.hold, upload_id(path), uuid4(), about=about))

    def record_meanwhile(session: Session) -> threading.Thread:
        session.execute(text("SELECT 1 FROM uploads WHERE id = :id FOR UPDATE"), {"id": upload_id(path)})
        taker = threading.Thread(target=take_over)
        taker.start()
        asking = threading.Event()
        for _ in range(400):
            if session.scalar(text(WAITING)):
                break
            asking.wait(0.05)
        else:
            raise AssertionError("nobody waits for the row")
        session.execute(text("UPDATE uploads SET offset_bytes = 100 WHERE id = :id"), {"id": upload_id(path)})
        return taker

    def run() -> None:
        world.c.db.system_sync(record_meanwhile).join(20)

    await asyncio.to_thread(run)
    assert found["offset_bytes"] == 100


@pytest.mark.gen_test
async def test_the_late_tail_of_who_was_overtaken_is_nobodys(world: World, teacher: Someone, store: Gated) -> None:
    size = 1000
    late, right = noises("late", "right", size=size)
    for sent in (size, size - 1):  # all of the file, and less: both lie in a tail
        path = await create(world, teacher, size)
        store.slow, store.gate, store.is_waiting = "put", asyncio.Event(), asyncio.Event()
        sleeper = asyncio.create_task(patch(world, teacher, path, 0, late[:sent]))
        await store.is_waiting.wait()
        world.clock.advance(OVERTAKEN)
        assert (await patch(world, teacher, path, 0, right[:sent])).status == 204
        store.gate.set()
        answer = await sleeper
        assert (answer.status, answer.code) == (409, "UPLOAD_BUSY")
        if sent < size:
            assert (await patch(world, teacher, path, sent, right[sent:])).status == 204
        assert await content_of(world, path) == right


@pytest.mark.gen_test
async def test_the_late_part_of_who_was_overtaken_is_found_out(world: World, teacher: Someone, store: Gated) -> None:
    size = 2 * SMALL_PART + 10
    late, right = noises("late", "right", size=size)
    path = await create(world, teacher, size)
    store.slow = "put_part"
    sleeper = asyncio.create_task(patch(world, teacher, path, 0, late))
    await store.is_waiting.wait()
    world.clock.advance(OVERTAKEN)
    assert (await patch(world, teacher, path, 0, right[: SMALL_PART + 5])).status == 204
    store.gate.set()
    assert (await sleeper).code == "UPLOAD_BUSY"
    answer = await patch(world, teacher, path, SMALL_PART + 5, right[SMALL_PART + 5 :])
    assert (answer.status, answer.code) == (409, "UPLOAD_OFFSET_MISMATCH")
    assert await offset_of(world, teacher, path) == 0
    assert (await patch(world, teacher, path, 0, right)).status == 204
    assert await content_of(world, path) == right


@pytest.mark.gen_test
async def test_who_writes_slowly_is_not_overtaken(
    world: World, teacher: Someone, store: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where saying that one lives fails for once."""
    failing, hold = [True], holding.hold

    def sometimes(session, who, *args):
        if row(world, path)["holder"] is not None and failing:
            failing.clear()
            raise RuntimeError("the database of the test is away")
        return hold(session, who, *args)

    monkeypatch.setattr(resuming, "RENEW_S", 0.05)
    monkeypatch.setattr(holding, "hold", sometimes)
    path = await create(world, teacher, 20)
    writer = Writer(world, teacher, path, 20)
    await writer.begin(b"x" * 10)
    await eventually(lambda: not failing, "one renewal has failed")
    world.clock.advance(OVERTAKEN)
    await eventually(lambda: row(world, path)["held_until"] > world.clock.now(), "the next one has not")
    assert (await patch(world, teacher, path, 0, b"y" * 20)).code == "UPLOAD_BUSY"
    await writer.send(b"x" * 10)
    assert await writer.status() == 204
    assert await content_of(world, path) == b"x" * 20


@pytest.mark.gen_test
async def test_who_was_overtaken_stores_nothing_more(
    world: World, teacher: Someone, store: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = asyncio.Event()
    see = resuming._Appending._renew

    async def renew(self: object) -> None:
        await see(self)
        lost.set()

    monkeypatch.setattr(resuming, "RENEW_S", 0.05)
    monkeypatch.setattr(resuming._Appending, "_renew", renew)
    for size in (SMALL_PART, 20):  # in parts, and in a tail
        lost.clear()
        path = await create(world, teacher, size)
        writer = Writer(world, teacher, path, size)
        await writer.begin(b"x" * 10)
        await eventually(lambda at=path: row(world, at)["holder"] is not None, "it writes")
        values = {"other": uuid4(), "id": upload_id(path)}
        world.c.db.system_sync(lambda s, v=values: s.execute(text(TAKEN), v))
        await asyncio.wait_for(lost.wait(), 20)
        store.calls.clear()
        await writer.send(b"x" * (size - 10))
        assert await writer.status() == 409
        assert not {"put", "put_part"} & set(store.calls)


async def lose_upload(store: Gated, upload: dict) -> None:
    await store.drop_parts(upload["key"], upload["store_upload"])


async def lose_part(store: Gated, upload: dict) -> None:
    await store.put_part(upload["key"], upload["store_upload"], 2, once(b"z" * SMALL_PART), SMALL_PART)


async def lose_tail(store: Gated, upload: dict) -> None:
    await store.delete([upload["tail_key"]])


@pytest.mark.gen_test
@pytest.mark.parametrize(("lose", "left"), [(lose_upload, 0), (lose_part, 1), (lose_tail, 2)])
async def test_what_the_store_lost_is_sent_again(
    world: World, teacher: Someone, store: Gated, lose: Callable, left: int
) -> None:
    """The client is told an earlier offset, as a rule for unfinished uploads of a bucket may need; it is not stuck."""
    content = noise(3 * SMALL_PART)
    path = await create(world, teacher, len(content))
    sent = 2 * SMALL_PART + 100
    assert (await patch(world, teacher, path, 0, content[:sent])).status == 204
    await lose(store, row(world, path))
    answer = await patch(world, teacher, path, sent, content[sent:])
    assert (answer.status, answer.code) == (409, "UPLOAD_OFFSET_MISMATCH")
    at = await offset_of(world, teacher, path)
    assert at == left * SMALL_PART
    assert (await patch(world, teacher, path, at, content[at:])).status == 204
    assert await content_of(world, path) == content
    assert used(world, teacher) == len(content)
    await run_actors(world, "files.inspect")
    assert column(world, row(world, path)["file_id"], "state") == "ready"


@pytest.mark.gen_test
@pytest.mark.parametrize("size", [100, 2 * SMALL_PART])
async def test_what_was_lost_before_the_end_is_sent_again(
    world: World, teacher: Someone, store: Gated, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """All bytes had come, the process died before it made a file of them, and now they are gone."""
    content = noise(size)
    path = await create(world, teacher, size)

    async def killed(*_: object) -> None:
        raise Upstream("STORE_UNAVAILABLE")

    with monkeypatch.context() as patched:
        patched.setattr(resuming, "complete", killed)
        assert (await patch(world, teacher, path, 0, content)).status == 424
    upload = row(world, path)
    assert (upload["state"], upload["offset_bytes"]) == ("open", size)
    await (lose_tail if upload["tail_key"] else lose_upload)(store, upload)
    answer = await patch(world, teacher, path, size, b"")
    assert (answer.status, answer.code) == (409, "UPLOAD_OFFSET_MISMATCH")
    assert await offset_of(world, teacher, path) == 0
    assert (await patch(world, teacher, path, 0, content)).status == 204
    assert await content_of(world, path) == content


@pytest.mark.gen_test
async def test_nothing_goes_back_under_who_writes(world: World, teacher: Someone, store: Gated) -> None:
    """Who comes late with an old finding may not take parts away that a request counts on."""
    path = await create(world, teacher, 3 * SMALL_PART)
    await patch(world, teacher, path, 0, noise(SMALL_PART))
    who, about = teacher.principal.needing(Files.UPLOAD), About("upload", upload_id(path))
    holder = uuid4()
    for given in (None, uuid4()):
        with pytest.raises(Conflict, match="UPLOAD_BUSY"):
            world.c.db.run_sync(who, holding.rewind, upload_id(path), given, [], about=about)
    world.c.db.run_sync(who, holding.hold, upload_id(path), holder, about=about)
    with pytest.raises(Conflict, match="UPLOAD_BUSY"):
        world.c.db.run_sync(who, holding.rewind, upload_id(path), None, [], about=about)
    assert await offset_of(world, teacher, path) == SMALL_PART
    assert world.c.db.run_sync(who, holding.rewind, upload_id(path), holder, [], about=about) == 0
    assert row(world, path)["store_upload"] is None


@pytest.mark.gen_test
async def test_of_two_that_begin_parts_one_is_used(world: World, teacher: Someone, store: Gated) -> None:
    path = await create(world, teacher, 10)
    who, about = teacher.principal.needing(Files.UPLOAD), About("upload", upload_id(path))

    def begun(name: str, before: str | None = None) -> str:
        return world.c.db.run_sync(who, holding.begun_parts, upload_id(path), name, before, about=about)

    assert [begun("first"), begun("second"), begun("third", "second"), begun("fourth", "first")] == [
        "first", "first", "first", "fourth",
    ]  # fmt: skip


@pytest.mark.gen_test
async def test_a_full_disk_of_this_machine_is_said(
    world: World, teacher: Someone, store: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await create(world, teacher, 100)

    def full(_: object) -> None:
        raise OSError(errno.ENOSPC, "of the test")

    with monkeypatch.context() as patched:
        patched.setattr(resuming._Spool, "_flush", full)
        answer = await patch(world, teacher, path, 0, noise(100))
    assert (answer.status, answer.code) == (424, "STORE_UNAVAILABLE")
    assert await offset_of(world, teacher, path) == 0
    assert (await patch(world, teacher, path, 0, noise(100))).status == 204


@pytest.mark.gen_test
async def test_an_upload_that_is_given_up_while_it_is_written(world: World, teacher: Someone, store: Gated) -> None:
    path = await create(world, teacher, 3 * SMALL_PART)
    writer = Writer(world, teacher, path, 3 * SMALL_PART)
    await writer.begin(noise(SMALL_PART))
    await eventually(lambda: row(world, path)["offset_bytes"] == SMALL_PART, "a part is recorded")
    assert (await call(world, teacher, "DELETE", path)).status == 204
    await writer.send(noise(2 * SMALL_PART))
    assert await writer.status() in (404, 409, 424)
    assert (await call(world, teacher, "HEAD", path)).status == 404
    await run_actors(world, "files.forsake")
    assert used(world, teacher) == 0
    left = [one.key async for one in store.listing()] + [one.key async for one in store.unfinished()]
    assert [key for key in left if str(upload_id(path)) in key] == []


@pytest.mark.gen_test
async def test_a_body_that_is_too_long_keeps_the_parts_that_it_brought(
    world: World, teacher: Someone, store: Gated
) -> None:
    content = noise(SMALL_PART + 10)
    path = await create(world, teacher, len(content))
    answer = await patch(world, teacher, path, 0, content + b"x")
    assert (answer.status, answer.code) == (400, "BAD_REQUEST")
    at = await offset_of(world, teacher, path)
    assert at in (0, SMALL_PART)
    assert (await patch(world, teacher, path, at, content[at:])).status == 204
    assert await content_of(world, path) == content
