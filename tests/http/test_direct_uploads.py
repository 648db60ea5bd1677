"""Uploads to the store itself: the server hands out links and believes the store alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from tornado.httpclient import AsyncHTTPClient, HTTPRequest

from edurise.adapters.provision import DatabaseUrls
from edurise.config import read_settings
from edurise.errors import Upstream
from edurise.files.flows import arriving
from edurise.files.ports import StoreUnavailable
from tests.harness.errands import run_actors
from tests.harness.filing import FILES, TEXT, column, upload
from tests.harness.object_storage import OwnSeaweed
from tests.harness.world import Someone, World
from tests.harness.worlds import another
from tests.http.test_form_uploads import limited
from tests.http.test_tus import noise, row, used

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
        assert (told["file"]["title"], told["file"]["state"]) == ("Knots", "uploading")
        assert told["url_expires_at"] < told["expires_at"]
        assert [(one["number"], one["size"]) for one in told["parts"]] == [(1, PART), (2, PART), (3, 12_345)]
        assert used(cloud, teacher) == len(content)
        parts, links = pieces(content), {one["number"]: one for one in told["parts"]}
        assert await send(links[3], parts[3]) == 200
        early = await client.post(f"{path}complete/")
        assert (early.status, early.code) == (409, "UPLOAD_INCOMPLETE")
        assert early.body["errors"]["parts"][0].endswith(": 1, 2.")
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
async def test_links_come_a_hundred_at_a_time(
    world: World, database: DatabaseUrls, teacher: Someone, object_storage: OwnSeaweed
) -> None:
    async with another(world, database, **in_s3(object_storage)) as cloud:
        told = (await begun(cloud, teacher, 101 * PART + 1, filename="knots.csv", category="exports")).data
        path, client = f"{DIRECT}{told['upload_id']}/", cloud.of(teacher)
        assert (told["part_count"], [one["number"] for one in told["parts"]]) == (102, list(range(1, 101)))
        rest = (await client.get(f"{path}?from=101")).data["parts"]
        assert [(one["number"], one["size"]) for one in rest] == [(101, PART), (102, 1)]
        for bad in ("0", "-1", "x", "10001"):
            assert (await client.get(f"{path}?from={bad}")).status == 400, bad
        assert (await client.call("DELETE", path)).status == 200


@pytest.mark.gen_test(timeout=60)
async def test_many_that_complete_at_once_make_one_file(
    world: World, database: DatabaseUrls, teacher: Someone, object_storage: OwnSeaweed
) -> None:
    content = noise(PART + 5)
    async with another(world, database, **in_s3(object_storage)) as cloud:
        told = (await begun(cloud, teacher, len(content))).data
        for link in told["parts"]:
            assert await send(link, pieces(content)[link["number"]]) == 200
        path = f"{DIRECT}{told['upload_id']}/complete/"
        answers = await asyncio.gather(*(cloud.of(teacher).post(path) for _ in range(4)))
        assert 200 in {one.status for one in answers}
        assert {one.code for one in answers if one.status != 200} <= {"STORE_UNAVAILABLE"}
        assert (await cloud.of(teacher).post(path)).status == 200
        assert await read(cloud, UUID(told["file"]["id"])) == content
        assert used(cloud, teacher) == len(content)


@pytest.mark.gen_test(timeout=60)
async def test_who_died_between_joining_and_the_end_is_helped_over_it(
    world: World, database: DatabaseUrls, teacher: Someone, object_storage: OwnSeaweed, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = noise(PART + 5)

    async def killed(*_: object) -> None:
        raise Upstream("STORE_UNAVAILABLE")

    async with another(world, database, **in_s3(object_storage)) as cloud:
        told, client = (await begun(cloud, teacher, len(content))).data, cloud.of(teacher)
        for link in told["parts"]:
            assert await send(link, pieces(content)[link["number"]]) == 200
        path = f"{DIRECT}{told['upload_id']}/"
        with monkeypatch.context() as patched:
            patched.setattr(arriving, "looked_at", killed)
            assert (await client.post(f"{path}complete/")).status == 424
        again = (await client.get(path)).data
        assert (again["parts"], again["file"]["state"]) == ([], "uploading")
        assert (await client.post(f"{path}complete/")).data["state"] == "scanning"
        assert await read(cloud, UUID(told["file"]["id"])) == content


@pytest.mark.gen_test(timeout=60)
async def test_what_the_store_forgot_begins_anew(
    world: World, database: DatabaseUrls, teacher: Someone, object_storage: OwnSeaweed
) -> None:
    """As a rule of the bucket for unfinished uploads makes it; and as where nobody wrote down that it had begun."""
    content = noise(PART + 5)
    async with another(world, database, **in_s3(object_storage)) as cloud:
        store, client = cloud.c.stores["s3"], cloud.of(teacher)
        told = (await begun(cloud, teacher, len(content))).data
        path, where = f"{DIRECT}{told['upload_id']}/", f"{DIRECT}{told['upload_id']}/complete/"
        assert await send(told["parts"][0], content[:PART]) == 200
        known = row(cloud, path)
        await store.drop_parts(known["key"], known["store_upload"])
        assert (await client.post(where)).code == "UPLOAD_INCOMPLETE"
        again = (await client.get(path)).data
        assert ([one["number"] for one in again["parts"]], again["stored"]) == ([1, 2], [])
        assert row(cloud, path)["store_upload"] != known["store_upload"]
        lost = "UPDATE uploads SET store_upload = NULL WHERE id = :id"
        cloud.c.db.system_sync(lambda s: s.execute(text(lost), {"id": told["upload_id"]}))
        assert (await client.post(where)).code == "UPLOAD_INCOMPLETE"
        for link in (await client.get(path)).data["parts"]:
            assert await send(link, pieces(content)[link["number"]]) == 200
        assert (await client.post(where)).data["state"] == "scanning"
        assert await read(cloud, UUID(told["file"]["id"])) == content


@pytest.mark.gen_test(timeout=60)
async def test_a_store_that_fails_at_the_beginning_leaves_nothing(
    world: World, database: DatabaseUrls, teacher: Someone, object_storage: OwnSeaweed, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> str:
        raise StoreUnavailable("s3", "of the test")

    async with another(world, database, **in_s3(object_storage)) as cloud:
        monkeypatch.setattr(cloud.c.stores["s3"], "begin_parts", away)
        answer = await begun(cloud, teacher, 100)
        assert (answer.status, answer.code) == (424, "STORE_UNAVAILABLE")
        assert used(cloud, teacher) == 0
        assert (await cloud.of(teacher).get(f"{FILES}?status=uploading")).data["count"] == 0


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
        async with limited(cloud, database, person_storage_bytes=99) as small:
            assert (await begun(small, teacher, 100)).code == "QUOTA_EXCEEDED"
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
