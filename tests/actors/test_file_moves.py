"""``files verify`` and ``files move``: what is at fault is named, and a move loses nothing, however it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from actors import storekeeping
from edurise.adapters.provision import DatabaseUrls
from edurise.adapters.refusals import Refused
from edurise.files import keys
from edurise.files.flows import cleaning, moving, verifying
from edurise.tenants import queries as tenants
from tests.harness.errands import run_actors
from tests.harness.filing import FILES, TEXT, column, kept, picture, settle, upload
from tests.harness.machine import redis_prefix, require
from tests.harness.object_storage import OwnSeaweed
from tests.harness.waiting import eventually
from tests.harness.world import Someone, World
from tests.harness.worlds import another
from tests.http.test_direct_uploads import in_s3
from tests.simulators.hostile_proxy import Fault, HostileProxy

ROOT = Path(__file__).resolve().parents[2]
PROXY_PORT = 23510


@pytest.fixture
def teacher(world: World) -> Someone:
    return world.person("teacher", world.organization())


@pytest.fixture
def proxy(object_storage: OwnSeaweed) -> Iterator[HostileProxy]:
    found = HostileProxy(object_storage.port)
    found.start(PROXY_PORT)
    yield found
    found.stop()


def cloud_settings(storage: OwnSeaweed) -> dict:
    """S3 beside the local store, which stays where new files go."""
    return in_s3(storage) | {"file_store": "local"}


def subdomain(world: World, who: Someone) -> str:
    return world.c.db.system_sync(tenants.organization, who.tenant_id)["subdomain"]


async def some(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def rewritten(world: World, file_id: UUID, content: bytes, name: str = "key") -> None:
    """Other bytes under the key of a file, as a broken disk would leave them."""
    await world.c.stores["local"].put(column(world, file_id, name), some(content))


async def opened(world: World, who: Someone, file_id: UUID) -> bytes:
    answer = await world.of(who).get(f"{FILES}{file_id}/download/")
    assert answer.status == 200, answer.content
    return answer.content


async def moved(world: World, who: Someone, target: str) -> bool:
    done = await storekeeping.move(world.c, subdomain(world, who), target, 0)
    await run_actors(world, "files.forsake")
    return done


def where(world: World, *file_ids: UUID) -> list[str]:
    return [column(world, one, "store") for one in file_ids]


@pytest.mark.gen_test
async def test_verifying_names_what_is_not_as_it_was(
    world: World, teacher: Someone, capsys: pytest.CaptureFixture[str]
) -> None:
    fine, flipped, cut, lost = [await kept(world, teacher) for _ in range(4)]
    bare = UUID((await upload(world, teacher, picture(), "a.png")).data["id"])
    await run_actors(world, "files.inspect")
    name = subdomain(world, teacher)
    capsys.readouterr()
    assert await storekeeping.verify(world.c, name, "local", orphans=False) is True
    assert capsys.readouterr().out == f"5 files read, {0.0:.1f} MiB, 0 at fault\n"
    await rewritten(world, flipped, TEXT.swapcase())
    await rewritten(world, cut, TEXT[:-1])
    await world.c.stores["local"].delete([column(world, lost, "key"), column(world, bare, "thumbnail_key")])
    stray = keys.of(uuid7())
    await world.c.stores["local"].put(stray, some(b"x" * 7))
    capsys.readouterr()
    assert await storekeeping.verify(world.c, name, "", orphans=True) is False
    lines = capsys.readouterr().out.splitlines()
    expected = {flipped: "sha256", cut: "size", lost: "missing", bare: "thumbnail"}
    assert {line for line in lines if ": file " in line} == {
        f"{reason}: file {one}, local {column(world, one, 'key')}" for one, reason in expected.items()
    }
    assert any(line.startswith(f"orphan: local {stray}, 7 bytes of ") for line in lines)
    assert not any(column(world, fine, "key") in line for line in lines)
    await world.c.stores["local"].delete([stray])


@pytest.mark.gen_test
async def test_a_file_that_is_erased_while_it_is_verified_is_no_fault(
    world: World, teacher: Someone, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_id = await kept(world, teacher)
    compared = verifying._compared

    async def erased(*args: object) -> str | None:
        await world.of(teacher).call("DELETE", f"{FILES}{file_id}/")
        await world.of(teacher).post(f"{FILES}{file_id}/erase/")
        await run_actors(world, "files.forsake")
        return await compared(*args)

    monkeypatch.setattr(verifying, "_compared", erased)
    found = await verifying.verify(world.c, teacher.tenant_id, None, lambda _: None)
    assert (found.files, found.faults) == (1, [])


@pytest.mark.gen_test
async def test_what_there_is_not_is_refused(world: World) -> None:
    for work in (
        storekeeping.verify(world.c, "nobody", "", orphans=False),
        storekeeping.verify(world.c, "", "tape", orphans=False),
        storekeeping.move(world.c, "nobody", "local", 0),
        storekeeping.move(world.c, "nobody", "tape", 0),
    ):
        with pytest.raises(Refused, match="There is no"):
            await work


@pytest.mark.gen_test(timeout=60)
async def test_files_move_there_and_back_while_they_are_used(
    world: World, database: DatabaseUrls, teacher: Someone, object_storage: OwnSeaweed
) -> None:
    async with another(world, database, **cloud_settings(object_storage)) as cloud:
        plain, trashed, broken = [await kept(cloud, teacher, TEXT * (n + 1)) for n in range(3)]
        image = UUID((await upload(cloud, teacher, picture(), "a.png")).data["id"])
        await run_actors(cloud, "files.inspect")
        arriving = UUID((await upload(cloud, teacher, TEXT, "late.txt")).data["id"])
        client, store = cloud.of(teacher), cloud.c.stores["local"]
        await client.call("DELETE", f"{FILES}{trashed}/")
        await rewritten(cloud, broken, TEXT.swapcase() * 3)
        old = [column(cloud, image, "key"), column(cloud, image, "thumbnail_key")]
        assert await moved(cloud, teacher, "s3") is False
        assert where(cloud, plain, trashed, image) == ["s3"] * 3
        assert where(cloud, broken, arriving) == ["local"] * 2
        assert [await cleaning.is_there(store, key) for key in old] == [False, False]
        assert [column(cloud, image, "key"), column(cloud, image, "thumbnail_key")] == old
        assert await opened(cloud, teacher, plain) == TEXT
        assert await opened(cloud, teacher, image) == picture()
        new = UUID((await upload(cloud, teacher)).data["id"])
        assert where(cloud, new) == ["s3"]
        # What was arriving moves with the next run, when it is there; what is broken stays where it is.
        settle(cloud, arriving, TEXT)
        assert await moved(cloud, teacher, "s3") is False
        assert where(cloud, arriving, broken) == ["s3", "local"]
        await rewritten(cloud, broken, TEXT * 3)
        settle(cloud, new, TEXT)
        assert await moved(cloud, teacher, "s3") is True
        found = await verifying.verify(cloud.c, teacher.tenant_id, None, lambda _: None)
        assert (found.files, found.faults) == (6, [])
        assert await moved(cloud, teacher, "local") is True
        assert set(where(cloud, plain, trashed, image, arriving, new, broken)) == {"local"}
        found = await verifying.verify(cloud.c, teacher.tenant_id, "local", lambda _: None)
        assert (found.files, found.faults) == (6, [])
        assert (await client.post(f"{FILES}{trashed}/restore/")).status == 200
        assert await opened(cloud, teacher, trashed) == TEXT * 2


@pytest.mark.gen_test(timeout=60)
async def test_a_file_that_comes_back_is_not_taken_for_what_it_left_behind(
    world: World, database: DatabaseUrls, teacher: Someone, object_storage: OwnSeaweed
) -> None:
    async with another(world, database, **cloud_settings(object_storage)) as cloud:
        file_id = await kept(cloud, teacher)
        key, name = column(cloud, file_id, "key"), subdomain(cloud, teacher)
        await storekeeping.move(cloud.c, name, "s3", 0)  # the old object is forsaken, and nobody has deleted it yet
        assert await cleaning.is_there(cloud.c.stores["local"], key)
        await storekeeping.move(cloud.c, name, "local", 0)
        assert column(cloud, file_id, "key") != key
        await cloud.c.stores["local"].delete([key])  # by an actor that looked before the file came back
        await run_actors(cloud, "files.forsake")
        assert await opened(cloud, teacher, file_id) == TEXT
        assert not await cleaning.is_there(cloud.c.stores["s3"], key)


@pytest.mark.gen_test(timeout=60)
async def test_a_file_that_is_erased_while_it_is_copied_leaves_no_copy(
    world: World, database: DatabaseUrls, teacher: Someone, object_storage: OwnSeaweed, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with another(world, database, **cloud_settings(object_storage)) as cloud:
        file_id = await kept(cloud, teacher)
        key, copy = column(cloud, file_id, "key"), moving._copy

        async def erased(*args: object) -> tuple[str, int]:
            copied = await copy(*args)
            await cloud.of(teacher).call("DELETE", f"{FILES}{file_id}/")
            await cloud.of(teacher).post(f"{FILES}{file_id}/erase/")
            return copied

        monkeypatch.setattr(moving, "_copy", erased)
        assert await moved(cloud, teacher, "s3") is True
        for store in cloud.c.stores.values():
            assert not await cleaning.is_there(store, key)


def command(world: World, database: DatabaseUrls, storage: OwnSeaweed, url: str, *arguments: str) -> subprocess.Popen:
    """The command line as an operator calls it, on the database and the stores of these tests."""
    environment = {
        **os.environ,
        "EDU_MODE": "test",
        "DATABASE_URL": database.application,
        "DATABASE_SYSTEM_URL": database.system,
        "DATABASE_OWNER_URL": database.owner,
        "REDIS_URL": require("redis"),
        "EDU_REDIS_PREFIX": redis_prefix(),
        "EDU_DATA_DIR": str(world.c.settings.data_dir),
        **storage.settings(url),
        "EDU_FILE_STORE": "local",
    }
    return subprocess.Popen(
        [sys.executable, str(ROOT / "run.py"), "files", *arguments],
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


async def ended(process: subprocess.Popen) -> tuple[int, str]:
    try:
        told, _ = await asyncio.to_thread(process.communicate, timeout=60)
    finally:
        process.kill()
    return process.returncode, told


@pytest.mark.gen_test(timeout=120)
async def test_a_move_that_is_killed_goes_on_and_loses_nothing(
    world: World, database: DatabaseUrls, teacher: Someone, object_storage: OwnSeaweed, proxy: HostileProxy
) -> None:
    contents = [TEXT * (number * 500 + 1) for number in range(20)]
    files = [await kept(world, teacher, content) for content in contents]
    name, puts = subdomain(world, teacher), 0

    def later(method: str, _path: str) -> bool:
        nonlocal puts
        puts += method == "PUT"
        return method == "PUT" and puts > 6

    proxy.fault = Fault("stall", where=later)
    process = command(world, database, object_storage, proxy.url, "move", name, "--to", "s3", "--keep-old", "0")
    try:
        await eventually(
            lambda: sum(one.fault == "stall" for one in proxy.seen) >= moving.AT_ONCE, "all of it stands still"
        )
        process.send_signal(signal.SIGKILL)
    finally:
        await ended(process)
    proxy.fault = Fault()
    assert 0 < where(world, *files).count("s3") < len(files)
    async with another(world, database, **cloud_settings(object_storage)) as cloud:
        assert [await opened(cloud, teacher, one) for one in files] == contents
        again = command(world, database, object_storage, proxy.url, "move", name, "--to", "s3", "--keep-old", "0")
        assert (await ended(again))[0] == 0
        assert set(where(world, *files)) == {"s3"}
        await run_actors(cloud, "files.forsake")
        code, told = await ended(command(world, database, object_storage, proxy.url, "verify", "--organization", name))
        assert (code, told.splitlines()[-1].endswith("0 at fault")) == (0, True), told
        assert [await opened(cloud, teacher, one) for one in files] == contents
        for file_id in files:
            await cloud.c.stores["s3"].delete([column(world, file_id, "key")])
        code, told = await ended(command(world, database, object_storage, proxy.url, "verify", "--organization", name))
        assert (code, told.count("missing: file ")) == (1, len(files)), told
