"""Uploads by a form: what is taken, what is refused and says why, and that nothing is left of what fails."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from edurise.adapters.provision import DatabaseUrls
from edurise.files.ports import StoreUnavailable
from edurise.tenants.limits import Limits
from edurise.tenants.quotas import PlanQuotas
from handlers import receiving
from tests.harness.filing import FILES, TEXT, column, form, upload
from tests.harness.raw import send
from tests.harness.waiting import eventually
from tests.harness.world import Someone, World
from tests.harness.worlds import another

PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n"


@pytest.fixture
def teacher(world: World) -> Someone:
    return world.person("teacher", world.organization())


def rows(world: World, teacher: Someone) -> dict[str, int]:
    """How many rows of the organization there are, and what of its quota is used."""

    def count(session):
        key = {"t": teacher.tenant_id}
        found = {
            name: session.scalar(text(f"SELECT count(*) FROM {name} WHERE tenant_id = :t"), key)
            for name in ("files", "quota_holds")
        }
        found["open"] = session.scalar(
            text("SELECT count(*) FROM uploads WHERE tenant_id = :t AND state = 'open'"), key
        )
        used = "SELECT coalesce(max(used), 0) FROM quota_usage WHERE tenant_id = :t AND resource = 'storage_bytes'"
        found["used"] = session.scalar(text(used), key)
        return found

    return world.c.db.system_sync(count)


NOTHING = {"files": 0, "quota_holds": 0, "open": 0, "used": 0}


async def objects(world: World) -> set[str]:
    return {one.key async for one in world.c.stores["local"].listing()}


async def content_of(world: World, file_id: UUID) -> bytes:
    store = world.c.stores[column(world, file_id, "store")]
    return b"".join([chunk async for chunk in store.read(column(world, file_id, "key"))])


async def forsaken(world: World, teacher: Someone) -> set[str]:
    """The keys that were given up, for an actor to delete."""
    query = "SELECT payload FROM outbox WHERE tenant_id = :t AND topic = 'files.objects_forsaken.v1'"
    found = world.c.db.system_sync(lambda session: session.scalars(text(query), {"t": teacher.tenant_id}).all())
    return {key for payload in found for key in payload["keys"]}


@asynccontextmanager
async def limited(world: World, database: DatabaseUrls, **limits):
    """A server like ``world`` whose plans allow less."""
    async with another(world, database) as found:
        usual = found.c.keeping.limits
        less = replace(usual, **{name: {"basic": value, "pro": value} for name, value in limits.items()})
        keeping = replace(found.c.keeping, limits=less, quotas=PlanQuotas(less))
        object.__setattr__(found.c, "keeping", keeping)
        yield found


@pytest.mark.gen_test
@pytest.mark.parametrize("first", [True, False], ids=["file first", "file last"])
async def test_a_form_makes_a_file_whose_bytes_are_those_sent(world: World, teacher: Someone, first: bool) -> None:
    content = b"".join(hashlib.sha256(str(number).encode()).hexdigest().encode() for number in range(40_000))
    given = {"category": "documents", "title": "", "description": "Two\r\nlines", "tags": '["a", "b"]'}
    body, media = form(content, "Knots & bends.TXT", given, first=first)
    answer = await world.of(teacher).call("POST", FILES, raw=body, headers={"Content-Type": media})
    assert answer.status == 201, answer.content
    told = answer.data
    assert (told["status"], told["state"], told["scan"], told["file"]) == ("processing", "scanning", "pending", None)
    assert (told["original_filename"], told["title"]) == ("Knots & bends.TXT", "Knots & bends.TXT")
    assert (told["file_type"], told["file_extension"], told["file_size"]) == ("text/plain", "txt", len(content))
    assert (told["access_level"], told["tags"]) == ("private", ["a", "b"])
    assert await content_of(world, UUID(told["id"])) == content
    assert rows(world, teacher) == {"files": 1, "quota_holds": 0, "open": 0, "used": len(content)}


@pytest.mark.gen_test
async def test_an_empty_file_is_a_file(world: World, teacher: Someone) -> None:
    answer = await upload(world, teacher, b"")
    assert (answer.status, answer.data["file_size"], answer.data["file_size_mb"]) == (201, 0, 0)
    assert await content_of(world, UUID(answer.data["id"])) == b""


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("content", "name", "fields", "status", "code"),
    [
        (TEXT, "knots.exe", {}, 400, "FILE_TYPE_NOT_ALLOWED"),
        (TEXT, "knots", {}, 400, "FILE_TYPE_NOT_ALLOWED"),
        (TEXT, "knots.svg", {}, 400, "FILE_TYPE_NOT_ALLOWED"),
        (TEXT, "knots.html", {}, 400, "FILE_TYPE_NOT_ALLOWED"),
        (TEXT, "knots.txt", {"category": "avatars"}, 400, "FILE_TYPE_NOT_ALLOWED"),
        (TEXT, "knots.png", {}, 400, "FILE_TYPE_MISMATCH"),
        (b"\x7fELF\x02\x01\x01" + bytes(60), "knots.pdf", {}, 400, "FILE_TYPE_MISMATCH"),
        (PDF, "knots.jpg", {}, 400, "FILE_TYPE_MISMATCH"),
        (bytes(range(256)), "knots.txt", {}, 400, "FILE_TYPE_MISMATCH"),
        (b"MZ" + bytes(100), "knots.docx", {}, 400, "FILE_TYPE_MISMATCH"),
        (TEXT, "knots.txt", {"category": "nothing"}, 400, "VALIDATION_ERROR"),
        (TEXT, "knots.txt", {"category": "../../etc"}, 400, "VALIDATION_ERROR"),
        (TEXT, "knots.txt", {"access_level": "enrolled"}, 400, "VALIDATION_ERROR"),
        (TEXT, "knots.txt", {"access_level": "everyone"}, 400, "VALIDATION_ERROR"),
        (TEXT, "knots.txt", {"expires_at": "2001-01-01T00:00:00Z"}, 400, "VALIDATION_ERROR"),
        (TEXT, "knots.txt", {"tags": "rope"}, 400, "VALIDATION_ERROR"),
        (TEXT, "knots.txt", {"tags": '{"a": 1}'}, 400, "VALIDATION_ERROR"),
        (TEXT, "knots.txt", {"course_id": "x"}, 400, "VALIDATION_ERROR"),
        (TEXT, "knots.txt", {"course_id": str(uuid4())}, 404, "NOT_FOUND"),
        (TEXT, "knots.txt", {"owner_id": str(uuid4())}, 400, "VALIDATION_ERROR"),
        (TEXT, "knots.txt", {"state": "ready"}, 400, "VALIDATION_ERROR"),
        (TEXT, "knots.txt", {"title": "x" * 40_000}, 400, "BAD_REQUEST"),
    ],
)
async def test_what_is_refused_says_why_and_leaves_nothing(
    world: World, teacher: Someone, content: bytes, name: str, fields: dict[str, str], status: int, code: str
) -> None:
    answer = await upload(world, teacher, content, name, **fields)
    assert (answer.status, answer.code) == (status, code), answer.content
    assert rows(world, teacher) == NOTHING
    # Bytes that had come are given up, for the actor that deletes them.
    keys = await forsaken(world, teacher)
    assert len(keys) == 1
    assert await objects(world) & keys <= keys


BAD_FORMS = {
    "no boundary": (b"x", "multipart/form-data", 400),
    "not a form": (b"hello", "multipart/form-data; boundary=b", 400),
    "no file": (b'--b\r\nContent-Disposition: form-data; name="category"\r\n\r\nx\r\n--b--\r\n', "multipart/form-data; boundary=b", 400),
    "cut off": (form(TEXT, "k.txt", {"category": "documents"})[0][:-30], None, 400),
    "another type": (b"{}", "application/json", 415),
    "empty": (b"", "multipart/form-data; boundary=b", 400),
    "a file under another name": (
        b'--b\r\nContent-Disposition: form-data; name="picture"; filename="k.txt"\r\n\r\nx\r\n--b--\r\n',
        "multipart/form-data; boundary=b",
        400,
    ),
}  # fmt: skip


@pytest.mark.gen_test
@pytest.mark.parametrize("name", BAD_FORMS)
async def test_what_is_no_form_is_refused(world: World, teacher: Someone, name: str) -> None:
    body, media, status = BAD_FORMS[name]
    if media is None:
        media = f"multipart/form-data; boundary={body[2:34].decode()}"
    answer = await world.of(teacher).call("POST", FILES, raw=body, headers={"Content-Type": media})
    assert answer.status == status, answer.content
    assert rows(world, teacher) == NOTHING


@pytest.mark.gen_test
async def test_a_thousand_fields_and_two_files_are_refused(world: World, teacher: Someone) -> None:
    many, media = form(TEXT, "k.txt", {"category": "documents"} | {f"f{number}": "x" for number in range(1000)})
    answer = await world.of(teacher).call("POST", FILES, raw=many, headers={"Content-Type": media})
    assert (answer.status, answer.code) == (400, "BAD_REQUEST")
    one, media = form(TEXT, "k.txt", {"category": "documents"})
    boundary = media.partition("boundary=")[2].encode()
    part = one.split(b"--" + boundary)[1]
    two = b"--" + boundary + part + one
    answer = await world.of(teacher).call("POST", FILES, raw=two, headers={"Content-Type": media})
    assert (answer.status, answer.code) == (400, "VALIDATION_ERROR")
    assert rows(world, teacher) == NOTHING


NAMES = {
    "../../etc/passwd.txt": "passwd.txt",
    "..\\..\\windows\\win.txt": "win.txt",
    "/absolute/knots.txt": "knots.txt",
    "con.txt": "_con.txt",
    "knots\u202etxt.txt": "knotstxt.txt",
    "a\u0301.txt": "\u00e1.txt",
    "a%0D%0ASet-Cookie: x.txt": "aSet-Cookie_ x.txt",
    "  spaces .txt": "spaces .txt",
    "كتاب.txt": "كتاب.txt",
    "x" * 300 + ".txt": "x" * 196 + ".txt",
}


@pytest.mark.gen_test
@pytest.mark.parametrize("given", NAMES, ids=range(len(NAMES)))
async def test_a_name_is_never_a_path(world: World, teacher: Someone, given: str) -> None:
    answer = await upload(world, teacher, TEXT, given)
    assert (answer.status, answer.data["original_filename"]) == (201, NAMES[given])
    assert column(world, UUID(answer.data["id"]), "key").startswith("f/")


@pytest.mark.gen_test
async def test_a_repeated_key_finds_the_first_file(world: World, teacher: Someone) -> None:
    first = await upload(world, teacher, headers={"Idempotency-Key": "one"})
    again = await upload(world, teacher, headers={"Idempotency-Key": "one"})
    assert (first.status, again.status, again.data["id"]) == (201, 200, first.data["id"])
    other = await upload(world, teacher, TEXT + TEXT, headers={"Idempotency-Key": "one"})
    assert (other.status, other.code) == (409, "IDEMPOTENCY_KEY_REUSED")
    assert rows(world, teacher) == {"files": 1, "quota_holds": 0, "open": 0, "used": len(TEXT)}
    # Nobody else's key is theirs.
    colleague = world.person("teacher", teacher.tenant_id)
    assert (await upload(world, colleague, headers={"Idempotency-Key": "one"})).status == 201


@pytest.mark.gen_test
async def test_the_same_key_at_once_makes_one_file(world: World, teacher: Someone) -> None:
    answers = await asyncio.gather(*(upload(world, teacher, headers={"Idempotency-Key": "storm"}) for _ in range(8)))
    assert sorted(one.status for one in answers) == [200] * 7 + [201]
    assert len({one.data["id"] for one in answers}) == 1
    assert rows(world, teacher)["used"] == len(TEXT)


@pytest.mark.gen_test
async def test_a_file_of_a_course_elsewhere_belongs_to_that_organization(world: World) -> None:
    """The upload began where the person acts; the course says where the file is, and who is charged."""
    here, there = world.organization(), world.organization()
    teacher = world.person("teacher", there)
    course = world.course(teacher)["id"]
    learner = world.person(tenant_id=here)
    assert (await world.of(learner).post(f"/api/v1/courses/{course}/enroll/")).status == 201
    answer = await upload(world, learner, category="submissions", course_id=course, access_level="instructor")
    assert answer.status == 201, answer.content
    assert column(world, UUID(answer.data["id"]), "tenant_id") == there
    assert rows(world, learner) == NOTHING
    assert rows(world, teacher) == {"files": 1, "quota_holds": 0, "open": 0, "used": len(TEXT)}
    assert (await world.of(teacher).get(f"{FILES}{answer.data['id']}/")).status == 200


@pytest.mark.gen_test
async def test_limits_of_plan_and_category(world: World, database: DatabaseUrls, teacher: Someone) -> None:
    async with limited(world, database, file_bytes=100_000) as small:
        assert (await upload(small, teacher, b"x" * 100_000)).status == 201
        answer = await upload(small, teacher, b"x" * 100_001)
        assert (answer.status, answer.code) == (413, "FILE_TOO_LARGE")
        refused = await upload(small, teacher, b"x" * 300_000)
        assert (refused.status, refused.code) == (413, "PAYLOAD_TOO_LARGE")  # above what any plan takes: unread
    assert rows(world, teacher)["used"] == 100_000
    avatar = await upload(world, teacher, b"\x89PNG\r\n\x1a\n" + bytes(6 * 1024**2), "me.png", category="avatars")
    assert (avatar.status, avatar.code) == (413, "FILE_TOO_LARGE")
    limits: Limits = world.c.keeping.limits
    assert limits.of("enterprise", "x").file_bytes > limits.of("basic", "x").file_bytes


@pytest.mark.gen_test
async def test_types_of_a_plan(world: World, database: DatabaseUrls, teacher: Someone) -> None:
    async with another(world, database, file_types={"basic": "image+pdf"}) as strict:
        assert (await upload(strict, teacher)).code == "FILE_TYPE_NOT_ALLOWED"
        assert (await upload(strict, teacher, PDF, "knots.pdf")).status == 201


@pytest.mark.gen_test
async def test_many_at_once_never_pass_the_quota(world: World, database: DatabaseUrls, teacher: Someone) -> None:
    size = 40_000
    async with limited(world, database, person_storage_bytes=10 * size + 20_000) as small:
        answers = await asyncio.gather(*(upload(small, teacher, b"x" * size) for _ in range(24)))
    statuses = [one.status for one in answers]
    assert set(statuses) == {201, 409}
    assert {one.code for one in answers if one.status == 409} == {"QUOTA_EXCEEDED"}
    # Reservations are of whole forms, so that some that would have fitted were refused; never the other way round.
    kept = statuses.count(201)
    assert kept <= 10
    assert rows(world, teacher) == {"files": kept, "quota_holds": 0, "open": 0, "used": kept * size}


@pytest.mark.gen_test
async def test_a_client_that_goes_away_leaves_nothing(world: World, teacher: Someone) -> None:
    body, media = form(b"x" * 3_000_000, "k.txt", {"category": "documents"})
    address = urlsplit(world.base_url)
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    head = f"POST {FILES} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {teacher.access}\r\nContent-Type: {media}\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:2_000_000])
    await writer.drain()
    await eventually(lambda: rows(world, teacher)["open"] == 1, "the upload has begun")
    writer.transport.abort()
    await eventually(lambda: rows(world, teacher) == NOTHING, "the upload is given up")


@pytest.mark.gen_test
async def test_a_client_that_stands_still_is_dropped_and_leaves_nothing(
    world: World, teacher: Someone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "STALL_S", 0.2)
    body, media = form(b"x" * 300_000, "k.txt", {"category": "documents"})
    address = urlsplit(world.base_url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    head = f"POST {FILES} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {teacher.access}\r\nContent-Type: {media}\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:200_000])
    await writer.drain()
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    writer.close()
    await eventually(lambda: rows(world, teacher) == NOTHING, "the upload is given up")


@pytest.mark.gen_test
async def test_who_may_not_is_told_before_the_body(world: World, teacher: Someone) -> None:
    head = f"POST {FILES} HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    nobody = await send(world.base_url, f"{head}Content-Length: 500000000\r\n\r\n".encode())
    assert (nobody.status, nobody.body["code"]) == (401, "UNAUTHORIZED")
    signed = f"{head}Authorization: Bearer {teacher.access}\r\n"
    huge = await send(world.base_url, f"{signed}Content-Length: 900000000000\r\n\r\n".encode())
    assert (huge.status, huge.body["code"]) == (413, "PAYLOAD_TOO_LARGE")
    above_plan = await send(world.base_url, f"{signed}Content-Length: 5000000000\r\n\r\n".encode())
    assert (above_plan.status, above_plan.body["code"]) == (413, "FILE_TOO_LARGE")


@pytest.mark.gen_test
async def test_chunked_bodies_are_bounded_too(world: World, database: DatabaseUrls, teacher: Someone) -> None:
    body, media = form(TEXT, "k.txt", {"category": "documents"})
    head = f"POST {FILES} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {teacher.access}\r\nContent-Type: {media}\r\n"
    chunked = f"{head}Transfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    async with limited(world, database, file_bytes=1_000_000, person_storage_bytes=5_000_000) as small:
        answer = await send(small.base_url, chunked)
        assert (answer.status, answer.body["data"]["file_size"]) == (201, len(TEXT))
    assert rows(world, teacher)["quota_holds"] == 0


class FailingStore:
    """A store whose writes fail after some bytes; everything else is the real one's."""

    def __init__(self, store) -> None:
        self._store = store

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def put(self, key, source) -> int:
        async for _ in source:
            break
        raise StoreUnavailable("local", "of the test")


@pytest.mark.gen_test
@pytest.mark.parametrize("size", [1000, 30_000_000], ids=["short", "long"])
async def test_a_store_that_fails_is_said_and_leaves_nothing(
    world: World, database: DatabaseUrls, teacher: Someone, size: int
) -> None:
    async with another(world, database) as broken:
        broken.c.stores["local"] = FailingStore(broken.c.stores["local"])
        body, media = form(b"x" * size, "k.txt", {"category": "documents"})
        head = (
            f"POST {FILES} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {teacher.access}\r\nContent-Type: {media}\r\n"
        )
        answer = await send(broken.base_url, f"{head}Content-Length: {len(body)}\r\n\r\n".encode(), body)
        assert (answer.status, answer.body["code"]) == (424, "STORE_UNAVAILABLE")
        await eventually(lambda: rows(world, teacher) == NOTHING, "nothing is left")
