"""Addresses: shown to be somebody's own by a mailed link, and changed only by their person, logged in."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from edurise.identity.models import Person
from edurise.tenants.models import Organization
from tests.harness.client import Answer
from tests.harness.errands import run_actors
from tests.harness.letters import letters
from tests.harness.world import PASSWORD, Someone, World

EMAIL = "/api/v1/accounts/auth/email"
ME = "/api/v1/users/me/"


def address_of(world: World, person: Someone) -> tuple[str, bool]:
    def read(session: Session) -> tuple[str, bool]:
        found = session.get_one(Person, person.id)
        return found.email, found.email_verified_at is not None

    return world.c.db.system_sync(read)


async def verification(world: World, person: Someone) -> str:
    await run_actors(world, "account_mails.mail_a_verification")
    return letters(world, person.email, "confirm your e-mail")[-1].token


async def change(world: World, person: Someone, email: str, password: str = PASSWORD) -> Answer:
    return await world.of(person).post(f"{EMAIL}/change/", {"email": email, "password": password})


async def link(world: World, email: str) -> str:
    await run_actors(world, "account_mails.mail_a_change")
    return letters(world, email, "new e-mail address")[-1].token


@pytest.mark.gen_test
async def test_who_registers_is_mailed_a_link_that_verifies_once(world: World) -> None:
    person = world.person()
    token = await verification(world, person)
    assert address_of(world, person) == (person.email, False)
    assert (await world.anonymous.post(f"{EMAIL}/verify/", {"token": token})).status == 200
    assert address_of(world, person) == (person.email, True)
    again = await world.anonymous.post(f"{EMAIL}/verify/", {"token": token})
    assert (again.status, again.code) == (400, "MAILED_LINK_INVALID")
    assert (await world.of(person).post(f"{EMAIL}/verification/")).status == 200
    await run_actors(world, "account_mails.mail_a_verification")
    assert len(letters(world, person.email, "confirm your e-mail")) == 1, "what is verified needs no mail"


@pytest.mark.gen_test
async def test_another_verification_is_mailed_a_minute_later(world: World) -> None:
    person = world.person()
    await verification(world, person)
    for minutes, count in ((0, 1), (2, 2)):
        world.clock.advance(timedelta(minutes=minutes))
        await world.of(person).post(f"{EMAIL}/verification/")
        await run_actors(world, "account_mails.mail_a_verification", times=2)
        assert len(letters(world, person.email, "confirm your e-mail")) == count


def demand(world: World, tenant_id: UUID) -> None:
    def write(session: Session) -> None:
        wanted = {"require_email_verification": True}
        session.execute(update(Organization).where(Organization.id == tenant_id).values(settings=wanted))

    world.c.db.system_sync(write)


@pytest.mark.gen_test
async def test_an_organization_can_demand_a_verified_address(world: World) -> None:
    school = world.organization()
    teacher = world.person("teacher", school)
    demand(world, school)
    form = {"title": "Knots", "category": "technology"}
    refused = await world.of(teacher).post("/api/v1/courses/", form)
    assert (refused.status, refused.code) == (403, "EMAIL_NOT_VERIFIED")
    assert (await world.of(teacher).get(ME)).status == 200, "the account itself stays in reach"
    token = await verification(world, teacher)
    await world.anonymous.post(f"{EMAIL}/verify/", {"token": token})
    assert (await world.of(teacher).post("/api/v1/courses/", form)).status == 201


@pytest.mark.gen_test
async def test_an_address_changes_when_its_person_opens_the_link(world: World) -> None:
    person, new = world.person(), f"{uuid4()}@example.org"
    assert (await change(world, person, new)).status == 200
    token = await link(world, new)
    assert address_of(world, person)[0] == person.email
    assert (await world.of(person).post(f"{EMAIL}/confirm/", {"token": token})).status == 200
    assert address_of(world, person) == (new, True)
    again = await world.of(person).post(f"{EMAIL}/confirm/", {"token": token})
    assert again.code == "MAILED_LINK_INVALID"
    await run_actors(world, "account_mails.tell_of_a_change")
    assert len(letters(world, person.email, "another e-mail address")) == 1
    login = await world.anonymous.post("/api/v1/accounts/auth/login/", {"email": new, "password": PASSWORD})
    assert login.status == 200


@pytest.mark.gen_test
async def test_only_the_person_can_confirm_and_only_with_the_password(world: World) -> None:
    person, other, new = world.person(), world.person(), f"{uuid4()}@example.org"
    wrong = await change(world, person, new, "not my password")
    assert (wrong.status, wrong.code) == (400, "PASSWORD_WRONG")
    await change(world, person, new)
    token = await link(world, new)
    stolen = await world.of(other).post(f"{EMAIL}/confirm/", {"token": token})
    assert (stolen.status, stolen.code) == (403, "PERMISSION_DENIED")
    assert (await world.anonymous.post(f"{EMAIL}/confirm/", {"token": token})).status == 401
    assert (await world.of(person).post(f"{EMAIL}/confirm/", {"token": token})).status == 200


@pytest.mark.gen_test
async def test_an_address_that_somebody_has_is_answered_alike_and_mailed_nothing(world: World) -> None:
    person, other = world.person(), world.person()
    taken, free = (
        await change(world, person, other.email.upper()),
        await change(world, person, f"{uuid4()}@example.org"),
    )
    assert (taken.status, taken.body["message"]) == (free.status, free.body["message"])
    await run_actors(world, "account_mails.mail_a_change")
    assert letters(world, other.email, "new e-mail address") == []


@pytest.mark.gen_test
async def test_an_address_that_was_taken_meanwhile_is_refused(world: World) -> None:
    first, second, new = world.person(), world.person(), f"{uuid4()}@example.org"
    await change(world, first, new)
    earlier = await link(world, new)
    await change(world, second, new)
    later = await link(world, new)
    assert (await world.of(second).post(f"{EMAIL}/confirm/", {"token": later})).status == 200
    late = await world.of(first).post(f"{EMAIL}/confirm/", {"token": earlier})
    assert (late.status, late.code) == (409, "EMAIL_TAKEN")
    assert address_of(world, first)[0] == first.email


@pytest.mark.gen_test
async def test_a_link_is_for_its_purpose_and_its_time(world: World) -> None:
    person, new = world.person(), f"{uuid4()}@example.org"
    verifying = await verification(world, person)
    await change(world, person, new)
    changing = await link(world, new)
    for token in (changing, verifying[:-1], verifying + "A", "", "x" * 200, "ä"):
        refused = await world.anonymous.post(f"{EMAIL}/verify/", {"token": token})
        assert refused.status == 400, token
    crossed = await world.of(person).post(f"{EMAIL}/confirm/", {"token": verifying})
    assert crossed.code == "MAILED_LINK_INVALID"
    world.clock.advance(timedelta(days=1, seconds=1))
    fresh = await world.anonymous.post("/api/v1/accounts/auth/login/", {"email": person.email, "password": PASSWORD})
    late = await world.anonymous.as_(fresh.data["access"]).post(f"{EMAIL}/confirm/", {"token": changing})
    assert late.code == "MAILED_LINK_INVALID"
