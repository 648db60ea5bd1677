"""The second factor as its person, an organization and the platform meet it. Attacks are in tests/security."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from edurise.identity import passwords, sessions
from edurise.identity.sessions import Way
from edurise.tenants.queries import MAIN
from tests.harness.authenticator import FACTOR, Authenticator, enrolled
from tests.harness.client import Answer, Client
from tests.harness.errands import run_actors
from tests.harness.letters import letters
from tests.harness.world import PASSWORD, Someone, World

AUTH = "/api/v1/accounts/auth"
STALE = timedelta(minutes=10, seconds=1)


async def log_in(world: World, person: Someone, **more: Any) -> Answer:
    return await world.anonymous.post(f"{AUTH}/login/", {"email": person.email, "password": PASSWORD, **more})


async def refreshed(world: World, person: Someone) -> Client:
    """The same session once its first access token has expired."""
    answer = await world.anonymous.post(f"{AUTH}/token/refresh/", {"refresh": person.refresh})
    return world.anonymous.as_(answer.data["access"])


def told(answer: Answer) -> tuple[int, str | None]:
    return answer.status, answer.code


def audited(world: World, person_id: UUID) -> list[tuple[str, UUID]]:
    """What was done about somebody's second factor and their session, and by whom, the oldest first."""
    query = text(
        """SELECT action, person_id FROM audit_log WHERE object_id = :person OR person_id = :person ORDER BY id"""
    )

    def read(session: Session) -> list[tuple[str, UUID]]:
        return [(row.action, row.person_id) for row in session.execute(query, {"person": person_id})]

    wanted = ("account.second_factor", "account.recovery", "session.proved")
    return [one for one in world.c.db.system_sync(read) if one[0].startswith(wanted)]


def reset_path(person_id: UUID) -> str:
    return f"/api/v1/users/{person_id}/reset_second_factor/"


@pytest.fixture
def demanded_of_platform(world: World) -> Iterator[None]:
    """``main`` demands a second factor of platform administrators."""
    change = text("UPDATE organizations SET settings = settings || CAST(:new AS jsonb) WHERE id = :main")
    forget = text("UPDATE organizations SET settings = settings - 'otp_roles' WHERE id = :main")
    demand = {"new": '{"otp_roles": ["platform"]}', "main": MAIN}
    world.c.db.system_sync(lambda session: session.execute(change, demand))
    yield
    world.c.db.system_sync(lambda session: session.execute(forget, {"main": MAIN}))


# -- enrolling ---------------------------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_beginning_again_replaces_the_secret_until_one_is_confirmed(world: World) -> None:
    person = world.person()
    client = world.of(person)
    assert told(await client.post(f"{FACTOR}/confirm/", {"otp": "000000"})) == (409, "OTP_NOT_ENROLLED")
    first, second = [(await client.post(f"{FACTOR}/", {"password": PASSWORD})).data["secret"] for _ in range(2)]
    refused = await client.post(f"{FACTOR}/confirm/", {"otp": Authenticator(world, first, []).code})
    assert told(refused) == (400, "OTP_WRONG")
    assert (await client.get(f"{FACTOR}/")).data == {
        "is_enrolled": False,
        "since": None,
        "recovery_codes_left": 0,
        "demanded_by": [],
    }
    confirmed = await client.post(f"{FACTOR}/confirm/", {"otp": Authenticator(world, second, []).code})
    assert confirmed.status == 200
    again = await client.post(f"{FACTOR}/confirm/", {"otp": Authenticator(world, second, []).fresh_code})
    assert told(again) == (409, "OTP_ENROLLED")


@pytest.mark.gen_test
async def test_beginning_again_does_not_begin_the_count_of_wrong_codes_again(world: World) -> None:
    person = world.person()
    client, codes = world.of(person), []
    for _ in range(5):
        begun = (await client.post(f"{FACTOR}/", {"password": PASSWORD})).data
        wrong = Authenticator(world, begun["secret"], []).wrong_code
        codes.append((await client.post(f"{FACTOR}/confirm/", {"otp": wrong})).code)
    assert codes == ["OTP_WRONG"] * 4 + ["OTP_LOCKED"]


@pytest.mark.gen_test
async def test_somebody_without_a_password_begins_without_one(world: World) -> None:
    person = world.person()
    world.c.db.system_sync(passwords.take_away, person.id)
    begun = await world.of(person).post(f"{FACTOR}/")
    mine = Authenticator(world, begun.data["secret"], [])
    assert (await world.of(person).post(f"{FACTOR}/confirm/", {"otp": mine.code})).status == 200
    world.clock.advance(STALE)
    assert (await world.of(person).post(f"{AUTH}/step-up/", {"otp": mine.code})).status == 200


@pytest.mark.gen_test
async def test_a_session_of_an_organization_s_provider_does_nothing_about_the_account(world: World) -> None:
    person = world.person("teacher", world.organization())
    way = Way("oidc", confined_to=person.tenant_id)

    def opened(session: Session) -> sessions.Opened:
        return sessions.open_session(session, person.id, person.tenant_id, ("", ""), world.c.lifetimes, way)

    found = world.c.db.system_sync(opened)
    ids = {"user_id": found.person_id, "session_id": found.session_id, "tenant_id": found.tenant_id}
    access = world.c.tokens.issue(**ids, pinned=True, version=found.version, confined=True)
    client = world.anonymous.as_(access)
    for answer in (
        await client.get(f"{FACTOR}/"),
        await client.post(f"{FACTOR}/", {"password": PASSWORD}),
        await client.post(f"{AUTH}/step-up/", {"password": PASSWORD}),
    ):
        assert told(answer) == (403, "SESSION_CONFINED")


@pytest.mark.gen_test
@pytest.mark.parametrize("otp", [None, "", "12345", 123456, ["123456"], "1" * 41, "12345\x00", {"code": "123456"}])
async def test_what_is_no_code_is_told_and_not_counted(world: World, otp: object) -> None:
    person = world.person()
    mine = await enrolled(world, person)
    for _ in range(6):
        refused = await world.of(person).post(f"{FACTOR}/disable/", {"otp": otp})
        assert (refused.status, refused.code, list(refused.body["errors"])) == (400, "VALIDATION_ERROR", ["otp"])
    assert (await log_in(world, person, otp=mine.fresh_code)).status == 200


@pytest.mark.gen_test
async def test_a_log_in_that_gives_no_code_is_not_counted(world: World) -> None:
    person = world.person()
    mine = await enrolled(world, person)
    for otp in (None, "", None, "", None, ""):
        assert told(await log_in(world, person, otp=otp)) == (403, "OTP_REQUIRED")
    assert (await log_in(world, person, otp=7)).code == "VALIDATION_ERROR"
    assert (await log_in(world, person, otp=mine.fresh_code)).status == 200


# -- giving it up ------------------------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_giving_it_up_is_told_and_undoes_everything(world: World) -> None:
    person = world.person()
    mine = await enrolled(world, person)
    assert (await world.of(person).post(f"{FACTOR}/disable/", {"otp": mine.fresh_code})).status == 200
    again = await world.of(person).post(f"{FACTOR}/disable/", {"otp": mine.fresh_code})
    assert told(again) == (409, "OTP_NOT_ENROLLED")
    assert (await log_in(world, person)).status == 200
    state = (await world.of(person).get(f"{FACTOR}/")).data
    assert (state["is_enrolled"], state["recovery_codes_left"]) == (False, 0)
    await run_actors(world, "account_mails.tell_of_no_second_factor", times=2)
    assert len(letters(world, person.email, "no second factor")) == 1, "told once"
    fresh = await enrolled(world, person)
    assert set(fresh.recovery_codes).isdisjoint(mine.recovery_codes)
    assert told(await log_in(world, person, otp=mine.recovery_codes[0])) == (400, "OTP_WRONG")


@pytest.mark.gen_test
async def test_what_is_demanded_stays_and_costs_no_recovery_code(world: World) -> None:
    school = world.organization()
    person = world.person("admin", school)
    mine = await enrolled(world, person)
    assert (await world.of(person).patch("/api/v1/organizations/settings/", {"otp_roles": ["admin"]})).status == 200
    code = mine.recovery_codes[0]
    assert told(await world.of(person).post(f"{FACTOR}/disable/", {"otp": code})) == (409, "OTP_DEMANDED")
    state = (await world.of(person).get(f"{FACTOR}/")).data
    assert (state["recovery_codes_left"], len(state["demanded_by"])) == (10, 1)


@pytest.mark.gen_test
async def test_a_demand_of_the_administrator_s_role_gives_nothing_before_and_all_after(world: World) -> None:
    school = world.organization()
    founder, person = world.person("admin", school), world.person("admin", school)
    await enrolled(world, founder)
    await world.of(founder).patch("/api/v1/organizations/settings/", {"otp_roles": ["admin"]})
    form = {"title": "Knots", "category": "technology"}
    calls: list[tuple[str, str, Any]] = [
        ("GET", "/api/v1/organizations/settings/", None),
        ("PATCH", "/api/v1/organizations/settings/", {"otp_roles": []}),
        ("GET", "/api/v1/users/", None),
        ("POST", "/api/v1/courses/", form),
    ]
    for verb, path, body in calls:
        assert told(await world.of(person).call(verb, path, body)) == (403, "OTP_REQUIRED"), path
    await enrolled(world, person)
    for verb, path, body in calls:
        assert (await world.of(person).call(verb, path, body)).status in (200, 201), path


@pytest.mark.gen_test
@pytest.mark.usefixtures("demanded_of_platform")
async def test_what_the_platform_demands_of_its_administrators_is_shown_and_kept(world: World) -> None:
    root, member = world.person(platform=True), world.person()
    reset = reset_path(member.id)
    assert told(await world.of(root).post(reset)) == (403, "OTP_REQUIRED")
    assert len((await world.of(root).get(f"{FACTOR}/")).data["demanded_by"]) == 1
    assert (await world.of(member).get(f"{FACTOR}/")).data["demanded_by"] == []
    mine = await enrolled(world, root)
    assert (await world.of(root).post(reset)).status == 200
    kept = await world.of(root).post(f"{FACTOR}/disable/", {"otp": mine.fresh_code})
    assert told(kept) == (409, "OTP_DEMANDED")


# -- a platform administrator's reset ----------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_a_reset_asks_for_a_recent_code_and_is_told_and_audited(world: World) -> None:
    person, root = world.person(), world.person(platform=True)
    await enrolled(world, person)
    mine = await enrolled(world, root)
    world.clock.advance(STALE)
    path = reset_path(person.id)
    assert told(await world.of(root).post(path)) == (403, "STEP_UP_REQUIRED")
    assert (await world.of(root).post(f"{AUTH}/step-up/", {"otp": mine.code})).status == 200
    assert (await world.of(root).post(path)).status == 200
    assert audited(world, person.id)[-1] == ("account.second_factor_reset", root.id)
    await run_actors(world, "account_mails.tell_of_no_second_factor")
    assert len(letters(world, person.email, "no second factor")) == 1
    entered = await log_in(world, person)
    assert (await world.of(root).post(path)).status == 200
    kept = await world.anonymous.post(f"{AUTH}/token/refresh/", {"refresh": entered.data["refresh"]})
    assert kept.status == 200, "a repeat ends no session"


@pytest.mark.gen_test
async def test_nobody_resets_their_own_or_nobody_s(world: World) -> None:
    root = world.person(platform=True)
    await enrolled(world, root)
    assert told(await world.of(root).post(reset_path(root.id))) == (409, "NOT_ON_ONESELF")
    assert told(await world.of(root).post(reset_path(uuid4()))) == (404, "NOT_FOUND")
    assert (await world.of(root).get(f"{FACTOR}/")).data["is_enrolled"] is True


@pytest.mark.gen_test
async def test_a_reset_of_what_was_only_begun_tells_nobody(world: World) -> None:
    person, root = world.person(), world.person(platform=True)
    await world.of(person).post(f"{FACTOR}/", {"password": PASSWORD})
    assert (await world.of(root).post(reset_path(person.id))).status == 200
    await run_actors(world, "account_mails.tell_of_no_second_factor")
    assert letters(world, person.email, "no second factor") == []
    kept = await world.anonymous.post(f"{AUTH}/token/refresh/", {"refresh": person.refresh})
    assert kept.status == 200


# -- what is answered for ----------------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_every_step_is_audited(world: World) -> None:
    person = world.person()
    mine = await enrolled(world, person)
    client = world.of(person)
    await client.post(f"{AUTH}/step-up/", {"otp": mine.recovery_codes[0]})
    for _ in range(5):
        await client.post(f"{AUTH}/step-up/", {"otp": mine.wrong_code})
    world.clock.advance(timedelta(minutes=15))
    client = await refreshed(world, person)
    await client.post(f"{FACTOR}/recovery-codes/", {"otp": mine.fresh_code})
    assert (await client.post(f"{FACTOR}/disable/", {"otp": mine.fresh_code})).status == 200
    assert [one for one, by in audited(world, person.id) if by == person.id] == [
        "account.second_factor_begun",
        "session.proved",
        "account.second_factor_enrolled",
        "account.recovery_used",
        "session.proved",
        "account.second_factor_locked",
        "session.proved",
        "account.recovery_renewed",
        "account.second_factor_disabled",
    ]


@pytest.mark.gen_test
async def test_a_step_up_lasts_for_ten_minutes_in_its_own_session(world: World) -> None:
    person = world.person()
    mine = await enrolled(world, person)
    world.clock.advance(STALE)
    other = (await log_in(world, person, otp=mine.code)).data["access"]
    change = {
        "old_password": "not mine",
        "new_password1": "seven quiet lanterns",
        "new_password2": "seven quiet lanterns",
    }
    path = f"{AUTH}/password/change/"
    assert told(await world.of(person).post(path, change)) == (403, "STEP_UP_REQUIRED")
    assert (await world.anonymous.as_(other).post(path, change)).status == 400, "a log-in with a code is fresh"
    assert (await world.of(person).post(f"{AUTH}/step-up/", {"otp": mine.fresh_code})).status == 200
    world.clock.advance(timedelta(minutes=10))
    client = await refreshed(world, person)
    assert (await client.post(path, change)).status == 400
    world.clock.advance(timedelta(seconds=1))
    assert told(await client.post(path, change)) == (403, "STEP_UP_REQUIRED")
