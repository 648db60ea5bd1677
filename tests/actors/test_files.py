"""What follows the arrival of a file: inspection, quarantine, pictures, and objects that nobody refers to any more."""

from __future__ import annotations

import asyncio
import hashlib
import io
import zlib
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from PIL import Image

from actors import files as jobs
from actors.files import end_uploads, inspect_again
from edurise.adapters.clamav_scanner import ClamAvScanner
from edurise.adapters.provision import DatabaseUrls
from edurise.files import uploads
from edurise.files.ports import ObjectMissing, ScannerUnavailable, StoreUnavailable, Verdict
from tests.harness.antivirus import EICAR, OwnClamd
from tests.harness.errands import run_actors
from tests.harness.filing import FILES, TEXT, column, picture, upload
from tests.harness.machine import require
from tests.harness.services import scratch
from tests.harness.world import Someone, World
from tests.harness.worlds import another

PORT = 23500


@pytest.fixture
def teacher(world: World) -> Someone:
    return world.person("teacher", world.organization())


@pytest.fixture(scope="module")
def clamd() -> Iterator[OwnClamd]:
    require("clamd")
    with scratch() as directory, OwnClamd(directory / "clamd", PORT) as running:
        yield running


async def uploaded(world: World, who: Someone, content: bytes = TEXT, name: str = "knots.txt", **fields) -> UUID:
    answer = await upload(world, who, content, name, **fields)
    assert answer.status == 201, answer.content
    return UUID(answer.data["id"])


async def read(world: World, key: str, store: str = "local") -> bytes:
    return b"".join([chunk async for chunk in world.c.stores[store].read(key)])


async def is_there(world: World, key: str) -> bool:
    try:
        await world.c.stores["local"].size(key)
    except ObjectMissing:
        return False
    return True


class Scanner:
    """Says what it was told to, or is away."""

    def __init__(self, *verdicts: Verdict | Exception) -> None:
        self.verdicts = list(verdicts)

    async def scan(self, source: AsyncIterator[bytes], size: int) -> Verdict:
        verdict = self.verdicts.pop(0)
        if isinstance(verdict, Exception):
            raise verdict
        async for _ in source:
            pass
        return verdict


@pytest.mark.gen_test
async def test_what_a_file_is_is_read_off_its_bytes(world: World, teacher: Someone) -> None:
    content = b"".join(str(number).encode() * 50 + b"\n" for number in range(9000))
    file_id = await uploaded(world, teacher, content)
    await run_actors(world, "files.inspect", times=2)
    found = (await world.of(teacher).get(f"{FILES}{file_id}/")).data
    assert (found["status"], found["state"], found["scan"]) == ("active", "ready", "not_scanned")
    assert found["sha256"] == hashlib.sha256(content).hexdigest()
    assert column(world, file_id, "crc32") == zlib.crc32(content)
    assert found["thumbnail"] is None


@pytest.mark.gen_test
async def test_malware_is_quarantined_and_its_owner_is_told(
    world: World, database: DatabaseUrls, teacher: Someone, clamd: OwnClamd
) -> None:
    async with another(world, database) as guarded:
        object.__setattr__(guarded.c, "scanner", ClamAvScanner(clamd.url, 10**7))
        bad = await uploaded(guarded, teacher, EICAR, "homework.txt")
        good = await uploaded(guarded, teacher)
        await run_actors(guarded, "files.inspect")
        client = guarded.of(teacher)
        found = (await client.get(f"{FILES}{bad}/")).data
        assert (found["status"], found["state"], found["scan"], found["file"]) == (
            "archived", "quarantined", "infected", None,
        )  # fmt: skip
        assert found["failure"].startswith("Eicar.Test.Custom")
        assert (await client.get(f"{FILES}{bad}/secure_url/")).code == "FILE_QUARANTINED"
        assert (await client.get(f"{FILES}{bad}/download/")).code == "FILE_QUARANTINED"
        assert (await client.get(f"{FILES}{good}/")).data["scan"] == "clean"
        await run_actors(guarded, "notifications.tell_of_a_bad_file", times=2)
        told = (await client.get("/api/v1/notifications/")).data["results"]
        assert [(one["type"], one["data"]["file_id"]) for one in told] == [("file_quarantined", str(bad))]
        assert "homework.txt" in told[0]["message"]


@pytest.mark.gen_test
async def test_nothing_is_opened_while_the_scanner_is_away(
    world: World, database: DatabaseUrls, teacher: Someone
) -> None:
    async with another(world, database) as guarded:
        scanner = Scanner(ScannerUnavailable("away"), Verdict("clean"))
        object.__setattr__(guarded.c, "scanner", scanner)
        file_id = await uploaded(guarded, teacher)
        await run_actors(guarded, "files.inspect")
        assert column(world, file_id, "state") == "scanning"
        assert (await guarded.of(teacher).get(f"{FILES}{file_id}/download/")).code == "FILE_NOT_READY"
        # Deliveries were given up in the meantime: the sweep asks once more.
        await inspect_again(guarded.c)
        assert await run_actors(guarded, "files.inspect") == 0
        world.clock.advance(timedelta(minutes=21))
        await inspect_again(guarded.c)
        await inspect_again(guarded.c)
        await run_actors(guarded, "files.inspect")
        assert (column(world, file_id, "state"), column(world, file_id, "scan")) == ("ready", "clean")


@pytest.mark.gen_test
async def test_a_store_that_fails_is_asked_again_and_missing_bytes_are_said(
    world: World, database: DatabaseUrls, teacher: Someone
) -> None:
    lost, cut = await uploaded(world, teacher), await uploaded(world, teacher, TEXT * 2)
    store = world.c.stores["local"]
    await store.delete([column(world, lost, "key")])

    async def short(content: bytes) -> AsyncIterator[bytes]:
        yield content

    await store.delete([column(world, cut, "key")])
    await store.put(column(world, cut, "key"), short(TEXT))
    away = await uploaded(world, teacher)

    class Away:
        def __init__(self, store) -> None:
            self.store = store

        def read(self, key: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
            async def fail() -> AsyncIterator[bytes]:
                raise StoreUnavailable("local", "of the test")
                yield b""

            return fail() if key == column(world, away, "key") else self.store.read(key, start, length)

        def __getattr__(self, name: str):
            return getattr(self.store, name)

    async with another(world, database) as broken:
        broken.c.stores["local"] = Away(broken.c.stores["local"])
        await run_actors(broken, "files.inspect")
    states = {file_id: (column(world, file_id, "state"), column(world, file_id, "failure")) for file_id in (lost, cut)}
    assert states == {lost: ("failed", "BYTES_MISSING"), cut: ("failed", "FILE_INCOMPLETE")}
    assert column(world, away, "state") == "scanning"


@pytest.mark.gen_test
async def test_a_picture_has_a_small_one_beside_it(world: World, teacher: Someone) -> None:
    content = picture((1600, 900), "JPEG")
    file_id = await uploaded(world, teacher, content, "boat.jpg")
    await run_actors(world, "files.inspect")
    found = (await world.of(teacher).get(f"{FILES}{file_id}/")).data
    assert found["thumbnail"].startswith("http")
    assert await read(world, column(world, file_id, "key")) == content
    small = Image.open(io.BytesIO(await read(world, column(world, file_id, "thumbnail_key"))))
    assert (small.size, small.format) == ((320, 180), "JPEG")
    opened = await world.anonymous.exchange("GET", found["thumbnail"].removeprefix(world.base_url))
    assert (opened.status, opened.headers["Content-Type"]) == (200, "image/jpeg")


@pytest.mark.gen_test
async def test_of_an_avatar_only_pixels_are_kept(world: World, teacher: Someone) -> None:
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "GPS 52.5200 13.4050", 6  # a description, and "turn it right"
    content = picture((2000, 1000), "JPEG", exif=exif) + b"<?php system($_GET['c']); ?>"
    file_id = await uploaded(world, teacher, content, "me.jpeg", category="avatars")
    old = column(world, file_id, "key")
    await run_actors(world, "files.inspect", times=2)
    key = column(world, file_id, "key")
    kept = await read(world, key)
    image = Image.open(io.BytesIO(kept))
    assert (image.size, image.format, dict(image.getexif())) == ((640, 1280), "JPEG", {})
    assert b"GPS" not in kept
    assert b"php" not in kept
    assert key != old
    found = (await world.of(teacher).get(f"{FILES}{file_id}/")).data
    assert (found["file_size"], found["sha256"]) == (len(kept), hashlib.sha256(kept).hexdigest())
    usage = (await world.of(teacher).get(f"{FILES}usage/")).data
    assert {one["used"] for one in usage} == {len(kept)}
    await run_actors(world, "files.forsake")
    assert (await is_there(world, old), await is_there(world, key)) == (False, True)


@pytest.mark.gen_test
async def test_a_transparent_avatar_stays_so_and_is_named_for_what_it_is(world: World, teacher: Someone) -> None:
    content = picture((100, 100), "PNG", "RGBA")
    file_id = await uploaded(world, teacher, content, "Me.PNG", category="avatars")
    await run_actors(world, "files.inspect")
    found = (await world.of(teacher).get(f"{FILES}{file_id}/")).data
    assert (found["file_type"], found["file_extension"]) == ("image/webp", "webp")
    assert found["original_filename"].endswith(".webp")
    assert Image.open(io.BytesIO(await read(world, column(world, file_id, "key")))).mode == "RGBA"


def bomb(width: int, height: int) -> bytes:
    """A PNG that says it is so large, in few bytes."""
    header = width.to_bytes(4) + height.to_bytes(4) + b"\x08\x02\x00\x00\x00"
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 10_000_000)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(data).to_bytes(4) + name + data + zlib.crc32(name + data).to_bytes(4) for name, data in chunks
    )


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("content", "failure"),
    [
        (bomb(60_000, 60_000), "PICTURE_TOO_LARGE"),
        (bomb(2**31 - 1, 2**31 - 1), "PICTURE_TOO_LARGE"),
        (bomb(1000, 1000)[:300], "PICTURE_UNREADABLE"),
        (b"\x89PNG\r\n\x1a\n" + bytes(200), "PICTURE_UNREADABLE"),
        (b"GIF89a/*" + b"<script>alert(1)</script>" * 9, "PICTURE_UNREADABLE"),
    ],
    ids=["bomb", "larger bomb", "cut off", "empty", "polyglot"],
)
async def test_a_picture_that_cannot_be_decoded_is_no_avatar(
    world: World, teacher: Someone, content: bytes, failure: str
) -> None:
    name = "me.gif" if content.startswith(b"GIF") else "me.png"
    avatar = await uploaded(world, teacher, content, name, category="avatars")
    ordinary = await uploaded(world, teacher, content, name)
    await run_actors(world, "files.inspect")
    assert (column(world, avatar, "state"), column(world, avatar, "failure")) == ("failed", failure)
    # As a file to be saved it is as good as any; there is just no small picture of it.
    assert (column(world, ordinary, "state"), column(world, ordinary, "thumbnail_key")) == ("ready", None)


@pytest.mark.gen_test
async def test_what_was_put_into_the_trash_meanwhile_stays_there(world: World, teacher: Someone) -> None:
    file_id = await uploaded(world, teacher)
    client = world.of(teacher)
    await client.call("DELETE", f"{FILES}{file_id}/")
    await run_actors(world, "files.inspect")
    assert (column(world, file_id, "state"), column(world, file_id, "state_before")) == ("trashed", "ready")
    assert (await client.post(f"{FILES}{file_id}/restore/")).data["state"] == "ready"


@pytest.mark.gen_test
async def test_an_erased_file_loses_its_bytes_and_no_other_does(world: World, teacher: Someone) -> None:
    gone, kept = (
        await uploaded(world, teacher, picture(kind="JPEG"), "a.jpg"),
        await uploaded(world, teacher, picture(kind="JPEG"), "b.jpg"),
    )
    await run_actors(world, "files.inspect")
    keys = {one: (column(world, one, "key"), column(world, one, "thumbnail_key")) for one in (gone, kept)}
    client = world.of(teacher)
    await client.call("DELETE", f"{FILES}{gone}/")
    await client.post(f"{FILES}{gone}/erase/")
    await run_actors(world, "files.forsake", times=2)
    assert [await is_there(world, key) for key in keys[gone]] == [False, False]
    assert [await is_there(world, key) for key in keys[kept]] == [True, True]


@pytest.mark.gen_test
async def test_a_withdrawn_file_is_purged(world: World, database: DatabaseUrls, teacher: Someone) -> None:
    purged: list[str] = []

    class Purger:
        async def purge(self, urls) -> None:
            purged.extend(urls)

        async def close(self) -> None:
            """Nothing is open."""

    async with another(world, database) as fronted:
        object.__setattr__(fronted.c, "purger", Purger())
        file_id = await uploaded(fronted, teacher, access_level="public")
        await run_actors(fronted, "files.inspect")
        client = fronted.of(teacher)
        link = (await client.get(f"{FILES}{file_id}/")).data["file"]
        await client.post(f"{FILES}{file_id}/set_access_level/", {"access_level": "private"})
        await run_actors(fronted, "files.purge")
    assert link.removeprefix(fronted.base_url) in purged
    assert len(purged) == 2


@pytest.mark.gen_test
async def test_what_time_does_to_trash_and_to_the_log(world: World, database: DatabaseUrls, teacher: Someone) -> None:
    old, young = await uploaded(world, teacher), await uploaded(world, teacher)
    await run_actors(world, "files.inspect")
    client = world.of(teacher)
    assert (await client.get(f"{FILES}{young}/download/")).status == 200
    await client.call("DELETE", f"{FILES}{old}/")
    world.clock.advance(timedelta(days=20))
    colleague = world.of(world.person("admin", teacher.tenant_id))
    await colleague.call("DELETE", f"{FILES}{young}/")
    world.clock.advance(timedelta(days=11))
    async with another(world, database, file_accesses_days=30) as later:
        await jobs.empty_trash(later.c)
        assert (column(world, old, "state"), column(world, young, "state")) == ("erased", "trashed")
        fresh = later.person("admin", teacher.tenant_id)
        statistics = (await later.of(fresh).get(f"{FILES}{young}/statistics/")).data
        assert (statistics["download_count"], statistics["access_logs"]) == (1, [])


@pytest.mark.gen_test
async def test_an_upload_without_an_end_is_given_up(world: World, teacher: Someone) -> None:
    begun = world.c.db.run_sync(teacher.principal, uploads.begin_form, 5000, world.c.keeping)
    usage = (await world.of(teacher).get(f"{FILES}usage/")).data
    assert {one["used"] for one in usage} == {5000}
    world.clock.advance(timedelta(days=2, minutes=1))
    await asyncio.gather(end_uploads(world.c), end_uploads(world.c))
    fresh = world.person("admin", teacher.tenant_id)
    usage = (await world.of(fresh).get(f"{FILES}usage/")).data
    assert {one["used"] for one in usage} == {0}
    assert begun["store"] == "local"
