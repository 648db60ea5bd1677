"""Pictures of people and logos of organizations: seen at once, kept as pixels, replaced, and refused."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from edurise.files.models import File
from tests.harness.client import Answer
from tests.harness.errands import run_actors
from tests.harness.filing import TEXT, form, picture
from tests.harness.world import Someone, World

UPLOAD = "/api/v1/user-profiles/upload_avatar/"
CURRENT = "/api/v1/organizations/current/"
ME = "/api/v1/users/me/"


async def show(world: World, who: Someone, content: bytes, name: str = "me.png", field: str = "avatar") -> Answer:
    raw, media = form(content, name, {}, field)
    return await world.of(who).call("POST", UPLOAD, raw=raw, headers={"Content-Type": media})


def path_of(url: str) -> str:
    return "/media/" + url.partition("/media/")[2]


def files_of(world: World, who: Someone, state: str = "ready") -> int:
    def count(session: Session) -> int:
        return session.scalar(select(func.count()).where(File.owner_id == who.id, File.state == state)) or 0

    return world.c.db.system_sync(count)


def data_url(content: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


@pytest.mark.gen_test
async def test_a_picture_is_seen_at_once_by_anybody_and_the_one_before_is_gone(world: World) -> None:
    person = world.person()
    first = await show(world, person, picture())
    assert first.status == 200, first.content
    shown = await world.anonymous.get(path_of(first.data["avatar_url"]))
    assert (shown.status, shown.headers["Content-Type"]) == (200, first.data["content_type"])
    assert shown.content != picture(), "it was made anew"
    second = await show(world, person, picture((300, 300)))
    assert (await world.of(person).get(ME)).body["avatar"] == second.data["avatar_url"] != first.data["avatar_url"]
    assert (await world.anonymous.get(path_of(first.data["avatar_url"]))).status == 404
    assert (files_of(world, person), files_of(world, person, "erased")) == (1, 1)
    assert await run_actors(world, "files.inspect") >= 2, "what the events ask for was done already"
    assert files_of(world, person) == 1
    profile = (await world.of(person).get("/api/v1/user-profiles/me/")).data
    assert profile["avatar"] == second.data["avatar_url"]


@pytest.mark.gen_test
async def test_a_picture_may_be_sent_back_as_it_was_read(world: World) -> None:
    """Clients send whole forms: what did not change is no change, and another address is refused with the reason."""
    person = world.person("admin", world.organization())
    client, profile = world.of(person), f"/api/v1/user-profiles/{person.id}/"
    assert (await client.patch(profile, {"bio": "Ropes", "avatar": None})).data["avatar"] is None
    shown = (await show(world, person, picture())).data["avatar_url"]
    again = await client.patch(profile, {"bio": "Knots", "avatar": shown})
    assert (again.status, again.data["bio"], again.data["avatar"]) == (200, "Knots", shown)
    for other in ("https://elsewhere.example/a.png", shown + "x", None, ""):
        refused = await client.patch(profile, {"bio": "Lost", "avatar": other})
        assert (refused.status, [*refused.body["errors"]]) == (400, ["avatar"]), other
    assert (await client.get("/api/v1/user-profiles/")).content.count(b"Knots") == 1
    logo = (await client.patch(CURRENT, {"logo": data_url(picture())})).data["logo"]
    kept = await client.patch(CURRENT, {"logo": logo, "description": "By the sea"})
    assert (kept.data["logo"], kept.data["description"]) == (logo, "By the sea")
    assert files_of(world, person) == 2


@pytest.mark.gen_test
async def test_a_logo_that_comes_with_what_is_refused_is_not_taken(world: World) -> None:
    taken, person = world.organization(), world.person("admin", world.organization())
    name = (await world.anonymous.get(f"/api/v1/organizations/{taken}/")).data["subdomain"]
    client = world.of(person)
    before = (await client.patch(CURRENT, {"logo": data_url(picture())})).data["logo"]
    refused = await client.patch(CURRENT, {"logo": data_url(picture(size=(3, 3))), "subdomain": name})
    assert (refused.status, refused.code) == (409, "SUBDOMAIN_TAKEN")
    assert (await client.get(CURRENT)).data["logo"] == before
    assert (await world.anonymous.get(path_of(before))).status == 200
    assert files_of(world, person) == 1, "nothing is left behind"


@pytest.mark.gen_test(timeout=60)
async def test_of_pictures_that_come_at_once_one_stays(world: World) -> None:
    for _ in range(5):
        person = world.person()
        shown = await asyncio.gather(*(show(world, person, picture((60 + side, 60))) for side in range(6)))
        assert {one.status for one in shown} == {200}
        assert (files_of(world, person), files_of(world, person, "erased")) == (1, 5)
        last = (await world.of(person).get(ME)).body["avatar"]
        assert (await world.anonymous.get(path_of(last))).status == 200


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("content", "name", "field", "status"),
    [
        (TEXT, "me.png", "avatar", 400),
        (TEXT, "me.txt", "avatar", 400),
        (b"<svg onload='alert(1)'/>", "me.svg", "avatar", 400),
        (picture()[:200], "me.png", "avatar", 400),
        (b"", "me.png", "avatar", 400),
        (picture(), "me.png", "file", 400),
        (b"\x89PNG\r\n\x1a\n" + b"x" * (6 * 1024 * 1024), "me.png", "avatar", 413),
    ],
)
async def test_what_is_no_picture_leaves_nothing_behind(
    world: World, content: bytes, name: str, field: str, status: int
) -> None:
    person = world.person()
    good = await show(world, person, picture())
    refused = await show(world, person, content, name, field)
    assert refused.status == status, refused.content
    assert files_of(world, person) == 1
    assert (await world.of(person).get(ME)).body["avatar"] == good.data["avatar_url"]


@pytest.mark.gen_test
async def test_an_organization_shows_its_logo_until_it_takes_it_away(world: World) -> None:
    school = world.organization()
    administrator = world.person("admin", school)
    client = world.of(administrator)
    furnished = await client.patch(CURRENT, {"logo": data_url(picture()), "description": "By the sea"})
    logo = furnished.data["logo"]
    assert (await world.anonymous.get(path_of(logo))).status == 200
    assert (await world.anonymous.get(f"/api/v1/organizations/{school}/")).data["logo"] == logo
    assert (await client.get(CURRENT)).data["description"] == "By the sea"
    kept = await client.patch(CURRENT, {"description": "On the hill"})
    assert kept.data["logo"] == logo, "what is not named stays"
    gone = await client.patch(CURRENT, {"logo": None})
    assert gone.data["logo"] is None
    assert (await world.anonymous.get(path_of(logo))).status == 404


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "logo",
    [
        data_url(TEXT),
        data_url(b"<svg/>", "image/svg+xml"),
        data_url(picture(), "text/html"),
        "data:image/png;base64,====",
        "https://elsewhere.example/logo.png",
        data_url(b"\x89PNG\r\n\x1a\n" + b"x" * (512 * 1024)),
        "",
    ],
)
async def test_what_is_no_logo(world: World, logo: Any) -> None:
    administrator = world.person("admin", world.organization())
    refused = await world.of(administrator).patch(CURRENT, {"name": "Harbour", "logo": logo})
    assert refused.status == 400, refused.content
    assert (await world.of(administrator).get(CURRENT)).data["name"] != "Harbour", "all or nothing"
    assert files_of(world, administrator) == 0
