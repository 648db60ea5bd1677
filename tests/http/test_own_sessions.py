"""One's own sessions: seen with their devices, ended one by one or all, and bound by the strictest organization."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from edurise.identity.watch import read_revocations
from edurise.tenants.models import Organization
from edurise.tenants.service import join
from tests.harness.client import Answer
from tests.harness.world import PASSWORD, Someone, World

AUTH = "/api/v1/accounts/auth"
SESSIONS = "/api/v1/accounts/sessions"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


async def log_in(world: World, person: Someone, **headers: str) -> dict[str, Any]:
    answer = await world.anonymous.post(f"{AUTH}/login/", {"email": person.email, "password": PASSWORD}, **headers)
    assert answer.status == 200
    return answer.data


async def refresh(world: World, token: str) -> Answer:
    return await world.anonymous.post(f"{AUTH}/token/refresh/", {"refresh": token})


async def heard(world: World) -> None:
    """What every process does each second."""
    await read_revocations(world.c.db, world.c.tokens, world.c.settings.secret_key)


def policy(world: World, tenant_id: UUID, **settings: object) -> None:
    def write(session: Session) -> None:
        session.execute(update(Organization).where(Organization.id == tenant_id).values(settings=settings))

    world.c.db.system_sync(write)


@pytest.mark.gen_test
async def test_sessions_tell_device_address_and_last_use(world: World) -> None:
    person = world.person()
    world.clock.advance(timedelta(minutes=1))
    await log_in(world, person, User_Agent=FIREFOX)
    listed = (await world.of(person).get(f"{SESSIONS}/")).data
    assert [one["device"] for one in listed] == ["Firefox on Linux", ""]
    assert [one["is_current"] for one in listed] == [False, True]
    assert listed[0]["ip_address"] == "127.0.0.1"
    assert listed[0]["method"] == "password"
    world.clock.advance(timedelta(minutes=1))
    await refresh(world, person.refresh)
    listed = (await world.of(person).get(f"{SESSIONS}/")).data
    assert listed[0]["is_current"], "the last used comes first"
    assert datetime.fromisoformat(listed[0]["last_used_at"]) == world.clock.now()


@pytest.mark.gen_test
async def test_a_session_is_ended_from_another_one(world: World) -> None:
    person = world.person()
    other = await log_in(world, person)
    theirs = world.anonymous.as_(other["access"])
    listed = (await world.of(person).get(f"{SESSIONS}/")).data
    ended = next(one["id"] for one in listed if not one["is_current"])
    for _ in range(2):
        assert (await world.of(person).call("DELETE", f"{SESSIONS}/{ended}/")).status == 200
    await heard(world)
    assert (await theirs.get("/api/v1/users/me/")).code == "TOKEN_INVALID"
    assert (await refresh(world, other["refresh"])).code == "TOKEN_INVALID"
    assert (await world.of(person).get("/api/v1/users/me/")).status == 200


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("path", "body", "ended", "goes_on"),
    [
        (f"{SESSIONS}/end/", {}, 2, True),
        (f"{SESSIONS}/end/", {"keep_current": False}, 3, False),
        (f"{AUTH}/logout/all/", {}, 3, False),
    ],
)
async def test_all_at_once(world: World, path: str, body: dict[str, Any], ended: int, goes_on: bool) -> None:
    person = world.person()
    for _ in range(2):
        await log_in(world, person)
    answer = await world.of(person).post(path, body)
    assert answer.data == {"ended": ended}
    await heard(world)
    me = await world.of(person).get("/api/v1/users/me/")
    assert (me.status == 200) is goes_on
    assert ((await refresh(world, person.refresh)).status == 200) is goes_on


@pytest.mark.gen_test
async def test_a_session_that_rests_too_long_ends(world: World) -> None:
    school = world.organization()
    person = world.person(tenant_id=school)
    policy(world, school, session_idle_minutes=30)
    first = await log_in(world, person)
    world.clock.advance(timedelta(minutes=29))
    second = await refresh(world, first["refresh"])
    assert second.status == 200
    world.clock.advance(timedelta(minutes=29))
    third = await refresh(world, second.data["refresh"])
    assert third.status == 200
    world.clock.advance(timedelta(minutes=31))
    assert (await refresh(world, third.data["refresh"])).code == "TOKEN_INVALID"


@pytest.mark.gen_test
async def test_a_session_ends_after_its_time_and_no_token_outlives_it(world: World) -> None:
    school, strict = world.organization(), world.organization()
    person = world.person(tenant_id=school)
    world.c.db.system_sync(lambda session: join(session, strict, person.id))
    policy(world, school, session_absolute_hours=5)
    policy(world, strict, session_absolute_hours=1)
    tokens = await log_in(world, person)
    for _ in range(5):
        world.clock.advance(timedelta(minutes=10))
        tokens = (await refresh(world, tokens["refresh"])).data
    client = world.anonymous.as_(tokens["access"])
    assert (await client.get("/api/v1/users/me/")).status == 200
    world.clock.advance(timedelta(minutes=10, seconds=1))
    assert (await client.get("/api/v1/users/me/")).code == "TOKEN_EXPIRED"
    assert (await refresh(world, tokens["refresh"])).code == "TOKEN_INVALID"


@pytest.mark.gen_test
async def test_a_policy_counts_from_the_next_use_for_sessions_that_are_open(world: World) -> None:
    school = world.organization()
    person = world.person(tenant_id=school)
    tokens = await log_in(world, person)
    policy(world, school, session_idle_minutes=15)
    tokens = (await refresh(world, tokens["refresh"])).data
    world.clock.advance(timedelta(minutes=16))
    assert (await refresh(world, tokens["refresh"])).status == 401
