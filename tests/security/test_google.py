"""Signing in with Google: as it should be, against a hostile Google, and against whoever registered an address first."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session
from tornado.ioloop import IOLoop

from edurise.adapters.google_accounts import GoogleAccounts
from edurise.adapters.provision import DatabaseUrls
from edurise.adapters.resilience import CircuitBreaker
from edurise.errors import Upstream
from edurise.identity.models import Credential, Person
from tests.harness.authenticator import enrolled
from tests.harness.client import Answer
from tests.harness.world import PASSWORD, Someone, World
from tests.harness.worlds import another
from tests.security.scene import closed_main
from tests.simulators.google import CLIENT_ID, Google

AUTH = "/api/v1/accounts/auth"
ME = "/api/v1/users/me/"


@pytest.fixture
def google(io_loop: IOLoop) -> Iterator[Google]:
    found = Google()

    async def start() -> Any:
        return found.start()

    server = io_loop.run_sync(start)
    yield found
    server.stop()


def offering(world: World, database: DatabaseUrls, google: Google) -> Any:
    urls = {
        "google_tokeninfo_url": f"{google.base_url}/tokeninfo",
        "google_userinfo_url": f"{google.base_url}/userinfo",
    }
    return another(world, database, google_client_id=CLIENT_ID, **urls)


async def sign_in(world: World, token: str, **more: Any) -> Answer:
    return await world.anonymous.post(f"{AUTH}/google/", {"access_token": token} | more)


def verified(world: World, person: Someone) -> None:
    def write(session: Session) -> None:
        session.get_one(Person, person.id).email_verified_at = world.clock.now()

    world.c.db.system_sync(write)


def has_password(world: World, person: Someone) -> bool:
    return world.c.db.system_sync(lambda session: session.get(Credential, person.id) is not None)


@pytest.mark.gen_test
async def test_somebody_new_gets_an_account_and_comes_back_to_it(
    world: World, database: DatabaseUrls, google: Google
) -> None:
    token = uuid4().hex
    google.account(token)
    async with offering(world, database, google) as open_world:
        first = await sign_in(open_world, token)
        assert first.status == 200, first.content
        assert first.body["tokens"] == {"access": first.body["access"], "refresh": first.body["refresh"]}
        user = first.body["user"]
        assert (user["first_name"], user["is_verified"], user["role"]) == ("Ada", True, "student")
        google.account(token, email=f"moved-{token}@example.org")
        again = await sign_in(open_world, token)
        assert again.body["user"]["id"] == user["id"], "the subject counts, not the address"
        sessions = (
            await open_world.anonymous.as_(again.body["tokens"]["access"]).get("/api/v1/accounts/sessions/")
        ).data
        assert {one["method"] for one in sessions} == {"google"}
        password = {"email": user["email"], "password": PASSWORD}
        assert (await open_world.anonymous.post(f"{AUTH}/login/", password)).code == "INVALID_CREDENTIALS"


@pytest.mark.gen_test
async def test_two_at_once_make_one_account(world: World, database: DatabaseUrls, google: Google) -> None:
    token = uuid4().hex
    google.account(token)
    async with offering(world, database, google) as open_world:
        answers = await asyncio.gather(*(sign_in(open_world, token) for _ in range(4)))
        assert {one.status for one in answers} <= {200, 429}
        assert len({one.body["user"]["id"] for one in answers if one.status == 200}) == 1

        def people(session: Session) -> int:
            return session.scalar(select(func.count()).where(Person.email == f"{token}@example.org")) or 0

        assert open_world.c.db.system_sync(people) == 1


@pytest.mark.gen_test
async def test_a_verified_account_is_linked_and_keeps_its_password(
    world: World, database: DatabaseUrls, google: Google
) -> None:
    person, token = world.person("teacher"), uuid4().hex
    verified(world, person)
    google.account(token, email=person.email.upper())
    async with offering(world, database, google) as open_world:
        found = await sign_in(open_world, token)
        assert found.body["user"]["id"] == str(person.id)
        assert (await open_world.of(person).get(ME)).status == 200
        assert has_password(world, person)


@pytest.mark.gen_test
async def test_pre_hijacking_loses_everything_it_had(world: World, database: DatabaseUrls, google: Google) -> None:
    hijacker = world.person()  # registered the victim's address and never showed that it is theirs
    mine = await enrolled(world, hijacker)
    token = uuid4().hex
    google.account(token, email=hijacker.email)
    async with offering(world, database, google) as open_world:
        victim = await sign_in(open_world, token)
        assert (victim.status, victim.body["user"]["id"]) == (200, str(hijacker.id)), "and no code is asked for"
        assert not has_password(world, hijacker)
        form = {"email": hijacker.email, "password": PASSWORD, "otp": mine.fresh_code}
        assert (await open_world.anonymous.post(f"{AUTH}/login/", form)).code == "INVALID_CREDENTIALS"
        refreshed = await open_world.anonymous.post(f"{AUTH}/token/refresh/", {"refresh": hijacker.refresh})
        assert refreshed.status == 401
        assert (await open_world.of(hijacker).get(ME)).status == 401, "the access token too"
        assert (await open_world.anonymous.as_(victim.body["access"]).get(ME)).body["is_verified"] is True


@pytest.mark.gen_test
async def test_a_platform_administrator_is_not_taken_back(world: World, database: DatabaseUrls, google: Google) -> None:
    async with offering(world, database, google) as offered:
        person = world.person(platform=True)
        token = uuid4().hex
        google.account(token, email=person.email)
        refused = await sign_in(offered, token)
        assert (refused.status, refused.code) == (400, "GOOGLE_REFUSED")
        assert (await world.of(person).get(ME)).status == 200


@pytest.mark.gen_test
async def test_nobody_new_is_taken_in_where_main_and_the_organization_are_closed(
    world: World, database: DatabaseUrls, google: Google
) -> None:
    async with offering(world, database, google) as offered:
        token = uuid4().hex
        google.account(token)
        with closed_main(world):
            refused = await sign_in(offered, token)
        assert (refused.status, refused.code) == (403, "REGISTRATION_CLOSED")
        assert (await sign_in(offered, token)).status == 200


@pytest.mark.gen_test
async def test_who_has_a_second_factor_gives_it_here_too(world: World, database: DatabaseUrls, google: Google) -> None:
    person, token = world.person(), uuid4().hex
    verified(world, person)
    mine = await enrolled(world, person)
    google.account(token, email=person.email)
    async with offering(world, database, google) as open_world:
        assert (await sign_in(open_world, token)).code == "OTP_REQUIRED"
        assert (await sign_in(open_world, token, otp=mine.fresh_code)).status == 200


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "somebody-else.apps.example", "azp": "somebody-else.apps.example"},
        {"aud": "somebody-else.apps.example"},
        {"aud": None, "azp": None},
        {"email_verified": "false"},
        {"email_verified": None},
        {"expires_in": "0"},
        {"expires_in": "-5"},
        {"expires_in": None},
        {"sub": ""},
        {"sub": None},
        {"email": None},
        {"email": "nobody"},
    ],
)
async def test_a_token_that_was_not_made_for_us_is_refused(
    world: World, database: DatabaseUrls, google: Google, claims: dict[str, Any]
) -> None:
    token = uuid4().hex
    google.account(token, **claims)
    async with offering(world, database, google) as open_world:
        refused = await sign_in(open_world, token)
        assert (refused.status, refused.code) == (400, "GOOGLE_REFUSED")

        def people(session: Session) -> int:
            return session.scalar(select(func.count()).where(Person.email == f"{token}@example.org")) or 0

        assert open_world.c.db.system_sync(people) == 0


@pytest.mark.gen_test
async def test_an_unknown_token_and_a_switched_off_person(world: World, database: DatabaseUrls, google: Google) -> None:
    person, token = world.person(), uuid4().hex
    verified(world, person)
    google.account(token, email=person.email)

    def switch_off(session: Session) -> None:
        session.execute(text("UPDATE people SET is_active = false WHERE id = :p"), {"p": person.id})

    async with offering(world, database, google) as open_world:
        assert (await sign_in(open_world, "nobody's")).code == "GOOGLE_REFUSED"
        world.c.db.system_sync(switch_off)
        assert (await sign_in(open_world, token)).code == "GOOGLE_REFUSED"


@pytest.mark.gen_test
@pytest.mark.parametrize("fault", [500, 503, 429, "nonsense", "huge", "slow"])
async def test_a_google_that_does_not_answer_is_424_and_makes_nobody(google: Google, fault: int | str) -> None:
    async def at_once(_: float) -> None: ...

    google.account("x")
    google.fault = fault
    urls = (f"{google.base_url}/tokeninfo", f"{google.base_url}/userinfo")
    adapter = GoogleAccounts(CLIENT_ID, *urls, timeout_s=0.3, breaker=CircuitBreaker("google"), sleep=at_once)
    with pytest.raises(Upstream, match="PROVIDER_UNAVAILABLE"):
        await adapter.who_is("x")
    await adapter.close()
    assert all("x" not in uri.removeprefix("/tokeninfo") for uri in google.asked), "no token stands in an address"


@pytest.mark.gen_test
async def test_where_no_client_id_is_set_it_is_not_offered(world: World) -> None:
    refused = await sign_in(world, "x")
    assert (refused.status, refused.code) == (409, "GOOGLE_NOT_OFFERED")
