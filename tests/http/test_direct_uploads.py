"""Uploads to the store itself: the server hands out links and believes the store alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPRequest

from edurise.adapters.provision import DatabaseUrls
from edurise.config import read_settings
from tests.harness.errands import run_actors
from tests.harness.filing import FILES, TEXT, column, upload
from tests.harness.object_storage import OwnSeaweed
from tests.harness.world import Someone, World
from tests.harness.worlds import another
from tests.http.test_tus import noise, used

DIRECT = f"{FILES}direct/"
PART = 8 * 1024 * 1024


def in_s3(storage: OwnSeaweed) -> dict:
    """The settings that name this storage, by their fields."""
    read = read_settings({"EDU_MODE": "test", **storage.settings()})
    names = ("file_store", "s3_bucket", "s3_endpoint_url", "s3_region", "s3_access_key_id", "s3_secret_access_key",
             "s3_path_style")  # fmt: skip
    return {name: getattr(read, name) for name in names}


@pytest.fixture
def teacher(world: World) -> Someone:
    return world.person("teacher", world.organization())


async def begun(world: World, who: Someone, size: int, **fields):
    form = {"filename": "knots.txt", "size": size, "category": "documents"} | fields
    return await world.of(who).post(DIRECT, form)


async def send(link: dict, content: bytes) -> int:
    request = HTTPRequest(link["url"], "PUT", body=content, request_timeout=20)
    return (await AsyncHTTPClient().fetch(request, raise_error=False)).code


def pieces(content: bytes) -> dict[int, bytes]:
    return {number: content[at : at + PART] for number, at in enumerate(range(0, len(content), PART), 1)}


async def read(world: World, file_id: UUID) -> bytes:
    return b"".join([chunk async for chunk in world.c.stores["s3"].read(column(world, file_id, "key"))])


@pytest.mark.gen_test(timeout=60)
async def test_parts_go_to_the_store_and_become_a_file(
    world: World, database: DatabaseUrls, teacher: Someone, object_storage: OwnSeaweed
) -> None:
    content = noise(2 * PART + 12_345)
    async with another(world, database, **in_s3(object_storage)) as cloud:
        made = await begun(cloud, teacher, len(content), title="Knots")
        assert made.status == 201, made.content
        told, client = made.data, cloud.of(teacher)
        path = f"{DIRECT}{told['upload_id']}/"
        assert (told["part_size"], told["part_count"], told["stored"]) == (PART, 3, [])
        assert [(one["number"], one["size"]) for one in told["parts"]] == [(1, PART), (2, PART), (3, 12_345)]
        assert used(cloud, teacher) == len(content)
        parts, links = pieces(content), {one["number"]: one for one in told["parts"]}
        assert await send(links[3], parts[3]) == 200
        early = await client.post(f"{path}complete/")
        assert (early.status, early.code) == (409, "UPLOAD_INCOMPLETE")
        assert await send(links[1], parts[1]) == 200
        again = (await client.get(path)).data
        assert [one["number"] for one in again["stored"]] == [1, 3]
        assert [one["number"] for one in again["parts"]] == [2]
        assert (await client.get(f"{path}?from=3")).data["parts"] == []
        # A link is for one part of one size.
        assert await send(again["parts"][0], parts[2][:-1]) in (400, 403, 411)
        assert await send(again["parts"][0], parts[2]) == 200
        for _ in range(2):
            done = await client.post(f"{path}complete/")
            assert (done.status, done.data["state"], done.data["title"]) == (200, "scanning", "Knots")
        file_id = UUID(done.data["id"])
        assert await read(cloud, file_id) == content
        await run_actors(cloud, "files.inspect")
        shown = (await client.get(f"{FILES}{file_id}/")).data
        assert (shown["status"], shown["file_type"]) == ("active", "text/plain")
        opened = await cloud.anonymous.exchange("GET", shown["file"].removeprefix(cloud.base_url))
        assert opened.status == 302
        assert opened.headers["Location"].startswith(object_storage.url)
        assert (await client.get(f"{FILES}{file_id}/download/")).content == content


@pytest.mark.gen_test(timeout=60)
async def test_what_came_is_looked_at_before_anybody_opens_it(
    world: World, database: DatabaseUrls, teacher: Someone, object_storage: OwnSeaweed
) -> None:
    async with another(world, database, **in_s3(object_storage)) as cloud:
        program = b"\x7fELF" + bytes(5000)
        told = (await begun(cloud, teacher, len(program))).data
        await send(told["parts"][0], program)
        refused = await cloud.of(teacher).post(f"{DIRECT}{told['upload_id']}/complete/")
        assert (refused.status, refused.code) == (400, "FILE_TYPE_MISMATCH")
        assert used(cloud, teacher) == 0
        assert (await cloud.of(teacher).get(f"{DIRECT}{told['upload_id']}/")).code == "UPLOAD_GONE"
        await run_actors(cloud, "files.forsake")
        left = [one.key async for one in cloud.c.stores["s3"].listing() if told["upload_id"] in one.key]
        assert left == []


@pytest.mark.gen_test(timeout=60)
async def test_giving_up_and_strangers(
    world: World, database: DatabaseUrls, teacher: Someone, object_storage: OwnSeaweed
) -> None:
    async with another(world, database, **in_s3(object_storage)) as cloud:
        told = (await begun(cloud, teacher, 3 * PART)).data
        path = f"{DIRECT}{told['upload_id']}/"
        await send(told["parts"][0], bytes(PART))
        stranger = cloud.of(cloud.person("admin", cloud.organization()))
        for call in (stranger.get(path), stranger.call("DELETE", path), stranger.post(f"{path}complete/")):
            assert (await call).status == 404
        assert (await cloud.of(teacher).call("DELETE", path)).status == 200
        assert (await cloud.of(teacher).call("DELETE", path)).status == 200
        assert used(cloud, teacher) == 0
        unfinished = [one.key async for one in cloud.c.stores["s3"].unfinished()]
        assert not [key for key in unfinished if told["upload_id"] in key]
        assert (await cloud.of(teacher).get(f"{DIRECT}{uuid4()}/")).status == 404


@pytest.mark.gen_test(timeout=60)
async def test_what_cannot_begin(
    world: World, database: DatabaseUrls, teacher: Someone, object_storage: OwnSeaweed
) -> None:
    here = await begun(world, teacher, 100)
    assert (here.status, here.code) == (409, "DIRECT_UPLOAD_UNAVAILABLE")
    async with another(world, database, **in_s3(object_storage)) as cloud:
        for fields in (
            {"size": 0},
            {"size": -1},
            {"filename": "knots.exe"},
            {"category": "nothing"},
            {"key": "f/../x"},
        ):
            answer = await begun(cloud, teacher, **({"size": 100} | fields))
            assert answer.status == 400, fields
        assert (await begun(cloud, teacher, 10**13)).status == 413
        assert used(cloud, teacher) == 0


@pytest.mark.gen_test(timeout=60)
async def test_forms_go_to_s3_too(
    world: World, database: DatabaseUrls, teacher: Someone, object_storage: OwnSeaweed
) -> None:
    async def once(content: bytes) -> AsyncIterator[bytes]:
        yield content

    async with another(world, database, **in_s3(object_storage)) as cloud:
        answer = await upload(cloud, teacher, TEXT)
        assert answer.status == 201, answer.content
        file_id = UUID(answer.data["id"])
        assert (column(cloud, file_id, "store"), await read(cloud, file_id)) == ("s3", TEXT)
        await run_actors(cloud, "files.inspect")
        assert column(cloud, file_id, "state") == "ready"
        # Bytes that change behind its back are found out by who verifies, not served as something else's.
        await cloud.c.stores["s3"].delete([column(cloud, file_id, "key")])
        assert (await cloud.of(teacher).get(f"{FILES}{file_id}/download/")).code == "STORE_UNAVAILABLE"
        await cloud.c.stores["s3"].put(column(cloud, file_id, "key"), once(TEXT))
