"""Resumable uploads by tus: every byte that was acknowledged is kept, however the requests are cut or cut off."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from actors.files import end_uploads
from edurise.adapters.provision import DatabaseUrls
from edurise.authz import About
from edurise.errors import Conflict, NotFound, Upstream
from edurise.files import holding
from edurise.files.flows import cleaning, resuming
from edurise.files.permissions import Files
from edurise.files.ports import StoreUnavailable
from tests.harness.client import Answer
from tests.harness.errands import run_actors
from tests.harness.filing import FILES, column
from tests.harness.waiting import eventually
from tests.harness.world import Someone, World
from tests.http.test_form_uploads import limited

TUS = f"{FILES}tus/"
BYTES = "application/offset+octet-stream"
SMALL_PART = 65_536


@pytest.fixture
def teacher(world: World) -> Someone:
    return world.person("teacher", world.organization())


class SmallParts:
    """The real store with small parts, so that a test need not send megabytes."""

    part_bytes = SMALL_PART

    def __init__(self, store) -> None:
        self.store = store
        self.fails: set[str] = set()

    def __getattr__(self, name):
        if name in self.fails:
            raise StoreUnavailable("local", "of the test")
        return getattr(self.store, name)


@pytest.fixture
def store(world: World):
    real = world.c.stores["local"]
    world.c.stores["local"] = small = SmallParts(real)
    yield small
    world.c.stores["local"] = real


def noise(size: int) -> bytes:
    """Text, so that its name can be that of a text."""
    line = b"".join(hashlib.sha256(str(number).encode()).hexdigest().encode() for number in range(size // 64 + 1))
    return line[:size]


async def once(content: bytes) -> AsyncIterator[bytes]:
    yield content


def metadata(**fields: str) -> str:
    given = {"filename": "knots.txt", "category": "documents"} | fields
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in given.items())


async def call(world: World, who: Someone, method: str, path: str, raw: bytes | None = None, **headers: str) -> Answer:
    given = {"Tus-Resumable": "1.0.0"} | {name.replace("_", "-"): value for name, value in headers.items()}
    if raw is not None:
        given.setdefault("Content-Type", BYTES)
    return await world.of(who).call(method, path, raw=raw, headers=given)


async def create(world: World, who: Someone, size: int, **fields: str) -> str:
    answer = await call(world, who, "POST", TUS, Upload_Length=str(size), Upload_Metadata=metadata(**fields))
    assert answer.status == 201, answer.content
    assert answer.headers["Location"].startswith(world.base_url)
    return answer.headers["Location"].removeprefix(world.base_url)


async def patch(world: World, who: Someone, path: str, offset: int, content: bytes, **headers: str) -> Answer:
    return await call(world, who, "PATCH", path, content, Upload_Offset=str(offset), **headers)


async def offset_of(world: World, who: Someone, path: str) -> int:
    answer = await call(world, who, "HEAD", path)
    assert answer.status == 200, answer.content
    return int(answer.headers["Upload-Offset"])


def upload_id(path: str) -> UUID:
    return UUID(path.rstrip("/").rpartition("/")[2])


def row(world: World, path: str) -> dict:
    query = "SELECT * FROM uploads WHERE id = :id"
    found = world.c.db.system_sync(lambda s: s.execute(text(query), {"id": upload_id(path)}).mappings().one())
    return dict(found)


async def content_of(world: World, path: str) -> bytes:
    file_id = row(world, path)["file_id"]
    store = world.c.stores["local"]
    return b"".join([chunk async for chunk in store.read(column(world, file_id, "key"))])


def used(world: World, who: Someone) -> int:
    query = "SELECT coalesce(max(used), 0) FROM quota_usage WHERE tenant_id = :t AND resource = 'storage_bytes'"
    return world.c.db.system_sync(lambda s: s.scalar(text(query), {"t": who.tenant_id}))


@pytest.mark.gen_test
async def test_an_upload_in_several_requests(world: World, teacher: Someone, store: SmallParts) -> None:
    content = noise(3 * SMALL_PART + 777)
    path = await create(world, teacher, len(content), title="Knots", tags='["rope"]')
    said = (await call(world, teacher, "HEAD", path)).headers["Upload-Metadata"]
    assert said == metadata(title="Knots", tags='["rope"]')
    listed = (await world.of(teacher).get(f"{FILES}?status=uploading")).data["results"]
    assert [(one["title"], one["file_size"], one["tags"]) for one in listed] == [("Knots", len(content), ["rope"])]
    at = 0
    for size in (1, SMALL_PART - 1, SMALL_PART + 5, 10, 2 * SMALL_PART):
        piece = content[at : at + size]
        answer = await patch(world, teacher, path, at, piece)
        at += len(piece)
        assert (answer.status, int(answer.headers["Upload-Offset"]), answer.content) == (204, at, b"")
        assert await offset_of(world, teacher, path) == at
    assert at == len(content)
    assert await content_of(world, path) == content
    file_id = row(world, path)["file_id"]
    assert (column(world, file_id, "state"), column(world, file_id, "media_type")) == ("scanning", "text/plain")
    await run_actors(world, "files.inspect", "files.forsake")
    assert column(world, file_id, "sha256") == hashlib.sha256(content).hexdigest()
    assert used(world, teacher) == len(content)
    kept = {one.key async for one in store.listing()}
    assert [key for key in kept if str(upload_id(path)) in key] == [column(world, file_id, "key")]


@given(data=st.data(), size=st.integers(0, 4 * SMALL_PART))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_however_it_is_cut_the_bytes_are_the_same(io_loop, world: World, store: SmallParts, data, size: int) -> None:
    edges = data.draw(
        st.lists(st.integers(0, size) | st.sampled_from([SMALL_PART - 1, SMALL_PART, SMALL_PART + 1]), max_size=6)
    )
    content = noise(size)

    async def run() -> None:
        who = world.person("teacher", world.organization())
        path = await create(world, who, size)
        at = 0
        for edge in [*sorted({min(edge, size) for edge in edges}), size]:
            if edge > at or edge == size:
                assert (await patch(world, who, path, at, content[at:edge])).status == 204
                at = edge
        assert await content_of(world, path) == content

    io_loop.run_sync(run)


@pytest.mark.gen_test
async def test_creation_may_bring_the_first_bytes(world: World, teacher: Someone, store: SmallParts) -> None:
    content = noise(100)
    for size in (100, 40):
        headers = {"Upload_Length": "100", "Upload_Metadata": metadata()}
        answer = await call(world, teacher, "POST", TUS, content[:size], **headers)
        assert (answer.status, answer.headers["Upload-Offset"]) == (201, str(size))
        path = answer.headers["Location"].removeprefix(world.base_url)
        if size < 100:
            await patch(world, teacher, path, size, content[size:])
        assert await content_of(world, path) == content


@pytest.mark.gen_test
async def test_creation_that_is_refused_leaves_nothing(world: World, teacher: Someone, store: SmallParts) -> None:
    """Nobody was told where the upload is, so nobody could go on with it."""
    wrong = f"sha1 {base64.b64encode(bytes(20)).decode()}"
    program = b"\x7fELF" + bytes(SMALL_PART + 96)
    for content, status, headers in (
        (noise(SMALL_PART + 101), 400, {}),
        (noise(SMALL_PART + 50), 460, {"Upload_Checksum": wrong}),
        (program, 400, {}),
        (noise(50), 415, {"Content_Type": "text/plain"}),
    ):
        given = {"Upload_Length": str(SMALL_PART + 100), "Upload_Metadata": metadata()} | headers
        assert (await call(world, teacher, "POST", TUS, content, **given)).status == status
        assert used(world, teacher) == 0
    assert (await world.of(teacher).get(f"{FILES}?status=uploading")).data["count"] == 0
    await run_actors(world, "files.forsake")
    mine = "SELECT key FROM uploads WHERE user_id = :id"
    keys = world.c.db.system_sync(lambda s: set(s.scalars(text(mine), {"id": teacher.id})))
    assert len(keys) == 3
    assert keys.isdisjoint([one.key async for one in store.listing()])
    assert keys.isdisjoint([one.key async for one in store.unfinished()])


@pytest.mark.gen_test
async def test_an_empty_file_needs_no_second_request(world: World, teacher: Someone) -> None:
    path = await create(world, teacher, 0)
    assert (row(world, path)["state"], await content_of(world, path)) == ("done", b"")
    assert await offset_of(world, teacher, path) == 0
    assert (await patch(world, teacher, path, 0, b"")).status == 204


@pytest.mark.gen_test
async def test_room_is_taken_when_an_upload_begins(world: World, database: DatabaseUrls, teacher: Someone) -> None:
    async with limited(world, database, person_storage_bytes=1000) as small:
        path = await create(small, teacher, 600)
        refused = await call(small, teacher, "POST", TUS, Upload_Length="401", Upload_Metadata=metadata())
        assert (refused.status, refused.code) == (409, "QUOTA_EXCEEDED")
        assert (await call(small, teacher, "DELETE", path)).status == 204
        await create(small, teacher, 401)
    assert used(world, teacher) == 401


@pytest.mark.gen_test
async def test_a_connection_that_breaks_loses_nothing_that_came(
    world: World, teacher: Someone, store: SmallParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = noise(3 * SMALL_PART)
    path = await create(world, teacher, len(content))
    sent = 2 * SMALL_PART + 1000
    gathered, gather = 0, resuming._Appending._gather

    async def counting(self: object, chunk: bytes, **how: bool) -> None:
        nonlocal gathered
        await gather(self, chunk, **how)
        gathered += len(chunk)

    monkeypatch.setattr(resuming._Appending, "_gather", counting)
    address = urlsplit(world.base_url)
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    head = (
        f"PATCH {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {teacher.access}\r\nTus-Resumable: 1.0.0\r\n"
        f"Content-Type: {BYTES}\r\nUpload-Offset: 0\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    writer.write(head.encode() + content[:sent])
    await writer.drain()
    await eventually(lambda: gathered == sent, "all that was sent is read")
    assert row(world, path)["offset_bytes"] == 2 * SMALL_PART
    busy = await patch(world, teacher, path, 2 * SMALL_PART, b"x")
    assert (busy.status, busy.code) == (409, "UPLOAD_BUSY")
    writer.transport.abort()
    await eventually(lambda: row(world, path)["holder"] is None, "the broken request lets go")
    assert await offset_of(world, teacher, path) == sent
    assert (await patch(world, teacher, path, sent, content[sent:])).status == 204
    assert await content_of(world, path) == content


@pytest.mark.gen_test
async def test_checksums_take_all_or_nothing(world: World, teacher: Someone, store: SmallParts) -> None:
    content = noise(2 * SMALL_PART + 50)
    path = await create(world, teacher, len(content))
    for algorithm in ("sha1", "md5", "sha256"):
        wrong = base64.b64encode(hashlib.new(algorithm, b"other").digest()).decode()
        answer = await patch(world, teacher, path, 0, content, Upload_Checksum=f"{algorithm} {wrong}")
        assert (answer.status, answer.code) == (460, "CHECKSUM_MISMATCH")
        assert await offset_of(world, teacher, path) == 0
    for bad in ("sha512 AAAA", "sha1", "sha1 !!!", "sha1 AAAA", "", "AAAA"):
        assert (await patch(world, teacher, path, 0, content, Upload_Checksum=bad)).status == 400, bad
    half = SMALL_PART + 7
    for start, end in ((0, half), (half, len(content))):
        right = base64.b64encode(hashlib.sha256(content[start:end]).digest()).decode()
        answer = await patch(world, teacher, path, start, content[start:end], Upload_Checksum=f"sha256 {right}")
        assert answer.status == 204
    assert await content_of(world, path) == content


@pytest.mark.gen_test
async def test_offsets_and_lengths_that_do_not_fit(world: World, teacher: Someone, store: SmallParts) -> None:
    path = await create(world, teacher, 10)
    for offset in (1, 10, 2**40):
        answer = await patch(world, teacher, path, offset, b"x")
        assert (answer.status, answer.code) == (409, "UPLOAD_OFFSET_MISMATCH")
    for offset in ("-1", "x", "", "1.5", "1_0"):
        answer = await call(world, teacher, "PATCH", path, b"x", **{"Upload-Offset": offset})
        assert answer.status == 400, offset
    too_long = await patch(world, teacher, path, 0, b"x" * 11)
    assert (too_long.status, too_long.code) == (400, "BAD_REQUEST")
    assert await offset_of(world, teacher, path) == 0
    full = await create(world, teacher, 10)
    assert (await patch(world, teacher, full, 0, b"x" * 10)).status == 204
    assert (await patch(world, teacher, full, 10, b"x")).status == 400
    assert (await patch(world, teacher, full, 10, b"")).status == 204
    assert await content_of(world, full) == b"x" * 10
    plain = await patch(world, teacher, path, 0, b"x", Content_Type="text/plain")
    assert plain.status == 415
    for length in ("-1", "x", "", "9" * 17):
        headers = {"Upload-Length": length, "Upload-Metadata": metadata()}
        assert (await call(world, teacher, "POST", TUS, **headers)).status == 400, length
    huge = await call(world, teacher, "POST", TUS, Upload_Length=str(10**14), Upload_Metadata=metadata())
    assert (huge.status, huge.code) == (413, "FILE_TOO_LARGE")
    no_length = await call(world, teacher, "POST", TUS, Upload_Defer_Length="1", Upload_Metadata=metadata())
    assert no_length.status == 400


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "given",
    [
        "",
        "filename",
        "filename a2Y=",
        "filename !!!,category ZG9j",
        "filename /w==,category ZG9j",
        metadata() + "," + metadata(),
        metadata(owner_id="x"),
        metadata(filename=""),
        metadata(category="nothing"),
        metadata(filename="knots.exe"),
        metadata(tags="x"),
        "x" * 20_000,
    ],
    ids=range(12),
)
async def test_metadata_that_says_nothing_good(world: World, teacher: Someone, given: str) -> None:
    answer = await call(world, teacher, "POST", TUS, Upload_Length="10", Upload_Metadata=given)
    assert answer.status == 400, answer.content
    assert used(world, teacher) == 0


@pytest.mark.gen_test
async def test_names_of_other_clients_and_names_with_tricks(world: World, teacher: Someone) -> None:
    for fields, name in (
        ({"filename": "", "name": "a.txt", "type": "text/html", "relativePath": "../../a"}, "a.txt"),
        ({"filename": "..\\..\\b\r\nSet-Cookie: x.txt"}, "bSet-Cookie_ x.txt"),
    ):
        path = await create(world, teacher, 10, **fields)
        assert column(world, row(world, path)["file_id"], "name") == name


@pytest.mark.gen_test
async def test_another_version_and_what_is_spoken_here(world: World, teacher: Someone) -> None:
    path = await create(world, teacher, 10)
    for method, where in (("POST", TUS), ("PATCH", path), ("DELETE", path), ("HEAD", path)):
        for version in ({"Tus-Resumable": "0.2.2"}, {}):
            raw = b"x" if method in ("POST", "PATCH") else None
            answer = await world.of(teacher).call(method, where, raw=raw, headers={"Content-Type": BYTES} | version)
            assert (answer.status, answer.headers["Tus-Version"]) == (412, "1.0.0"), method
    told = await world.anonymous.exchange("OPTIONS", TUS)
    assert (told.status, told.headers["Tus-Version"]) == (204, "1.0.0")
    assert set(told.headers["Tus-Extension"].split(",")) == {
        "creation", "creation-with-upload", "checksum", "termination", "expiration",
    }  # fmt: skip
    assert int(told.headers["Tus-Max-Size"]) >= 2**30
    browser = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "PATCH"}
    preflight = await world.anonymous.exchange("OPTIONS", path, headers=browser)
    allowed = preflight.headers["Access-Control-Allow-Headers"]
    assert {"tus-resumable", "upload-offset", "upload-metadata"} <= {one.strip() for one in allowed.split(",")}
    exposed = preflight.headers["Access-Control-Expose-Headers"]
    assert {"Location", "Upload-Offset", "Upload-Length"} <= {one.strip() for one in exposed.split(",")}


@pytest.mark.gen_test
async def test_termination_frees_room_rows_and_bytes(world: World, teacher: Someone, store: SmallParts) -> None:
    path = await create(world, teacher, 5 * SMALL_PART)
    await patch(world, teacher, path, 0, noise(2 * SMALL_PART + 9))
    assert used(world, teacher) == 5 * SMALL_PART
    assert (await call(world, teacher, "DELETE", path)).status == 204
    assert used(world, teacher) == 0
    for method in ("HEAD", "PATCH"):
        answer = await call(world, teacher, method, path, b"x" if method == "PATCH" else None, Upload_Offset="0")
        assert answer.status == 404
    assert (await call(world, teacher, "DELETE", path)).status == 204
    assert (await world.of(teacher).get(f"{FILES}?status=uploading")).data["count"] == 0
    await run_actors(world, "files.forsake")
    assert [one.key async for one in store.listing() if str(upload_id(path)) in one.key] == []
    assert [one.key async for one in store.unfinished() if str(upload_id(path)) in one.key] == []


@pytest.mark.gen_test
async def test_an_upload_expires(world: World, teacher: Someone, store: SmallParts) -> None:
    answer = await call(world, teacher, "POST", TUS, Upload_Length="99", Upload_Metadata=metadata())
    assert "GMT" in answer.headers["Upload-Expires"]
    path = answer.headers["Location"].removeprefix(world.base_url)
    await patch(world, teacher, path, 0, b"begun")
    world.clock.advance(timedelta(days=2, seconds=1))
    for step in (
        resuming.progress(world.c, teacher.principal, upload_id(path)),
        resuming.append(world.c, teacher.principal, upload_id(path), 5, once(b"x")),
    ):
        with pytest.raises(NotFound, match="UPLOAD_GONE"):
            await step
    await end_uploads(world.c)
    assert row(world, path)["state"] == "dropped"
    assert used(world, teacher) == 0


@pytest.mark.gen_test
async def test_nobody_else_touches_an_upload(world: World, teacher: Someone) -> None:
    path = await create(world, teacher, 10)
    people = {
        "colleague": (world.person("teacher", teacher.tenant_id), 404),
        "administrator": (world.person("admin", teacher.tenant_id), 403),
        "stranger": (world.person("admin", world.organization()), 404),
    }
    for name, (who, status) in people.items():
        for method in ("HEAD", "PATCH", "DELETE"):
            raw = b"x" if method == "PATCH" else None
            answer = await call(world, who, method, path, raw, Upload_Offset="0")
            assert answer.status == status, (method, name)
    missing = f"{TUS}{uuid4()}/"
    assert (await call(world, teacher, "HEAD", missing)).status == 404
    assert await offset_of(world, teacher, path) == 0


@pytest.mark.gen_test
async def test_bytes_that_are_not_what_the_name_says_are_refused_at_the_end(
    world: World, teacher: Someone, store: SmallParts
) -> None:
    content = b"\x7fELF" + bytes(SMALL_PART + 100)
    path = await create(world, teacher, len(content))
    await patch(world, teacher, path, 0, content[:SMALL_PART])
    answer = await patch(world, teacher, path, SMALL_PART, content[SMALL_PART:])
    assert (answer.status, answer.code) == (400, "FILE_TYPE_MISMATCH")
    assert (row(world, path)["state"], used(world, teacher)) == ("dropped", 0)
    assert (await world.of(teacher).get(FILES)).data["count"] == 0


@pytest.mark.gen_test
@pytest.mark.parametrize("fails", ["put", "put_part", "join_parts", "begin_parts"])
async def test_a_store_that_fails_loses_nothing_that_was_acknowledged(
    world: World, teacher: Someone, store: SmallParts, fails: str
) -> None:
    content = noise(2 * SMALL_PART + 10)
    path = await create(world, teacher, len(content))
    await patch(world, teacher, path, 0, content[:100])
    store.fails = {fails}
    answer = await patch(world, teacher, path, 100, content[100 : -5 if fails == "put" else None])
    assert (answer.status, answer.code) == (424, "STORE_UNAVAILABLE"), answer.content
    store.fails = set()
    kept = await offset_of(world, teacher, path)
    assert (await patch(world, teacher, path, kept, content[kept:])).status == 204
    assert await content_of(world, path) == content


@pytest.mark.gen_test
async def test_who_died_before_the_end_is_helped_over_it(
    world: World, teacher: Someone, store: SmallParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All bytes are there and recorded, and the process is killed: an empty request, or the sweep, finishes."""
    for finisher in ("request", "sweep"):
        content = noise(SMALL_PART + 10)
        path = await create(world, teacher, len(content))

        async def killed(*_: object) -> None:
            raise Upstream("STORE_UNAVAILABLE")

        with monkeypatch.context() as patched:
            patched.setattr(resuming, "complete", killed)
            await patch(world, teacher, path, 0, content)
        assert (await offset_of(world, teacher, path), row(world, path)["state"]) == (len(content), "open")
        if finisher == "request":
            assert (await patch(world, teacher, path, len(content), b"")).status == 204
        else:
            await resuming.complete(world.c, cleaning.owner(row(world, path)), upload_id(path))
        assert row(world, path)["state"] == "done"
        assert await content_of(world, path) == content
        await resuming.complete(world.c, cleaning.owner(row(world, path)), upload_id(path))


@pytest.mark.gen_test
async def test_a_writer_that_died_is_overtaken_and_cannot_write_any_more(
    world: World, teacher: Someone, store: SmallParts
) -> None:
    path = await create(world, teacher, 100)
    dead = uuid4()
    who = teacher.principal.needing(Files.UPLOAD)
    about = About("upload", upload_id(path))
    world.c.db.run_sync(who, holding.hold, upload_id(path), dead, about=about)
    assert (await patch(world, teacher, path, 0, b"x")).code == "UPLOAD_BUSY"
    world.clock.advance(timedelta(seconds=holding.HELD_S + 1))
    assert (await patch(world, teacher, path, 0, b"x" * 60)).status == 204
    with pytest.raises(Conflict, match="UPLOAD_BUSY"):
        world.c.db.run_sync(who, holding.advance, upload_id(path), dead, 50, [], None, about=about)
    assert await offset_of(world, teacher, path) == 60


@pytest.mark.gen_test
async def test_a_refusal_is_heard_by_who_still_sends_and_the_connection_stays(
    world: World, teacher: Someone, store: SmallParts
) -> None:
    """The answer comes while most of a large body is still to be sent; what comes after it is read and dropped."""
    size = 20_000_000
    path = await create(world, teacher, size)
    who, about = teacher.principal.needing(Files.UPLOAD), About("upload", upload_id(path))
    world.c.db.run_sync(who, holding.hold, upload_id(path), uuid4(), about=about)
    address = urlsplit(world.base_url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    head = (
        f"PATCH {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {teacher.access}\r\nTus-Resumable: 1.0.0\r\n"
        f"Content-Type: {BYTES}\r\nUpload-Offset: 0\r\nContent-Length: {size}\r\n\r\n"
    )
    writer.write(head.encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 409 ")
    for _ in range(20):
        writer.write(bytes(size // 20))
        await writer.drain()
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"HTTP/1.1 200 OK" in await reader.readuntil(b"HTTP/1.1 200 OK")
    writer.close()
    await writer.wait_closed()


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("status", "headers", "length"),
    [
        (401, {"Authorization": "Bearer x"}, 20_000_000),
        (412, {"Tus-Resumable": "0.2.2"}, 20_000_000),
        (415, {"Content-Type": "text/plain"}, 20_000_000),
        (413, {}, 10**12),
    ],
)
async def test_a_refusal_before_the_body_is_heard_by_who_still_sends(
    world: World, teacher: Someone, status: int, headers: dict[str, str], length: int
) -> None:
    path = await create(world, teacher, 100)
    sent = {"Host": "x", "Authorization": f"Bearer {teacher.access}", "Tus-Resumable": "1.0.0", "Content-Type": BYTES}
    sent |= {"Upload-Offset": "0", "Content-Length": str(length)} | headers
    head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    address = urlsplit(world.base_url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(f"PATCH {path} HTTP/1.1\r\n{head}\r\n".encode())
    for _ in range(20):
        writer.write(bytes(1_000_000))
        await writer.drain()
    assert (await reader.readuntil(b"\r\n")).startswith(f"HTTP/1.1 {status} ".encode())
    writer.close()
    await writer.wait_closed()


@pytest.mark.gen_test
async def test_many_writers_at_once_make_one_file(world: World, teacher: Someone, store: SmallParts) -> None:
    content = noise(3 * SMALL_PART)
    path = await create(world, teacher, len(content))
    answers = await asyncio.gather(*(patch(world, teacher, path, 0, content) for _ in range(6)))
    statuses = {one.status for one in answers}
    assert 204 in statuses
    assert statuses <= {204, 409}
    assert await content_of(world, path) == content
    assert used(world, teacher) == len(content)
