"""Bytes of files over real HTTP: whole, in parts and on conditions, from a plain file, a sealed one and a bucket."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from edurise.adapters.provision import DatabaseUrls
from handlers.bytes_out import PlainFile
from tests.harness.client import Answer
from tests.harness.filing import FILES, TEXT, column, kept, settle, shared
from tests.harness.machine import require
from tests.harness.object_storage import OwnSeaweed
from tests.harness.services import scratch
from tests.harness.world import Someone, World
from tests.harness.worlds import another

STORAGE_PORT = 23440
CONTENT = b"".join(b"%06d over, under\n" % n for n in range(70_000))
"""More than one piece of a store, and no two pieces alike."""
KINDS = ["plain", "sealed", "bucket"]
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360000000000400010d0a2db40000000049454e44ae426082"
)


@pytest.fixture(scope="module")
def storage() -> Iterator[OwnSeaweed]:
    require("weed")
    with scratch() as directory, OwnSeaweed(directory, STORAGE_PORT) as running:
        yield running


@asynccontextmanager
async def keeping(
    kind: str, world: World, database: DatabaseUrls, request: pytest.FixtureRequest
) -> AsyncIterator[World]:
    """A web process that keeps new files in this kind of store."""
    if kind == "plain":
        yield world
        return
    changes: dict[str, object] = {"file_keys": (f"k1:{'5a' * 32}",)}
    if kind == "bucket":
        given: OwnSeaweed = request.getfixturevalue("storage")
        changes = {name.removeprefix("EDU_").lower(): value for name, value in given.settings().items()}
        changes["s3_path_style"] = True
    async with another(world, database, **changes) as other:
        yield other


def teacher_of(world: World) -> Someone:
    return world.person("teacher", world.organization())


def path_of(file_id: UUID, query: str = "") -> str:
    return f"{FILES}{file_id}/download/{query}"


async def link_of(world: World, who: Someone, file_id: UUID, **query: object) -> str:
    """The path of a signed link."""
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    answer = await world.of(who).get(f"{FILES}{file_id}/secure_url/?{asked}")
    assert answer.status == 200, answer.content
    found: str = answer.data["secure_url"]
    return found.removeprefix(world.base_url)


def length(answer: Answer) -> int:
    return int(answer.headers["Content-Length"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.gen_test
async def test_whole_and_in_parts_from_every_store(
    kind: str, world: World, database: DatabaseUrls, request: pytest.FixtureRequest
) -> None:
    async with keeping(kind, world, database, request) as here:
        teacher = teacher_of(here)
        file_id = await kept(here, teacher, CONTENT)
        assert (here.c.stores[column(here, file_id, "store")].path(column(here, file_id, "key")) is None) == (
            kind != "plain"
        )
        client, path = here.of(teacher), path_of(file_id)
        whole = await client.get(path)
        assert (whole.status, whole.content) == (200, CONTENT)
        assert length(whole) == len(CONTENT)
        for asked, expected in {
            "bytes=0-0": CONTENT[:1],
            "bytes=5-1048580": CONTENT[5:1_048_581],
            "bytes=1048576-": CONTENT[1_048_576:],
            "bytes=-17": CONTENT[-17:],
        }.items():
            part = await client.get(path, Range=asked)
            assert (part.status, part.content) == (206, expected)
            start = (
                CONTENT.index(expected) if len(expected) > 17 else (0 if asked == "bytes=0-0" else len(CONTENT) - 17)
            )
            end = start + len(expected) - 1
            assert part.headers["Content-Range"] == f"bytes {start}-{end}/{len(CONTENT)}"
        several = await client.get(path, Range="bytes=0-1,4-5,9-")
        assert (several.status, several.content) == (200, CONTENT)
        behind = await client.get(path, Range=f"bytes={len(CONTENT)}-")
        assert (behind.status, behind.code) == (416, "RANGE_NOT_SATISFIABLE")
        assert behind.headers["Content-Range"] == f"bytes */{len(CONTENT)}"
        head = await client.call("HEAD", path)
        assert (head.status, head.content, length(head)) == (200, b"", len(CONTENT))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.gen_test
async def test_an_empty_file_is_sent_too(
    kind: str, world: World, database: DatabaseUrls, request: pytest.FixtureRequest
) -> None:
    async with keeping(kind, world, database, request) as here:
        teacher = teacher_of(here)
        file_id = await kept(here, teacher, b"")
        for headers in ({}, {"Range": "bytes=0-"}):
            got = await here.of(teacher).get(path_of(file_id), **headers)
            assert (got.status, got.content, length(got)) == (200, b"", 0)
        assert column(here, file_id, "download_count") == 2


@pytest.mark.gen_test
async def test_conditions_over_http(world: World) -> None:
    teacher = teacher_of(world)
    file_id = await kept(world, teacher, CONTENT)
    client, path = world.of(teacher), path_of(file_id)
    first = await client.get(path)
    tag, at = first.headers["ETag"], first.headers["Last-Modified"]
    for headers in ({"If-None-Match": tag}, {"If-None-Match": f"W/{tag}"}, {"If-Modified-Since": at}):
        for method in ("GET", "HEAD"):
            same = await client.call(method, path, headers=headers)
            assert (same.status, same.content, same.headers["ETag"]) == (304, b"", tag)
            assert "Content-Length" not in same.headers
    refused = await client.get(path, **{"If-Match": '"other"'})
    assert (refused.status, refused.code) == (412, "PRECONDITION_FAILED")
    assert (await client.call("HEAD", path, headers={"If-Match": '"other"'})).status == 412
    resumed = await client.get(path, **{"Range": "bytes=100-", "If-Range": tag})
    assert (resumed.status, resumed.content) == (206, CONTENT[100:])
    renewed = await client.get(path, **{"Range": "bytes=100-", "If-Range": '"older"'})
    assert (renewed.status, renewed.content) == (200, CONTENT)


@pytest.mark.gen_test
async def test_a_download_counts_once(world: World) -> None:
    teacher = teacher_of(world)
    file_id = await kept(world, teacher, CONTENT)
    client, path = world.of(teacher), path_of(file_id)
    tag = (await client.get(path)).headers["ETag"]
    assert column(world, file_id, "download_count") == 1
    await client.call("HEAD", path)
    await client.get(path, Range="bytes=5-")
    await client.get(path, Range="bytes=-5")
    await client.get(path, Range="bytes=99999999-")
    await client.get(path, **{"If-None-Match": tag})
    await client.get(path, **{"If-Match": '"other"'})
    await client.get(path, **{"Range": "bytes=5-", "If-Range": tag})
    assert column(world, file_id, "download_count") == 1
    await client.get(path, Range="bytes=0-5")
    await client.get(path, Range="bytes=-99999999")
    await client.get(path, Range="bytes=5-,6-")
    await client.get(path, **{"Range": "bytes=5-", "If-Range": '"older"'})
    assert column(world, file_id, "download_count") == 5
    log = (await client.get(f"{FILES}{file_id}/statistics/")).data
    assert (log["download_count"], log["unique_downloaders"], len(log["access_logs"])) == (5, 1, 5)


@pytest.mark.gen_test
async def test_the_day_s_downloads_end(world: World, database: DatabaseUrls) -> None:
    async with another(world, database, downloads_per_day={"basic": 1, "pro": 1, "enterprise": 1}) as here:
        teacher = teacher_of(here)
        file_id = await kept(here, teacher)
        client, path = here.of(teacher), path_of(file_id)
        assert (await client.get(path)).status == 200
        refused = await client.get(path)
        assert (refused.status, refused.code) == (429, "DAILY_LIMIT_REACHED")
        assert (await client.get(path, Range="bytes=5-")).status == 206


@pytest.mark.gen_test
async def test_headers_of_every_answer_with_bytes(world: World) -> None:
    teacher = teacher_of(world)
    file_id = await kept(world, teacher, TEXT, "knots.txt")
    answers = [
        await world.of(teacher).get(path_of(file_id)),
        await world.of(teacher).get(path_of(file_id), Range="bytes=1-2"),
        await world.of(teacher).call("HEAD", path_of(file_id)),
        await world.anonymous.get(await link_of(world, teacher, file_id)),
    ]
    for answer in answers:
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert answer.headers["Cache-Control"] == "private, no-cache"
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
        assert answer.headers["Vary"] == "Origin"
        assert answer.headers["ETag"] == f'"{column(world, file_id, "sha256")}"'
        assert answer.headers["Content-Disposition"].startswith('attachment; filename="knots.txt"')
        assert "Content-Encoding" not in answer.headers
    assert answers[-1].headers["Referrer-Policy"] == "no-referrer"
    assert answers[0].headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.gen_test
async def test_only_safe_types_are_shown(world: World) -> None:
    teacher = teacher_of(world)
    file_id = await kept(world, teacher, TEXT)
    client, inline = world.of(teacher), path_of(file_id, "?disposition=inline")
    for media_type, kind in {
        "text/plain": "inline",
        "image/png": "inline",
        "application/pdf": "inline",
        "video/mp4": "inline",
        "text/html": "attachment",
        "image/svg+xml": "attachment",
        "application/xhtml+xml": "attachment",
        "text/xml": "attachment",
        "text/javascript": "attachment",
        "application/octet-stream": "attachment",
    }.items():
        settle(world, file_id, TEXT, media_type=media_type)
        got = await client.get(inline)
        assert got.headers["Content-Disposition"].partition(";")[0] == kind, media_type
        assert got.headers["Content-Type"].partition(";")[0] == media_type
        policy = got.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert ("sandbox" in policy) == (media_type != "application/pdf")
        assert "script" not in policy
        assert ("allow-same-origin" in policy) == (media_type == "video/mp4")
        assert (await client.get(path_of(file_id))).headers["Content-Disposition"].startswith("attachment")
    assert (await client.get(path_of(file_id, "?disposition=page"))).status == 400


@pytest.mark.parametrize(
    "name",
    [
        'x"; filename="evil.exe',
        "a\r\nSet-Cookie: a=b\r\n\r\n<script>.txt",
        "\u202etxt.exe",
        "😀 ünïcödé.txt",
        "a;b=c%0d%0a.txt",
        "\x00.txt",
    ],
)
@pytest.mark.gen_test
async def test_no_name_gets_out_of_its_header(world: World, name: str) -> None:
    teacher = teacher_of(world)
    file_id = await kept(world, teacher)
    settle(world, file_id, TEXT, name=name.replace("\x00", ""))
    for path in (path_of(file_id), await link_of(world, teacher, file_id)):
        client = world.of(teacher) if path.startswith(FILES) else world.anonymous
        got = await client.exchange("GET", path)
        if got.status == 404:  # a path with control characters matches no route
            assert not name.isprintable()
            continue
        assert (got.status, got.content) == (200, TEXT)
        told = got.headers["Content-Disposition"]
        assert told.isascii()
        assert told.isprintable()
        assert told.count('"') == 2
        assert "Set-Cookie" not in got.headers


@pytest.mark.gen_test
async def test_pages_of_other_origins_may_read_what_they_need(world: World, database: DatabaseUrls) -> None:
    origin = "https://ui.example"
    async with another(world, database, cors_origins=(origin,)) as here:
        teacher = teacher_of(here)
        file_id = await kept(here, teacher)
        asks = {"Origin": origin, "Access-Control-Request-Method": "GET"}
        told = await here.anonymous.call("OPTIONS", path_of(file_id), headers=asks)
        assert {"authorization", "range", "if-range"} <= set(
            told.headers["Access-Control-Allow-Headers"].replace(" ", "").split(",")
        )
        got = await here.of(teacher).get(path_of(file_id), Origin=origin, Range="bytes=0-3")
        exposed = set(got.headers["Access-Control-Expose-Headers"].replace(" ", "").split(","))
        assert {"Content-Disposition", "Content-Range", "Accept-Ranges", "Content-Length", "ETag"} <= exposed
        assert got.headers["Access-Control-Allow-Origin"] == origin
        link = await link_of(here, teacher, file_id)
        assert (await here.anonymous.get(link)).headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    async with another(world, database, cors_origins=()) as here:
        link = await link_of(here, teacher, file_id)
        assert (await here.anonymous.get(link)).headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.gen_test
async def test_the_alias_is_the_same(world: World) -> None:
    teacher = teacher_of(world)
    file_id = await kept(world, teacher)
    for method, content in (("GET", TEXT), ("HEAD", b"")):
        got = await world.of(teacher).call(method, f"/api/v1{path_of(file_id)}")
        assert (got.status, got.content, length(got)) == (200, content, len(TEXT))


@pytest.mark.gen_test
async def test_a_file_that_is_not_ready_or_not_there(world: World) -> None:
    teacher = teacher_of(world)
    file_id = await kept(world, teacher)
    client = world.of(teacher)
    for state, code in {
        "scanning": "FILE_NOT_READY",
        "quarantined": "FILE_QUARANTINED",
        "failed": "FILE_FAILED",
    }.items():
        settle(world, file_id, TEXT, state=state)
        refused = await client.get(path_of(file_id))
        assert (refused.status, refused.code) == (409, code)
    settle(world, file_id, TEXT)
    await world.c.stores["local"].delete([column(world, file_id, "key")])
    lost = await client.get(path_of(file_id))
    assert (lost.status, lost.code) == (424, "STORE_UNAVAILABLE")
    assert "Content-Disposition" not in lost.headers
    assert (await client.get(path_of(uuid4()))).status == 404
    settle(world, file_id, TEXT, store="elsewhere")
    assert (await client.get(path_of(file_id))).code == "STORE_UNAVAILABLE"


@pytest.mark.gen_test
async def test_a_file_of_another_size_than_its_row_says_is_not_begun(world: World) -> None:
    teacher = teacher_of(world)
    file_id = await kept(world, teacher)
    settle(world, file_id, TEXT, size_bytes=len(TEXT) + 1)
    assert (await world.of(teacher).get(path_of(file_id))).code == "STORE_UNAVAILABLE"


@pytest.mark.gen_test
async def test_a_cold_file_is_the_same(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = teacher_of(world)
    file_id = await kept(world, teacher, CONTENT)
    plain = world.c.stores["local"].path(column(world, file_id, "key"))
    assert plain is not None
    descriptor = os.open(plain, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)
    assert (await world.of(teacher).get(path_of(file_id))).content == CONTENT
    monkeypatch.setattr(PlainFile, "is_in_memory", lambda *_: False)
    assert (await world.of(teacher).get(path_of(file_id))).content == CONTENT


@pytest.mark.gen_test
async def test_many_download_at_once(world: World) -> None:
    teacher = teacher_of(world)
    file_id = await kept(world, teacher, CONTENT)
    client = world.of(teacher)
    answers = await asyncio.gather(*(client.get(path_of(file_id), Range=f"bytes={n}-") for n in range(20)))
    assert all(answer.content == CONTENT[n:] for n, answer in enumerate(answers))


@pytest.mark.gen_test
async def test_nginx_is_told_to_send_what_it_can(world: World, database: DatabaseUrls) -> None:
    async with another(world, database, accel_location="/protected/") as here:
        teacher = teacher_of(here)
        file_id = await kept(here, teacher)
        client, path = here.of(teacher), path_of(file_id)
        told = await client.get(path)
        assert (told.status, told.content) == (200, b"")
        assert told.headers["X-Accel-Redirect"] == "/protected/" + column(here, file_id, "key")
        assert told.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert told.headers["Content-Disposition"].startswith("attachment")
        assert column(here, file_id, "download_count") == 1
        part = await client.get(path, Range="bytes=1-3")
        assert "X-Accel-Redirect" in part.headers
        tag = told.headers["ETag"]
        for headers in ({"Range": "bytes=1-3", "If-Range": tag}, {"Range": "bytes=1-3", "If-Match": tag}):
            ours = await client.get(path, **headers)  # nginx does not know our tags
            assert (ours.status, ours.content) == (206, TEXT[1:4])
            assert "X-Accel-Redirect" not in ours.headers
        assert (await client.get(path, **{"If-None-Match": tag})).status == 304
        head = await client.call("HEAD", path)
        assert (length(head), "X-Accel-Redirect" in head.headers) == (len(TEXT), False)
    async with another(world, database, accel_location="/protected/", file_keys=(f"k1:{'5a' * 32}",)) as here:
        teacher = teacher_of(here)
        file_id = await kept(here, teacher)
        got = await here.of(teacher).get(path_of(file_id))
        assert (got.content, "X-Accel-Redirect" in got.headers) == (TEXT, False)


@pytest.mark.gen_test
async def test_a_link_to_a_bucket_s_file_leads_there(
    world: World, database: DatabaseUrls, request: pytest.FixtureRequest
) -> None:
    async with keeping("bucket", world, database, request) as here:
        teacher = teacher_of(here)
        file_id = await kept(here, teacher, CONTENT, "Knöten.txt")
        link = await link_of(here, teacher, file_id, disposition="inline")
        sent_on = await here.anonymous.get(link, Range="bytes=0-9")
        assert (sent_on.status, sent_on.content) == (302, b"")
        assert sent_on.headers["Cache-Control"] == "no-store"
        assert sent_on.headers["Referrer-Policy"] == "no-referrer"
        assert column(here, file_id, "download_count") == 1
        there = await here.anonymous.at("").exchange("GET", sent_on.headers["Location"], headers={"Range": "bytes=3-9"})
        assert (there.status, there.content) == (206, CONTENT[3:10])
        assert there.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert there.headers["Content-Disposition"].startswith('inline; filename="Knoten.txt"')
        head = await here.anonymous.call("HEAD", link)
        assert (head.status, length(head)) == (200, len(CONTENT))
        tag = head.headers["ETag"]
        assert (await here.anonymous.get(link, **{"If-None-Match": tag})).status == 304


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.gen_test
async def test_a_public_file_is_kept_for_good(
    kind: str, world: World, database: DatabaseUrls, request: pytest.FixtureRequest
) -> None:
    async with keeping(kind, world, database, request) as here:
        teacher = teacher_of(here)
        file_id = await kept(here, teacher, CONTENT, access_level="public")
        shown = (await here.of(teacher).get(f"{FILES}{file_id}/")).data["file"]
        path = shown.removeprefix(here.base_url)
        assert path.startswith(f"/media/{file_id}/")
        got = await here.anonymous.get(path)
        assert (got.status, got.content) == (200, CONTENT)
        assert got.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        settle(here, file_id, CONTENT, expires_at=here.clock.now() + timedelta(hours=1))
        got = await here.anonymous.get(path)  # no cache keeps it for longer than it is available
        assert got.headers["Cache-Control"] == "public, max-age=3600"
        settle(here, file_id, CONTENT, expires_at=None)
        assert got.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        assert got.headers["Content-Disposition"].startswith("inline")
        tag = got.headers["ETag"]
        assert (await here.anonymous.get(path, **{"If-None-Match": tag})).status == 304
        assert (await here.anonymous.get(path, Range="bytes=2-4")).content == CONTENT[2:5]
        assert length(await here.anonymous.call("HEAD", path)) == len(CONTENT)
        assert (await here.anonymous.get(path, Authorization="Bearer nonsense")).status == 200
        for wrong in (path.replace(str(file_id), str(uuid4())), path.replace(path.split("/")[3], "0" * 32)):
            assert (await here.anonymous.get(wrong)).status == 404
        settle(here, file_id, CONTENT, access="organization")
        assert (await here.anonymous.get(path)).status == 404
        assert (await here.of(teacher).get(path)).status == 404, "the path of the public is the public's"


@pytest.mark.gen_test
async def test_a_small_picture_is_shown_and_is_no_download(world: World) -> None:
    teacher = teacher_of(world)
    file_id = await kept(world, teacher, access_level="public")
    key = f"{column(world, file_id, 'key')}.thumb"

    async def small() -> AsyncIterator[bytes]:
        yield PNG

    await world.c.stores["local"].put(key, small())
    settle(world, file_id, TEXT, thumbnail_key=key, thumbnail_type="image/png", thumbnail_bytes=len(PNG))
    public = (await world.of(teacher).get(f"{FILES}{file_id}/")).data["thumbnail"].removeprefix(world.base_url)
    settle(world, file_id, TEXT, access="owner")
    signed = (await world.of(teacher).get(f"{FILES}{file_id}/")).data["thumbnail"].removeprefix(world.base_url)
    got = await world.anonymous.get(signed)
    assert (got.status, got.content, got.headers["Content-Type"]) == (200, PNG, "image/png")
    assert got.headers["Content-Disposition"].startswith("inline")
    assert (await world.anonymous.get(public)).status == 404
    settle(world, file_id, TEXT, access="public")
    got = await world.anonymous.get(public)
    assert (got.content, got.headers["Cache-Control"]) == (PNG, "public, max-age=31536000, immutable")
    assert got.headers["ETag"] != (await world.of(teacher).get(path_of(file_id))).headers["ETag"]
    assert column(world, file_id, "download_count") == 1


@pytest.mark.gen_test
async def test_who_is_shared_with_reads_until_it_ends(world: World) -> None:
    teacher = teacher_of(world)
    reader = world.person(tenant_id=teacher.tenant_id)
    file_id = await kept(world, teacher)
    assert (await world.of(reader).get(path_of(file_id))).status == 404
    shared(world, file_id, reader)
    assert (await world.of(reader).get(path_of(file_id))).content == TEXT
    settle(world, file_id, TEXT, expires_at=world.clock.now() + timedelta(seconds=1))
    world.clock.advance(timedelta(seconds=1))
    refused = await world.of(reader).get(path_of(file_id))
    assert (refused.status, refused.code) == (409, "FILE_EXPIRED")
    assert (await world.of(teacher).get(path_of(file_id))).content == TEXT
