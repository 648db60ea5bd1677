"""Resumable uploads into a real S3, in its parts of 8 MiB."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from edurise.adapters.provision import DatabaseUrls
from tests.harness.errands import run_actors
from tests.harness.filing import FILES, column
from tests.harness.object_storage import OwnSeaweed
from tests.harness.world import Someone, World
from tests.harness.worlds import another
from tests.http.test_direct_uploads import PART, in_s3, read
from tests.http.test_tus import call, create, noise, offset_of, patch, row, upload_id, used
from tests.http.test_tus_faults import lose_tail, lose_upload


@pytest.fixture
def teacher(world: World) -> Someone:
    return world.person("teacher", world.organization())


@asynccontextmanager
async def in_cloud(world: World, database: DatabaseUrls, storage: OwnSeaweed) -> AsyncIterator[World]:
    async with another(world, database, **in_s3(storage)) as cloud:
        yield cloud


async def left_of(cloud: World, path: str) -> list[str]:
    """Keys of this upload's objects and unfinished parts."""
    store, name = cloud.c.stores["s3"], str(upload_id(path))
    found = [one.key async for one in store.listing()] + [one.key async for one in store.unfinished()]
    return [key for key in found if name in key]


@pytest.mark.gen_test(timeout=60)
@pytest.mark.parametrize(
    "cuts",
    [(100,), (1, 99), (PART,), (PART - 1, 2), (3, PART, PART + 7), (PART + 1, 1, 2 * PART - 2, 12_345)],
    ids=["whole", "two tails", "a part", "tail and byte", "odd", "many"],
)
async def test_what_is_stored_is_what_was_sent(
    world: World, database: DatabaseUrls, teacher: Someone, object_storage: OwnSeaweed, cuts: tuple[int, ...]
) -> None:
    content = noise(sum(cuts))
    async with in_cloud(world, database, object_storage) as cloud:
        path = await create(cloud, teacher, len(content))
        at = 0
        for size in cuts:
            assert (await patch(cloud, teacher, path, at, content[at : at + size])).status == 204
            at += size
            assert await offset_of(cloud, teacher, path) == at
        file_id: UUID = row(cloud, path)["file_id"]
        await run_actors(cloud, "files.inspect", "files.forsake")
        assert column(cloud, file_id, "state") == "ready"
        assert column(cloud, file_id, "sha256") == hashlib.sha256(content).hexdigest()
        assert await read(cloud, file_id) == content
        assert (await cloud.of(teacher).get(f"{FILES}{file_id}/download/")).content == content
        assert await left_of(cloud, path) == [column(cloud, file_id, "key")]


@pytest.mark.gen_test(timeout=60)
@pytest.mark.parametrize(("lose", "left"), [(lose_upload, 0), (lose_tail, 2 * PART)])
async def test_what_the_bucket_lost_is_sent_again(
    world: World, database: DatabaseUrls, teacher: Someone, object_storage: OwnSeaweed, lose, left: int
) -> None:
    """A part that was replaced is no case here: services may keep both, and join the one that is named by its tag."""
    content = noise(2 * PART + 200)
    async with in_cloud(world, database, object_storage) as cloud:
        path = await create(cloud, teacher, len(content))
        sent = 2 * PART + 100
        assert (await patch(cloud, teacher, path, 0, content[:sent])).status == 204
        await lose(cloud.c.stores["s3"], row(cloud, path))
        answer = await patch(cloud, teacher, path, sent, content[sent:])
        assert (answer.status, answer.code) == (409, "UPLOAD_OFFSET_MISMATCH")
        assert await offset_of(cloud, teacher, path) == left
        assert (await patch(cloud, teacher, path, left, content[left:])).status == 204
        assert await read(cloud, row(cloud, path)["file_id"]) == content


@pytest.mark.gen_test(timeout=60)
async def test_giving_up_leaves_no_bytes(
    world: World, database: DatabaseUrls, teacher: Someone, object_storage: OwnSeaweed
) -> None:
    async with in_cloud(world, database, object_storage) as cloud:
        path = await create(cloud, teacher, 3 * PART)
        await patch(cloud, teacher, path, 0, noise(PART + 9))
        assert len(await left_of(cloud, path)) == 2
        assert (await call(cloud, teacher, "DELETE", path)).status == 204
        await run_actors(cloud, "files.forsake")
        assert (await left_of(cloud, path), used(cloud, teacher)) == ([], 0)
