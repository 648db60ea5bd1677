"""One's own data over HTTP: the copy of it, and the end of an account that a log-in undoes."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import delete, select, text
from sqlalchemy.orm import Session

from edurise.audit import AuditEntry
from edurise.authz import ANY_PERSON, Principal
from edurise.errors import Conflict
from edurise.identity import leaving
from edurise.identity.models import Credential, LoginSession, Person
from edurise.identity.watch import read_revocations
from edurise.privacy import exports
from edurise.tenants import members
from edurise.tenants import service as tenants
from tests.harness.client import Answer
from tests.harness.counting import statements
from tests.harness.errands import run_actors
from tests.harness.letters import letters
from tests.harness.world import PASSWORD, Someone, World

EXPORT = "/api/v1/users/export-data/"
DELETE = "/api/v1/users/delete-account/"
AUTH = "/api/v1/accounts/auth"
MANY_NOTIFICATIONS, MANY_ACTS = 10_000, 5_000


async def log_in(world: World, person: Someone) -> Answer:
    return await world.anonymous.post(f"{AUTH}/login/", {"email": person.email, "password": PASSWORD})


def person_of(world: World, person: Someone) -> Person:
    return world.c.db.system_sync(lambda session: session.get_one(Person, person.id))


def set_person(world: World, person: Someone, **values: Any) -> None:
    def write(session: Session) -> None:
        for name, value in values.items():
            setattr(session.get_one(Person, person.id), name, value)

    world.c.db.system_sync(write)


def audited(world: World, person_id: UUID) -> list[str]:
    query = select(AuditEntry.action).where(AuditEntry.object_id == person_id).order_by(AuditEntry.id)
    return list(world.c.db.system_sync(lambda session: session.scalars(query).all()))


@pytest.mark.gen_test
async def test_an_export_is_a_file_and_is_audited(world: World) -> None:
    school = world.organization()
    person = world.person("teacher", school)
    course = world.course(person)
    world.notification(person)
    answer = await world.of(person).get(EXPORT)
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.headers["Cache-Control"] == "no-store"
    name = f"user-data-{world.clock.now():%Y-%m-%d}.json"
    assert f'attachment; filename="{name}"' in answer.headers["Content-Disposition"]
    document = json.loads(answer.content)
    assert document["person_id"] == str(person.id)
    assert document["data"]["identity"]["people"][0]["email"] == person.email
    assert [one["id"] for one in document["data"]["courses"]["courses"]] == [str(course["id"])]
    assert [one["tenant_id"] for one in document["data"]["tenants"]["memberships"]] == [str(school)]
    assert str(school) in {one["id"] for one in document["organizations"]}
    assert "account.exported" in audited(world, person.id)


@pytest.mark.gen_test
async def test_an_export_wants_a_fresh_second_factor_of_who_has_one(world: World) -> None:
    person = world.person()
    set_person(world, person, has_second_factor=True)
    assert (await world.of(person).get(EXPORT)).status == 200, "it was just given"
    world.clock.advance(timedelta(minutes=11))
    for answer in (await world.of(person).get(EXPORT), await world.of(person).post(DELETE, {"password": PASSWORD})):
        assert (answer.status, answer.code) == (403, "STEP_UP_REQUIRED")


def fill(session: Session, person: Someone) -> None:
    values = {"p": person.id, "t": person.tenant_id, "n": MANY_NOTIFICATIONS, "a": MANY_ACTS}
    session.execute(
        text("""INSERT INTO notifications (id, tenant_id, user_id, type, category, title, message, source_id, created_at)
                SELECT gen_random_uuid(), :t, :p, 'welcome', 'system', 'Title ' || n, repeat('word ', 40),
                       gen_random_uuid(), now() FROM generate_series(1, :n) n"""),
        values,
    )
    session.execute(
        text("""INSERT INTO activity (id, tenant_id, person_id, kind, object_kind, object_id, seconds, at)
                SELECT gen_random_uuid(), :t, :p, 'read', 'lesson', gen_random_uuid(), n, now()
                  FROM generate_series(1, :a) n"""),
        values,
    )


async def longest_pause(work: Any) -> tuple[Any, float]:
    """What ``work`` returns, and for how long the loop did nothing else meanwhile, in seconds. What was there before is
    frozen, as a server's is: the heap of a whole run of tests takes the collector longer than the work."""
    loop, worst, done = asyncio.get_running_loop(), 0.0, False

    async def tick() -> None:
        nonlocal worst
        while not done:
            before = loop.time()
            await asyncio.sleep(0.005)
            worst = max(worst, loop.time() - before)

    gc.collect()
    gc.freeze()
    ticking = asyncio.ensure_future(tick())
    try:
        found = await work
    finally:
        done = True
        await ticking
        gc.unfreeze()
    return found, worst


@pytest.mark.gen_test(timeout=60)
async def test_a_heavy_person_is_exported_in_time_by_as_many_statements(world: World) -> None:
    light, heavy = world.person(), world.person()
    world.c.db.system_sync(fill, heavy)
    with statements(world, system=True) as few:
        world.c.db.system_sync(exports.document, light.id)
    with statements(world, system=True) as many:
        world.c.db.system_sync(exports.document, heavy.id)
    assert len(many) == len(few)
    begun, headers = time.monotonic(), {"Authorization": f"Bearer {heavy.access}"}
    asking = partial(httpx.get, world.base_url + EXPORT, headers=headers, timeout=30, trust_env=False)
    answer, pause = await longest_pause(asyncio.to_thread(asking))  # a client on the loop would be in the pauses
    assert time.monotonic() - begun < 15
    assert pause < 0.25
    data = answer.json()["data"]
    assert len(data["notifications"]["notifications"]) == MANY_NOTIFICATIONS
    assert len(data["activity"]["activity"]) == MANY_ACTS


@pytest.mark.gen_test
async def test_deleting_ends_every_session_and_a_log_in_undoes_it(world: World) -> None:
    person = world.person()
    elsewhere = (await log_in(world, person)).data
    answer = await world.of(person).post(DELETE, {"password": PASSWORD})
    assert answer.status == 200
    until = person_of(world, person).erase_after
    assert until == world.clock.now() + timedelta(days=world.c.settings.deletion_grace_days)
    assert answer.data["erase_after"] == until.isoformat().replace("+00:00", "Z")
    for token in (person.refresh, elsewhere["refresh"]):
        assert (await world.anonymous.post(f"{AUTH}/token/refresh/", {"refresh": token})).status == 401
    await read_revocations(world.c.db, world.c.tokens, world.c.settings.secret_key)
    assert (await world.of(person).get("/api/v1/users/me/")).status == 401
    await run_actors(world, "privacy.mail_a_deletion", times=2)
    (letter,) = letters(world, person.email, "will be deleted")
    assert str(until.year) in letter.text

    world.clock.advance(timedelta(days=1))
    again = await log_in(world, person)
    assert again.status == 200
    assert person_of(world, person).erase_after is None
    assert (await world.anonymous.as_(again.data["access"]).get("/api/v1/users/me/")).status == 200
    await run_actors(world, "privacy.mail_a_restoring", times=2)
    assert len(letters(world, person.email, "account stays")) == 1
    assert [one for one in audited(world, person.id) if one.startswith("account.")] == [
        "account.deletion_asked",
        "account.restored",
    ]


@pytest.mark.gen_test
async def test_deleting_twice_changes_nothing(world: World) -> None:
    person = world.person()
    client = world.of(person)
    first, second = await asyncio.gather(
        client.post(DELETE, {"password": PASSWORD}), client.post(DELETE, {"password": PASSWORD})
    )
    assert (first.status, second.status) == (200, 200)
    assert first.data == second.data
    assert audited(world, person.id).count("account.deletion_asked") == 1
    assert await run_actors(world, "privacy.mail_a_deletion") == 1


@pytest.mark.gen_test
async def test_the_last_administrator_names_another_first(world: World) -> None:
    school = world.organization()
    administrator = world.person("admin", school)
    for _ in range(2):
        refused = await world.of(administrator).post(DELETE, {"password": PASSWORD})
        assert (refused.status, refused.code) == (409, "LAST_ADMINISTRATOR")
    assert person_of(world, administrator).erase_after is None
    colleague = world.person("admin", school)
    assert (await world.of(administrator).post(DELETE, {"password": PASSWORD})).status == 200
    left = await world.of(colleague).post(DELETE, {"password": PASSWORD})
    assert left.code == "LAST_ADMINISTRATOR", "who is leaving does not stay"


@pytest.mark.gen_test
async def test_who_is_leaving_is_no_administrator_to_count_on(world: World) -> None:
    school = world.organization()
    leaver, stays, platform = world.person("admin", school), world.person("admin", school), world.person(platform=True)
    assert (await world.of(leaver).post(DELETE, {"password": PASSWORD})).status == 200
    who = replace(platform.principal, wanted=school, needs=ANY_PERSON)
    for act in (
        lambda: world.c.db.run_sync(who, members.remove, stays.id),
        lambda: world.c.db.run_sync(who, members.give_role, stays.id, "teacher"),
    ):
        with pytest.raises(Conflict, match="LAST_ADMINISTRATOR"):
            act()
    world.c.db.run_sync(who, members.remove, leaver.id)


@pytest.mark.gen_test
async def test_the_refusal_names_the_organization(world: World) -> None:
    school = world.organization("Harbour")
    administrator = world.person("admin", school)
    refused = await world.of(administrator).post(DELETE, {"password": PASSWORD})
    assert "Harbour" in refused.body["message"]
    german = await world.of(administrator, Accept_Language="de").post(DELETE, {"password": PASSWORD})
    assert "Harbour" in german.body["message"]


@pytest.mark.gen_test
async def test_a_platform_administrator_stays(world: World) -> None:
    person = world.person(platform=True)
    refused = await world.of(person).post(DELETE, {"password": PASSWORD})
    assert (refused.status, refused.code) == (409, "PLATFORM_ADMINISTRATOR")


@pytest.mark.gen_test
async def test_who_has_no_password_gives_a_second_factor(world: World) -> None:
    person = world.person()
    world.c.db.system_sync(lambda session: session.execute(delete(Credential).where(Credential.person_id == person.id)))
    for body in ({}, {"password": ""}, {"password": PASSWORD}):
        refused = await world.of(person).post(DELETE, body)
        assert (refused.status, refused.code) == (400, "PASSWORD_WRONG")
    set_person(world, person, has_second_factor=True)
    assert (await world.of(person).post(DELETE, {})).status == 200


@pytest.mark.gen_test
async def test_a_second_factor_does_not_stand_for_a_password(world: World) -> None:
    person = world.person()
    set_person(world, person, has_second_factor=True)
    refused = await world.of(person).post(DELETE, {"password": ""})
    assert (refused.status, refused.code) == (400, "PASSWORD_WRONG")


@pytest.mark.gen_test
@pytest.mark.parametrize("body", [{"password": 7}, {"password": None}, {"password": PASSWORD, "now": True}])
async def test_bad_input(world: World, body: dict[str, Any]) -> None:
    refused = await world.of(world.person()).post(DELETE, body)
    assert (refused.status, refused.code) == (400, "VALIDATION_ERROR")


@pytest.mark.gen_test
async def test_who_is_leaving_may_be_removed_from_an_organization(world: World) -> None:
    """The account waits; memberships go their own way meanwhile."""
    school = world.organization()
    administrator, person = world.person("admin", school), world.person(tenant_id=school)
    assert (await world.of(person).post(DELETE, {"password": PASSWORD})).status == 200
    who = administrator.principal
    world.c.db.run_sync(who, members.remove, person.id)
    assert (await log_in(world, person)).status == 200
    world.c.db.system_sync(lambda session: tenants.join(session, school, person.id))


@pytest.mark.gen_test
async def test_a_log_in_through_an_organization_keeps_no_account(world: World) -> None:
    person = world.person()
    who = Principal(user_id=person.id)

    def leave_and_look(session: Session) -> list[Any]:
        encoded, _ = leaving.proofs(session, who)
        leaving.leave(session, who, encoded, timedelta(days=1), world.c.lifetimes)
        query = select(LoginSession.revoked_at).where(LoginSession.person_id == person.id)
        return list(session.scalars(query).all())

    assert all(world.c.db.system_sync(leave_and_look))
    with pytest.raises(Exception, match="SIGN_IN_REFUSED"):
        world.c.db.system_sync(lambda session: leaving.restore_if_leaving(session, person.id, confined=True))
    assert person_of(world, person).erase_after is not None
    assert world.c.db.system_sync(leaving.restore_if_leaving, person.id) is True
    assert world.c.db.system_sync(leaving.restore_if_leaving, person.id) is False
