"""What time and crashes leave behind is found and mended: uploads, bytes without rows and rows without bytes."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from actors.files import empty_trash, end_uploads, sweep_bytes, sweep_rows
from actors.schedule import load_jobs
from edurise.authz import Principal, actor_principal
from edurise.db import rows
from edurise.errors import Forbidden
from edurise.files import keys, service, sweeping, uploads
from edurise.files.flows import cleaning, resuming
from edurise.files.keeping import Keeping
from edurise.files.permissions import Files
from edurise.files.ports import ObjectMissing, StoreUnavailable
from tests.harness.errands import run_actors
from tests.harness.filing import FILES, TEXT, column, kept, picture, upload
from tests.harness.world import Someone, World


@pytest.fixture
def teacher(world: World) -> Someone:
    return world.person("teacher", world.organization())


async def some(content: bytes) -> AsyncIterator[bytes]:
    yield content


def read(world: World, statement: str, **values: object) -> list[dict]:
    return world.c.db.system_sync(lambda session: rows(session, text(statement), values))


async def is_there(world: World, key: str) -> bool:
    return await cleaning.is_there(world.c.stores["local"], key)


def aged(world: World, key: str, age: timedelta) -> None:
    """Let an object of the local store be as old as this."""
    found: Path = world.c.stores["local"].path(key)
    at = (world.clock.now() - age).timestamp()
    os.utime(found, (at, at))


async def begun(world: World, who: Someone, size: int) -> resuming.Progress:
    data = {"category": "documents"}
    return await resuming.create(world.c, who.principal.needing(Files.KEEP), "knots.txt", size, data)


def test_the_sweeps_are_jobs() -> None:
    every = {one.name: one.every_s for one in load_jobs() if one.name.startswith("files.")}
    assert every == {
        "files.end_uploads": 60,
        "files.inspect_again": 60,
        "files.empty_trash": 3600,
        "files.sweep_bytes": 6 * 3600,
        "files.sweep_rows": 24 * 3600,
    }


@pytest.mark.gen_test
async def test_an_upload_whose_bytes_are_all_there_is_finished_by_the_sweep(
    world: World, teacher: Someone, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = await begun(world, teacher, len(TEXT))
    (file_id,) = (row["file_id"] for row in read(world, "SELECT file_id FROM uploads WHERE id = :id", id=upload.id))

    async def killed(*_: object) -> None:
        raise ConnectionError("the process is gone")

    with monkeypatch.context() as patched:
        patched.setattr(resuming, "complete", killed)
        with pytest.raises(ConnectionError):
            await resuming.append(world.c, teacher.principal.needing(Files.UPLOAD), upload.id, 0, some(TEXT))
    await end_uploads(world.c)
    assert column(world, file_id, "state") == "uploading"  # a request may be about to finish it
    world.clock.advance(timedelta(seconds=61))
    await end_uploads(world.c)
    await end_uploads(world.c)
    assert column(world, file_id, "state") == "scanning"
    await run_actors(world, "files.inspect")
    assert column(world, file_id, "state") == "ready"
    assert b"".join([chunk async for chunk in world.c.stores["local"].read(column(world, file_id, "key"))]) == TEXT


@pytest.mark.gen_test
async def test_an_upload_that_cannot_be_ended_keeps_no_other_from_it(
    world: World, teacher: Someone, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await begun(world, teacher, 1000), await begun(world, teacher, 2000)
    world.clock.advance(timedelta(days=2, minutes=1))
    drop = cleaning.drop_upload

    async def failing(c: object, found: dict) -> None:
        if found["id"] == first.id:
            raise ConnectionError("the store is away")
        await drop(c, found)

    states = "SELECT id, state FROM uploads WHERE id IN (:first, :second)"
    ids = {"first": first.id, "second": second.id}
    with monkeypatch.context() as patched:
        patched.setattr(cleaning, "drop_upload", failing)
        await end_uploads(world.c)
    assert {row["id"]: row["state"] for row in read(world, states, **ids)} == {first.id: "open", second.id: "dropped"}
    await end_uploads(world.c)
    assert {row["state"] for row in read(world, states, **ids)} == {"dropped"}
    # Neither a file nor a reservation is left of them.
    assert read(world, "SELECT id FROM files WHERE tenant_id = :id", id=teacher.tenant_id) == []
    assert read(world, "SELECT id FROM quota_holds WHERE tenant_id = :id", id=teacher.tenant_id) == []


@pytest.mark.gen_test
async def test_bytes_without_rows_are_deleted_once_they_are_a_day_old(world: World, teacher: Someone) -> None:
    file_id = await kept(world, teacher)
    image = UUID((await upload(world, teacher, picture(), "a.png")).data["id"])
    await run_actors(world, "files.inspect")
    going = await begun(world, teacher, 100)
    await resuming.append(world.c, teacher.principal.needing(Files.UPLOAD), going.id, 0, some(b"x" * 60))
    (tail,) = (row["tail_key"] for row in read(world, "SELECT tail_key FROM uploads WHERE id = :id", id=going.id))
    referred = [column(world, file_id, "key"), column(world, image, "key"), column(world, image, "thumbnail_key"), tail]
    old, young = keys.of(uuid7()), keys.of(uuid7())
    store = world.c.stores["local"]
    for key in (old, young):
        await store.put(key, some(TEXT))
    for key in (*referred, old):
        aged(world, key, timedelta(hours=25))
    aged(world, young, timedelta(hours=23))
    await sweep_bytes(world.c)
    await sweep_bytes(world.c)
    assert [await is_there(world, key) for key in (*referred, old, young)] == [True] * 4 + [False, True]


@pytest.mark.gen_test
async def test_parts_of_an_upload_that_nobody_knows_are_dropped(world: World, teacher: Someone) -> None:
    store, size = world.c.stores["local"], world.c.stores["local"].part_bytes
    going = await begun(world, teacher, size + 10)
    await resuming.append(world.c, teacher.principal.needing(Files.UPLOAD), going.id, 0, some(b"x" * size))
    (known,) = (
        row["store_upload"] for row in read(world, "SELECT store_upload FROM uploads WHERE id = :i", i=going.id)
    )
    unknown = await store.begin_parts(keys.of(uuid7()))
    world.clock.advance(timedelta(hours=25))
    await sweep_bytes(world.c)
    left = {one.upload async for one in store.unfinished()}
    assert (known in left, unknown in left) == (True, False)
    await end_uploads(world.c)
    assert known in {one.upload async for one in store.unfinished()}
    world.clock.advance(timedelta(hours=24))
    await end_uploads(world.c)
    assert known not in {one.upload async for one in store.unfinished()}


@pytest.mark.gen_test
async def test_a_row_without_bytes_is_marked_and_its_owner_is_told(world: World, teacher: Someone) -> None:
    lost, fine, trashed = [await kept(world, teacher) for _ in range(3)]
    await world.of(teacher).call("DELETE", f"{FILES}{trashed}/")
    store = world.c.stores["local"]
    await store.delete([column(world, one, "key") for one in (lost, trashed)])
    await sweep_rows(world.c)
    await sweep_rows(world.c)
    states = [(column(world, one, "state"), column(world, one, "failure")) for one in (lost, fine, trashed)]
    assert states == [("failed", "BYTES_MISSING"), ("ready", None), ("trashed", "BYTES_MISSING")]
    assert column(world, trashed, "state_before") == "failed"
    client = world.of(teacher)
    assert (await client.get(f"{FILES}{lost}/download/")).code == "FILE_FAILED"
    await run_actors(world, "notifications.tell_of_a_bad_file", times=2)
    told = (await client.get("/api/v1/notifications/")).data["results"]
    assert sorted((one["type"], one["data"]["file_id"]) for one in told) == sorted(
        ("file_failed", str(one)) for one in (lost, trashed)
    )
    # Found again under the same name in another store, it is not what was missing.
    who = actor_principal(teacher.tenant_id)
    key = column(world, fine, "key")
    assert await world.c.db.run(who, sweeping.bytes_are_gone, fine, "s3", key) is False
    assert column(world, fine, "state") == "ready"


@pytest.mark.gen_test
async def test_forsaken_objects_that_a_row_refers_to_stay(world: World, teacher: Someone) -> None:
    file_id = await kept(world, teacher)
    stray = keys.of(uuid7())
    store = world.c.stores["local"]
    await store.put(stray, some(TEXT))
    asked = [column(world, file_id, "key"), stray, keys.of(uuid7())]
    assert await cleaning.forsake(world.c, "local", asked) == 2
    assert await cleaning.forsake(world.c, "local", asked) == 2  # a repeat does no harm
    assert await is_there(world, asked[0])
    with pytest.raises(ObjectMissing):
        await store.size(stray)


# -- what cannot be swept holds up nothing else ------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_an_upload_that_cannot_be_given_up_holds_up_no_other(
    world: World, teacher: Someone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a full batch: what comes after it is given up in the same minute."""
    monkeypatch.setattr(sweeping, "BATCH", 1)
    stays, first, second = [(await begun(world, teacher, 9)).id for _ in range(3)]
    world.clock.advance(timedelta(days=2, seconds=1))
    drop = uploads.drop

    def fails(session: Session, who: Principal, upload_id: UUID, keeping: Keeping) -> None:
        if upload_id == stays:
            raise Forbidden
        drop(session, who, upload_id, keeping)

    with monkeypatch.context() as patched:
        patched.setattr(uploads, "drop", fails)
        await end_uploads(world.c)
    query = "SELECT id, state FROM uploads WHERE user_id = :p"
    states = {row["id"]: row["state"] for row in read(world, query, p=teacher.id)}
    assert states == {stays: "open", first: "dropped", second: "dropped"}


@pytest.mark.gen_test
async def test_the_trash_is_emptied_in_one_go(world: World, teacher: Someone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "BATCH", 2)
    files = [await kept(world, teacher) for _ in range(5)]
    for one in files:
        await world.of(teacher).call("DELETE", f"{FILES}{one}/")
    world.clock.advance(world.c.keeping.trash_for + timedelta(seconds=1))
    erase = service.erase

    def fails_once(session: Session, who: Principal, file_id: UUID, keeping: Keeping) -> None:
        if file_id == files[0]:
            raise Forbidden
        erase(session, who, file_id, keeping)

    with monkeypatch.context() as patched:
        patched.setattr(service, "erase", fails_once)
        await empty_trash(world.c)
    assert [column(world, one, "state") for one in files] == ["trashed", *["erased"] * 4]
    await empty_trash(world.c)
    assert column(world, files[0], "state") == "erased"


@pytest.mark.gen_test
async def test_an_object_that_cannot_be_looked_at_hides_no_missing_one(
    world: World, teacher: Someone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that was sealed with a key that is gone; a store that answers for nothing is told as before."""
    odd, lost = await kept(world, teacher), await kept(world, teacher)
    store = world.c.stores["local"]
    unreadable, size = column(world, odd, "key"), store.size
    await store.delete([column(world, lost, "key")])

    async def of_size(key: str) -> int:
        if key == unreadable:
            raise StoreUnavailable("local", "unknown_key")
        return await size(key)

    async def away(_: str) -> int:
        raise StoreUnavailable("local", "away")

    monkeypatch.setattr(store, "size", of_size)
    await sweep_rows(world.c)
    assert (column(world, odd, "state"), column(world, lost, "failure")) == ("ready", "BYTES_MISSING")
    monkeypatch.setattr(store, "size", away)
    with pytest.raises(StoreUnavailable, match="nothing of a page"):
        await sweep_rows(world.c)
