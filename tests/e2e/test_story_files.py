"""The story of files: four people in two organizations, one of which keeps its files on the disk and the other in S3,
upload, scan, share, download, move and erase; and whatever is killed meanwhile, no byte is lost and none is left."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from tornado.ioloop import IOLoop

from tests.e2e.archive import Archive, School, running_archive
from tests.e2e.conftest import running_stack
from tests.harness.antivirus import EICAR
from tests.harness.filing import FILES, picture
from tests.harness.services import scratch
from tests.harness.shelf import noise
from tests.harness.waiting import eventually
from tests.http.test_tus import noise as text

pytestmark = [pytest.mark.e2e, pytest.mark.faults]

PORT = 22100
PART = 8 * 1024 * 1024
STORES = ["harbour", "hill"]


@pytest.fixture(scope="module")
def archive(io_loop: IOLoop) -> Iterator[Archive]:
    with scratch() as directory, running_archive(running_stack, directory, PORT) as made:
        io_loop.run_sync(made.open, timeout=120)
        yield made


@pytest.fixture(params=STORES)
def school(archive: Archive, request: pytest.FixtureRequest) -> School:
    return archive.schools[request.param]


def stranger(archive: Archive, school: School) -> School:
    """The other organization."""
    return next(one for one in archive.schools.values() if one is not school)


@pytest.mark.gen_test(timeout=120)
async def test_material_is_uploaded_scanned_and_opened_by_who_learns(archive: Archive, school: School) -> None:
    content = text(3_000_000)
    fields = {"category": "course-materials", "course_id": school.course, "access_level": "enrolled"}
    file = await archive.kept(school.teacher, content, "Knots & bends.txt", **fields)
    assert (file["scan"], file["status"], file["file_type"]) == ("clean", "active", "text/plain")
    stored = archive.books.rows("SELECT store FROM files WHERE id = %s", file["id"])
    assert stored == [{"store": school.store}]
    listed = await school.student.get(f"{FILES}course_files/?course_id={school.course}")
    assert file["id"] in {one["id"] for one in listed.data}
    downloaded = await school.student.get(f"{FILES}{file['id']}/download/")
    assert downloaded.content == content
    assert 'filename="Knots _ bends.txt"' in downloaded.headers["Content-Disposition"]
    link = (await school.student.get(f"{FILES}{file['id']}/secure_url/")).data["secure_url"]
    assert (await archive.fetched(link)).content == content
    part = await archive.fetched(link, Range="bytes=1000000-1999999")
    assert (part.status, part.content) == (206, content[1_000_000:2_000_000])
    outside = stranger(archive, school)
    for person in (outside.teacher, outside.student):
        for path in ("", "download/", "secure_url/", "statistics/", "shared_users/"):
            assert (await person.get(f"{FILES}{file['id']}/{path}")).status == 404, path
    statistics = (await school.teacher.get(f"{FILES}{file['id']}/statistics/")).data
    assert (statistics["download_count"], statistics["unique_downloaders"]) == (2, 1)


@pytest.mark.gen_test(timeout=120)
async def test_malware_is_withheld_from_everybody(archive: Archive, school: School) -> None:
    answer = await archive.upload(
        school.student,
        EICAR,
        "homework.txt",
        category="submissions",
        course_id=school.course,
        access_level="instructor",
    )
    file = await archive.settled(school.student, answer.data["id"], "quarantined")
    assert (file["scan"], file["file"]) == ("infected", None)
    for person in (school.student, school.teacher):
        assert (await person.get(f"{FILES}{file['id']}/download/")).code == "FILE_QUARANTINED"

    async def told() -> bool:
        listed = (await school.student.get("/api/v1/notifications/")).data["results"]
        return [one["data"]["file_id"] for one in listed if one["type"] == "file_quarantined"] == [file["id"]]

    await eventually(told, "the owner is told")


@pytest.mark.gen_test(timeout=120)
async def test_a_share_opens_and_its_end_closes_every_link_at_once(archive: Archive, school: School) -> None:
    content = picture(kind="JPEG")
    file = await archive.kept(school.teacher, content, "boat.jpg")
    assert (await school.student.get(f"{FILES}{file['id']}/")).status == 404
    shared = {"user_emails": [school.student_email, stranger(archive, school).student_email]}
    told = (await school.teacher.post(f"{FILES}{file['id']}/share/", shared)).data
    assert (len(told["shared_with"]), len(told["denied_users"])) == (1, 1)
    seen = (await school.student.get(f"{FILES}{file['id']}/")).data
    link = (await school.student.get(f"{FILES}{file['id']}/secure_url/?disposition=inline")).data["secure_url"]
    opened = await archive.fetched(link)
    assert (opened.content, opened.headers["Content-Type"]) == (content, "image/jpeg")
    assert (await archive.fetched(seen["thumbnail"])).headers["Content-Type"] == "image/jpeg"
    await school.teacher.post(f"{FILES}{file['id']}/unshare/", shared)
    for url in (link, seen["file"], seen["thumbnail"]):
        assert (await archive.fetched(url)).status == 404
    # A link that was passed on to somebody else's browser says what it says; another's file it does not open.
    forged = link.replace(urlsplit(link).path.split("/")[4], "A" * 80)
    assert (await archive.fetched(forged)).code == "LINK_INVALID"


@pytest.mark.gen_test(timeout=180)
async def test_a_web_that_is_killed_in_mid_upload_costs_no_acknowledged_byte(archive: Archive, school: School) -> None:
    """One web is killed with -9 while it receives; the upload goes on at the other, byte for byte."""
    content = text(2 * PART + 3_000_000)
    path = await archive.begin_tus(school.student, len(content), category="submissions", course_id=school.course)
    doomed, other = archive.stack.webs
    address = urlsplit(doomed.url)
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(archive.open_patch(school.student, doomed.url, path, 0, len(content)) + content[: PART + 2_000_000])
    await writer.drain()
    recorded = "SELECT offset_bytes FROM uploads WHERE id = %s"
    upload_id = path.rstrip("/").rpartition("/")[2]
    await eventually(lambda: archive.books.number(recorded, upload_id) >= PART, "a part is recorded")
    await archive.stack.meanwhile(doomed.kill)
    writer.transport.abort()
    at_other = school.student.at(other.url)
    assert await archive.offset(at_other, path) == PART
    await archive.go_on(at_other, path, content)
    await archive.stack.meanwhile(doomed.start)
    (row,) = archive.books.rows("SELECT file_id FROM uploads WHERE id = %s", upload_id)
    file = await archive.settled(school.student, str(row["file_id"]))
    assert (await school.student.get(f"{FILES}{file['id']}/download/")).content == content
    await archive.tidy()


@pytest.mark.gen_test(timeout=180)
async def test_a_worker_that_is_killed_in_mid_inspection_leaves_it_to_the_next(
    archive: Archive, school: School
) -> None:
    files = [(await archive.upload(school.teacher, text(3_900_000 + number), "long.txt")).data for number in range(6)]
    await archive.stack.meanwhile(archive.stack.worker.kill)
    await archive.stack.meanwhile(archive.stack.worker.start)
    # What the dead worker had taken comes again once the broker has noticed, or after the time to send it anew.
    for file in files:
        assert (await archive.settled(school.teacher, file["id"]))["scan"] == "clean"


@pytest.mark.gen_test(timeout=240)
async def test_an_organization_moves_to_s3_while_it_is_read_and_the_mover_is_killed(archive: Archive) -> None:
    school = archive.schools["harbour"]
    contents = {number: noise(500_000, number) for number in range(8)}
    kept = {
        number: await archive.kept(school.teacher, b"PK\x03\x04" + content, f"{number}.zip")
        for number, content in contents.items()
    }
    reads = 0
    reading = True

    async def read() -> None:
        nonlocal reads
        while reading:
            for number, file in kept.items():
                answer = await school.teacher.get(f"{FILES}{file['id']}/download/")
                assert (answer.status, answer.content[4:] == contents[number]) == (200, True), answer.status
                reads += 1

    reader = asyncio.ensure_future(read())
    try:
        await archive.kill_a_move("harbour", "s3")
        await archive.run("files", "move", "harbour", "--to", "s3", "--keep-old", "3")
    finally:
        reading = False
        await reader
    assert reads > 0
    stores = archive.books.rows(
        "SELECT DISTINCT store FROM files WHERE tenant_id = %s AND state <> 'erased'", school.id
    )
    assert stores == [{"store": "s3"}]
    assert "0 at fault" in await archive.run("files", "verify")
    await archive.run("files", "move", "harbour", "--to", "local", "--keep-old", "0")
    assert "0 at fault" in await archive.run("files", "verify", "--organization", "harbour")
    for number, file in kept.items():
        assert (await school.teacher.get(f"{FILES}{file['id']}/download/")).content[4:] == contents[number]


@pytest.mark.gen_test(timeout=180)
async def test_in_the_end_everything_is_erased_and_nothing_is_left(archive: Archive, school: School) -> None:
    people = (school.teacher, school.student)
    for person in people:
        ids = [one["id"] for one in (await person.get(f"{FILES}my_files/")).data]
        for action in ("bulk_delete", "bulk_erase"):
            answer = await person.post(f"{FILES}{action}/", {"file_ids": ids})
            assert {one["success"] for one in answer.data} == {True}, answer.content
        assert (await person.get(f"{FILES}?status=deleted")).data["count"] == 0
    assert archive.used(school) == 0
    await archive.tidy()


@pytest.mark.gen_test(timeout=60)
async def test_no_process_complained(archive: Archive) -> None:
    lines = [line for line in archive.stack.complaints() if "Connection" not in line]
    assert lines == []
