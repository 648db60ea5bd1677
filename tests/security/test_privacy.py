"""Attacks on people's own data: taking somebody else's, deleting somebody else's account, coming back too late."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from edurise.authz import Principal
from edurise.errors import Conflict, DomainError
from edurise.identity import leaving
from edurise.identity.models import Credential, LoginSession, Person, RefreshToken
from edurise.privacy import erasing
from tests.harness.world import PASSWORD, Someone, World

EXPORT = "/api/v1/users/export-data/"
DELETE = "/api/v1/users/delete-account/"
AUTH = "/api/v1/accounts/auth"


def person_of(world: World, person_id: UUID) -> Person:
    return world.c.db.system_sync(lambda session: session.get_one(Person, person_id))


def confined(world: World, person: Someone) -> str:
    """A token of a session that an organization's provider opened."""

    def confine(session: Session) -> None:
        session.get_one(LoginSession, person.session_id).confined_to = person.tenant_id

    world.c.db.system_sync(confine)
    return world.c.tokens.issue(
        user_id=person.id,
        session_id=person.session_id,
        tenant_id=person.tenant_id,
        pinned=True,
        version=1,
        confined=True,
    )


@pytest.mark.gen_test
async def test_nobody_takes_the_data_of_another(world: World) -> None:
    """Whatever is added to the request, the export is the caller's: also an administrator's and the platform's."""
    school = world.organization()
    victim = world.person(tenant_id=school)
    for attacker in (world.person(tenant_id=school), world.person("admin", school), world.person(platform=True)):
        for query in (f"?user={victim.id}", f"?user_id={victim.id}&person_id={victim.id}", f"?email={victim.email}"):
            answer = await world.of(attacker).get(EXPORT + query)
            assert answer.status == 200
            document = json.loads(answer.content)
            assert document["person_id"] == str(attacker.id)
            assert str(victim.id) not in answer.content.decode()
            assert victim.email not in answer.content.decode()
    refused = await world.of(world.person()).post(DELETE, {"password": PASSWORD, "user_id": str(victim.id)})
    assert refused.status == 400
    assert person_of(world, victim.id).erase_after is None


@pytest.mark.gen_test
async def test_a_session_of_an_organization_s_provider_reaches_neither(world: World) -> None:
    person = world.person(tenant_id=world.organization())
    client = world.anonymous.as_(confined(world, person))
    assert (await client.get("/api/v1/users/me/")).status == 200
    for answer in (await client.get(EXPORT), await client.post(DELETE, {"password": PASSWORD})):
        assert (answer.status, answer.code) == (403, "SESSION_CONFINED")
    assert person_of(world, person.id).erase_after is None


@pytest.mark.gen_test
async def test_an_export_opens_no_account(world: World) -> None:
    person = world.person()
    told = (await world.of(person).get(EXPORT)).content.decode()

    def secrets(session: Session) -> list[str]:
        hashes = session.scalars(select(Credential.password_hash).where(Credential.person_id == person.id)).all()
        tokens = session.scalars(
            select(RefreshToken.token_hash).where(RefreshToken.session_id == person.session_id)
        ).all()
        return [*hashes, *tokens]

    found = world.c.db.system_sync(secrets)
    assert len(found) == 2
    for secret in (*found, person.refresh, person.access, PASSWORD):
        assert secret not in told


@pytest.mark.gen_test
async def test_a_stolen_session_without_the_password_deletes_nothing(world: World) -> None:
    person = world.person()
    for word in ("", "wrong password", PASSWORD.upper(), PASSWORD + " "):
        refused = await world.of(person).post(DELETE, {"password": word})
        assert (refused.status, refused.code) == (400, "PASSWORD_WRONG")
    assert person_of(world, person.id).erase_after is None
    assert (await world.of(person).get("/api/v1/users/me/")).status == 200


@pytest.mark.gen_test
async def test_it_is_too_late_once_the_grace_is_over(world: World) -> None:
    """Before the erasing ran and after it; and the address is free again then, for somebody new."""
    person = world.person()
    assert (await world.of(person).post(DELETE, {"password": PASSWORD})).status == 200
    world.clock.advance(timedelta(days=world.c.settings.deletion_grace_days))
    form = {"email": person.email, "password": PASSWORD}
    late = await world.anonymous.post(f"{AUTH}/login/", form)
    unknown = await world.anonymous.post(f"{AUTH}/login/", form | {"email": "nobody@example.org"})
    assert (late.status, late.code) == (unknown.status, unknown.code) == (400, "INVALID_CREDENTIALS")
    assert late.body["message"] == unknown.body["message"]
    names = {"first_name": "Somebody", "last_name": "New", "password_confirm": PASSWORD}
    taken = await world.anonymous.post(f"{AUTH}/register/", form | names)
    assert taken.code == "EMAIL_TAKEN"
    assert world.c.db.system_sync(erasing.erase, person.id, world.c.vault)
    assert (await world.anonymous.post(f"{AUTH}/login/", form)).code == "INVALID_CREDENTIALS"
    made = await world.anonymous.post(f"{AUTH}/register/", form | names)
    assert made.status == 201
    assert made.data["user"]["id"] != str(person.id)
    new = world.anonymous.as_(made.data["access"])
    document = json.loads((await new.get(EXPORT)).content)
    assert str(person.id) not in json.dumps(document), "nothing of the one before comes back"


@pytest.mark.gen_test
async def test_an_old_token_of_an_erased_account_is_nobody_s(world: World) -> None:
    person = world.person()
    world.c.db.system_sync(leaving.end_at_once, person.email)
    assert world.c.db.system_sync(erasing.erase, person.id, world.c.vault)
    for path in ("/api/v1/users/me/", EXPORT):
        assert (await world.of(person).get(path)).status == 401
    assert (await world.of(person).post(DELETE, {"password": PASSWORD})).status == 401
    again = await world.anonymous.post(f"{AUTH}/token/refresh/", {"refresh": person.refresh})
    assert again.status == 401


def at_once(world: World, *works: Any) -> list[Any]:
    """What each work returned, or the error that it raised; on threads that begin together."""
    barrier, found = threading.Barrier(len(works)), [None] * len(works)

    def perform(number: int, work: Any) -> None:
        barrier.wait()
        try:
            found[number] = world.c.db.system_sync(work)
        except DomainError as refused:
            found[number] = refused

    threads = [threading.Thread(target=perform, args=(number, work)) for number, work in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize("_round", range(5))
def test_the_last_two_administrators_do_not_both_leave(world: World, _round: int) -> None:
    school = world.organization()
    pair = [world.person("admin", school), world.person("admin", school)]

    def leave(one: Someone) -> Any:
        def work(session: Session) -> Any:
            who = Principal(user_id=one.id)
            encoded, _ = leaving.proofs(session, who)
            return leaving.leave(session, who, encoded, timedelta(days=1), world.c.lifetimes)

        return work

    found = at_once(world, *(leave(one) for one in pair))
    refused = [one for one in found if isinstance(one, Conflict)]
    assert len(refused) == 1
    assert refused[0].code == "LAST_ADMINISTRATOR"
    assert [person_of(world, one.id).erase_after is None for one in pair].count(True) == 1


@pytest.mark.parametrize("_round", range(5))
def test_a_log_in_and_the_erasing_never_happen_both(world: World, _round: int) -> None:
    person = world.person()
    world.c.db.system_sync(leaving.end_at_once, person.email)
    found = at_once(
        world,
        lambda session: erasing.erase(session, person.id, world.c.vault),
        lambda session: leaving.restore_if_leaving(session, person.id),
        lambda session: erasing.erase(session, person.id, world.c.vault),
    )
    assert isinstance(found[1], DomainError)
    assert [bool(found[0]), bool(found[2])].count(True) == 1, "erased once"
    assert person_of(world, person.id).erased_at is not None


def test_a_changed_password_stops_a_deletion_that_was_asked_with_the_old_one(world: World) -> None:
    person = world.person()
    who = replace(person.principal, standing=None)
    with pytest.raises(DomainError, match="PASSWORD_WRONG"):
        world.c.db.system_sync(leaving.leave, who, "the hash before", timedelta(days=1), world.c.lifetimes)
