"""Uploads and downloads while S3 fails, stalls and lies behind a hostile proxy: a clear error, and nothing half ready."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest
from tornado.simple_httpclient import HTTPStreamClosedError

from edurise.adapters.provision import DatabaseUrls
from tests.harness.errands import run_actors
from tests.harness.filing import FILES, column, kept, upload
from tests.harness.object_storage import OwnSeaweed
from tests.harness.world import Someone, World
from tests.harness.worlds import another
from tests.http.test_direct_uploads import in_s3
from tests.http.test_form_uploads import NOTHING, rows
from tests.http.test_tus import create, noise, offset_of, patch
from tests.simulators.hostile_proxy import Fault, HostileProxy

PROXY_PORT = 23090
PART = 8 * 1024 * 1024


@asynccontextmanager
async def behind(
    world: World, database: DatabaseUrls, storage: OwnSeaweed
) -> AsyncIterator[tuple[World, HostileProxy]]:
    """A server whose S3 is reached through the proxy."""
    proxy = HostileProxy(storage.port)
    proxy.start(PROXY_PORT)
    try:
        settings = in_s3(storage) | {"s3_endpoint_url": f"http://127.0.0.1:{PROXY_PORT}"}
        async with another(world, database, **settings) as cloud:
            yield cloud, proxy
    finally:
        proxy.stop()


@pytest.fixture
def teacher(world: World) -> Someone:
    return world.person("teacher", world.organization())


@pytest.mark.gen_test(timeout=90)
@pytest.mark.parametrize("mode", ["error", "slow_down", "refuse", "break_upload", "page"])
@pytest.mark.parametrize("size", [1000, PART + 1000], ids=["small", "in parts"])
async def test_a_form_while_the_store_fails(
    world: World, database: DatabaseUrls, teacher: Someone, object_storage: OwnSeaweed, mode: str, size: int
) -> None:
    async with behind(world, database, object_storage) as (cloud, proxy):
        with proxy.faulty(Fault(mode)):
            answer = await upload(cloud, teacher, noise(size))
            assert (answer.status, answer.code) == (424, "STORE_UNAVAILABLE"), answer.content
        assert rows(cloud, teacher) == NOTHING
        assert (await cloud.of(teacher).get(FILES)).data["count"] == 0


@pytest.mark.gen_test(timeout=90)
async def test_an_upload_goes_on_once_the_store_is_back(
    world: World, database: DatabaseUrls, teacher: Someone, object_storage: OwnSeaweed
) -> None:
    content = noise(2 * PART + 5000)
    async with behind(world, database, object_storage) as (cloud, proxy):
        path = await create(cloud, teacher, len(content))
        assert (await patch(cloud, teacher, path, 0, content[: PART + 10])).status == 204
        with proxy.faulty(Fault("error")):
            answer = await patch(cloud, teacher, path, PART + 10, content[PART + 10 :])
            assert (answer.status, answer.code) == (424, "STORE_UNAVAILABLE")
        at = await offset_of(cloud, teacher, path)
        assert at == PART + 10
        assert (await patch(cloud, teacher, path, at, content[at:])).status == 204
        (file,) = (await cloud.of(teacher).get(FILES)).data["results"]
        await run_actors(cloud, "files.inspect")
        assert (await cloud.of(teacher).get(f"{FILES}{file['id']}/download/")).content == content


@pytest.mark.gen_test(timeout=90)
async def test_bytes_that_are_cut_on_their_way_are_not_taken_for_a_file(
    world: World, database: DatabaseUrls, teacher: Someone, object_storage: OwnSeaweed
) -> None:
    content = noise(3_000_000)
    async with behind(world, database, object_storage) as (cloud, proxy):
        answer = await upload(cloud, teacher, content)
        file_id = UUID(answer.data["id"])
        with proxy.faulty(Fault("truncate")):
            await run_actors(cloud, "files.inspect")
            assert column(cloud, file_id, "state") == "scanning"  # it is inspected again, not ready and not failed
        kept_id = await kept(cloud, teacher, content)
        # The headers were sent: all that is left is to end before the promised length.
        with proxy.faulty(Fault("truncate")), pytest.raises(HTTPStreamClosedError):
            await cloud.of(teacher).exchange("GET", f"{FILES}{kept_id}/download/")
        whole = await cloud.of(teacher).get(f"{FILES}{kept_id}/download/")
        assert whole.content == content
