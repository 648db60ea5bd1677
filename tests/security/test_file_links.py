"""Signed links: whoever has one opens one file, as one person, as long as that person may."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from edurise.authz import About
from edurise.files import service, sharing
from edurise.files.links import Link, Links, LinkSigner
from edurise.files.permissions import Files
from tests.harness.filing import FILES, TEXT, column, kept, settle, shared
from tests.harness.world import Someone, World
from tests.security.scene import learner

LINKS = "/api/v1/file-links"
SECRET_TEXT = b"Another's text, and nobody else's.\n"
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@pytest.fixture
def teacher(world: World) -> Someone:
    return world.person("teacher", world.organization())


async def link_of(world: World, who: Someone, file_id: UUID, query: str = "") -> str:
    answer = await world.of(who).get(f"{FILES}{file_id}/secure_url/{query}")
    assert answer.status == 200, answer.content
    found: str = answer.data["secure_url"]
    return found.removeprefix(world.base_url)


def token_of(path: str) -> str:
    return path.split("/")[4]


def run(world: World, statement: str, **values: object) -> None:
    world.c.db.system_sync(lambda session: session.execute(text(statement), values))


async def code_of(world: World, path: str) -> str | None:
    """The code that a link is refused with, None where it opens; HEAD says the same."""
    got = await world.anonymous.get(path)
    assert (await world.anonymous.call("HEAD", path)).status == got.status
    if got.status == 200:
        assert got.content == TEXT
        return None
    assert "Content-Disposition" not in got.headers
    return got.code


@pytest.mark.gen_test
async def test_a_link_opens_by_itself_as_the_person_that_it_was_made_for(world: World, teacher: Someone) -> None:
    file_id = await kept(world, teacher)
    path = await link_of(world, teacher, file_id)
    assert await code_of(world, path) is None
    other = world.person()
    for headers in ({"Authorization": "Bearer nonsense"}, {"Authorization": f"Bearer {other.access}"}):
        assert (await world.anonymous.get(path, **headers)).content == TEXT
    log = (await world.of(teacher).get(f"{FILES}{file_id}/statistics/")).data
    assert (log["download_count"], log["unique_downloaders"]) == (3, 1)


@pytest.mark.gen_test
async def test_no_character_of_a_token_can_be_changed(world: World, teacher: Someone) -> None:
    path = await link_of(world, teacher, await kept(world, teacher))
    token = token_of(path)
    for at, was in enumerate(token):
        other = ALPHABET[(ALPHABET.index(was) + 1) % 64]
        refused = await world.anonymous.get(path.replace(token, token[:at] + other + token[at + 1 :]))
        assert (refused.status, refused.code) == (404, "LINK_INVALID")


@pytest.mark.parametrize(
    "change",
    [
        lambda token: token[:-1],
        lambda token: token[:40],
        lambda token: token + "A",
        lambda token: token + "%3D",
        lambda token: token + "==",
        lambda token: token[:-1] + "%00",
        lambda token: token[:-1] + "%0A",
        lambda token: token[:-1] + "%20",
        lambda token: token[:-2] + "%C3%A4",
        lambda token: token * 3,
        lambda token: "A" * 80,
        lambda token: "-" * 255,
        lambda token: "x" * 5000,
        lambda token: "..",
    ],
)
@pytest.mark.gen_test
async def test_a_token_of_another_shape_opens_nothing(
    world: World, teacher: Someone, change: Callable[[str], str]
) -> None:
    path = await link_of(world, teacher, await kept(world, teacher))
    token = token_of(path)
    refused = await world.anonymous.exchange("GET", path.replace(token, change(token)))
    assert refused.status == 404
    assert refused.code in ("LINK_INVALID", "NOT_FOUND")


@pytest.mark.gen_test
async def test_a_token_opens_its_own_file_whatever_name_stands_behind_it(world: World, teacher: Someone) -> None:
    mine = await kept(world, teacher, TEXT, "mine.txt")
    theirs = await kept(world, teacher, SECRET_TEXT, "theirs.txt")
    path = await link_of(world, teacher, mine)
    for name in ("theirs.txt", str(theirs), quote("../theirs.txt", safe=""), quote('a"; x="', safe=""), "%F0%9F%98%80"):
        got = await world.anonymous.exchange("GET", f"{LINKS}/{token_of(path)}/{name}")
        if got.status == 404:  # an encoded slash is no part of a segment
            assert "%2F" in name
            continue
        assert got.content == TEXT
        assert got.headers["Content-Disposition"].startswith('attachment; filename="mine.txt"')
    assert (await world.anonymous.exchange("GET", f"{LINKS}/{token_of(path)}/")).status == 404


@pytest.mark.gen_test
async def test_a_link_to_save_shows_nothing(world: World, teacher: Someone) -> None:
    file_id = await kept(world, teacher)
    save, show = [await link_of(world, teacher, file_id, f"?disposition={one}") for one in ("attachment", "inline")]
    got = await world.anonymous.get(f"{save}?disposition=inline")
    assert got.headers["Content-Disposition"].startswith("attachment")
    assert (await world.anonymous.get(show)).headers["Content-Disposition"].startswith("inline")
    settle(world, file_id, TEXT, media_type="text/html")
    assert (await world.anonymous.get(show)).headers["Content-Disposition"].startswith("attachment")


@pytest.mark.gen_test
async def test_a_link_to_the_small_picture_opens_nothing_else(world: World, teacher: Someone) -> None:
    file_id = await kept(world, teacher)
    until = int(world.clock.now().timestamp()) + 60
    token = world.c.link_signer.sign(Link(file_id, teacher.id, 1, "thumbnail", until), world.clock.now())
    assert await code_of(world, f"{LINKS}/{token}/x") == "NOT_FOUND"


@pytest.mark.gen_test
async def test_a_link_ends(world: World, teacher: Someone) -> None:
    path = await link_of(world, teacher, await kept(world, teacher), "?expires_in=60")
    assert await code_of(world, path) is None
    world.clock.advance(timedelta(seconds=59))
    assert await code_of(world, path) is None
    world.clock.advance(timedelta(seconds=1))
    assert await code_of(world, path) == "LINK_EXPIRED"


@pytest.mark.gen_test
async def test_keys_of_others_sign_nothing(world: World, teacher: Someone) -> None:
    file_id = await kept(world, teacher)
    now = world.clock.now()
    made = Link(file_id, teacher.id, 1, "attachment", int(now.timestamp()) + 60)
    for secret in ("", "guessed", world.c.settings.secret_key + " "):
        assert await code_of(world, f"{LINKS}/{LinkSigner(secret).sign(made, now)}/x") == "LINK_INVALID"
    forged = base64.urlsafe_b64encode(bytes(60)).decode()
    assert await code_of(world, f"{LINKS}/{forged}/x") == "LINK_INVALID"


@pytest.mark.gen_test
async def test_revoked_links_open_no_more_and_new_ones_do(world: World, teacher: Someone) -> None:
    file_id = await kept(world, teacher)
    reader = world.person(tenant_id=teacher.tenant_id)
    shared(world, file_id, reader)
    old = [await link_of(world, who, file_id) for who in (teacher, reader)]
    links = Links(world.c.link_signer, "", "")
    opens = teacher.principal.needing(Files.OPEN)
    world.c.db.run_sync(opens, service.revoke_links, file_id, links, about=About("file", file_id))
    assert [await code_of(world, one) for one in old] == ["LINK_REVOKED"] * 2
    assert await code_of(world, await link_of(world, reader, file_id)) is None


@pytest.mark.gen_test
async def test_who_is_shared_with_no_more_loses_every_link(world: World, teacher: Someone) -> None:
    file_id = await kept(world, teacher)
    reader = world.person(tenant_id=teacher.tenant_id)
    shared(world, file_id, reader)
    path = await link_of(world, reader, file_id)
    assert await code_of(world, path) is None
    opens = teacher.principal.needing(Files.OPEN)
    world.c.db.run_sync(opens, sharing.unshare, file_id, [reader.email], about=About("file", file_id))
    assert await code_of(world, path) == "NOT_FOUND"


@pytest.mark.gen_test
async def test_who_leaves_a_course_or_its_time_ends_loses_every_link(world: World, teacher: Someone) -> None:
    course = world.course(teacher)["id"]
    for ending in (
        "DELETE FROM standings WHERE person_id = :person AND course_id = :course",
        "UPDATE standings SET until = :now WHERE person_id = :person AND course_id = :course",
    ):
        file_id = await kept(world, teacher, category="course-materials", course_id=course, access_level="enrolled")
        reader = await learner(world, course)
        path = await link_of(world, reader, file_id)
        assert await code_of(world, path) is None
        values = {"person": reader.id, "course": course, "now": world.clock.now()}
        run(world, ending, **{name: value for name, value in values.items() if f":{name}" in ending})
        assert await code_of(world, path) == "NOT_FOUND"


@pytest.mark.gen_test
async def test_who_leaves_the_organization_loses_every_link(world: World, teacher: Someone) -> None:
    reader = world.person(tenant_id=teacher.tenant_id)
    open_to_all = await kept(world, teacher, access_level="tenant")
    own = await kept(world, reader)
    one_s, shared_one = await kept(world, teacher), await link_of(world, reader, open_to_all)
    shared(world, one_s, reader)
    paths = [shared_one, await link_of(world, reader, own), await link_of(world, reader, one_s)]
    assert [await code_of(world, path) for path in paths] == [None] * 3
    run(world, "UPDATE memberships SET is_active = false WHERE person_id = :person", person=reader.id)
    assert [await code_of(world, path) for path in paths] == ["NOT_FOUND"] * 3


@pytest.mark.gen_test
async def test_an_account_that_is_switched_off_opens_nothing(world: World, teacher: Someone) -> None:
    reader = world.person(tenant_id=teacher.tenant_id)
    path = await link_of(world, reader, await kept(world, reader))
    assert await code_of(world, path) is None
    run(world, "UPDATE people SET is_active = false WHERE id = :person", person=reader.id)
    assert await code_of(world, path) == "LINK_REVOKED"


@pytest.mark.gen_test
async def test_an_organization_that_sleeps_opens_nothing(world: World, teacher: Someone) -> None:
    path = await link_of(world, teacher, await kept(world, teacher))
    run(world, "UPDATE organizations SET is_active = false WHERE id = :tenant", tenant=teacher.tenant_id)
    assert await code_of(world, path) == "NOT_FOUND"


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"state": "scanning"}, "FILE_NOT_READY"),
        ({"state": "quarantined"}, "FILE_QUARANTINED"),
        ({"state": "failed"}, "FILE_FAILED"),
        ({"state": "erased"}, "NOT_FOUND"),
    ],
)
@pytest.mark.gen_test
async def test_a_file_that_may_not_be_opened_is_not(
    world: World, teacher: Someone, values: dict[str, str], code: str
) -> None:
    file_id = await kept(world, teacher)
    path = await link_of(world, teacher, file_id)
    settle(world, file_id, TEXT, **values)
    assert await code_of(world, path) == code


@pytest.mark.gen_test
async def test_a_file_in_the_trash_is_not_opened(world: World, teacher: Someone) -> None:
    file_id = await kept(world, teacher)
    path = await link_of(world, teacher, file_id)
    opens = teacher.principal.needing(Files.OPEN)
    world.c.db.run_sync(opens, service.trash, file_id, about=About("file", file_id))
    assert await code_of(world, path) == "FILE_IN_TRASH"


@pytest.mark.gen_test
async def test_a_link_that_names_somebody_who_may_not_opens_nothing(world: World, teacher: Someone) -> None:
    """Even one that is signed: who leaks the key of links gives away nothing that its person could not open."""
    file_id = await kept(world, teacher)
    now = world.clock.now()
    colleague = world.person("teacher", teacher.tenant_id)
    stranger = world.person("admin", world.organization())
    for person_id in (colleague.id, stranger.id, uuid4()):
        token = world.c.link_signer.sign(Link(file_id, person_id, 1, "inline", int(now.timestamp()) + 60), now)
        assert await code_of(world, f"{LINKS}/{token}/x") in ("NOT_FOUND", "LINK_REVOKED")
    token = world.c.link_signer.sign(Link(uuid4(), teacher.id, 1, "inline", int(now.timestamp()) + 60), now)
    assert await code_of(world, f"{LINKS}/{token}/x") == "NOT_FOUND"
    assert column(world, file_id, "download_count") == 0


@pytest.mark.gen_test
async def test_an_id_of_another_organization_opens_nothing(world: World, teacher: Someone) -> None:
    file_id = await kept(world, teacher, SECRET_TEXT)
    sha256 = column(world, file_id, "sha256")
    home = world.organization()
    for stranger in (world.person("admin", home), world.person("teacher", home), world.person()):
        for tenant_id in (stranger.tenant_id, teacher.tenant_id):
            client = world.of(stranger, **{"X-Tenant-ID": str(tenant_id)})
            for method in ("GET", "HEAD"):
                assert (await client.call(method, f"{FILES}{file_id}/download/")).status == 404
            assert (await client.get(f"{FILES}{file_id}/secure_url/")).status == 404
            assert (await client.get(f"/media/{file_id}/{sha256[:32]}/knots.txt")).status == 404
            assert (await client.get(f"/media/{file_id}/{sha256[:32]}/thumbnail/")).status == 404
            bulk = await client.post(f"{FILES}bulk_download/", {"file_ids": [str(file_id)]})
            assert bulk.status == (404 if tenant_id == stranger.tenant_id else 403)
    assert column(world, file_id, "download_count") == 0
