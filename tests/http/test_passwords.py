"""Passwords: changed, reset by a mailed link, refused where they are weak or known, and hashed anew."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from edurise.adapters.password_judge import ZxcvbnJudge
from edurise.identity.models import Credential, Person
from tests.harness.client import Answer
from tests.harness.errands import run_actors
from tests.harness.letters import letters
from tests.harness.world import PASSWORD, Someone, World

AUTH = "/api/v1/accounts/auth"
ME = "/api/v1/users/me/"
OTHER = "seven quiet lanterns 41"


async def log_in(world: World, email: str, password: str) -> Answer:
    return await world.anonymous.post(f"{AUTH}/login/", {"email": email, "password": password})


async def change(world: World, who: Someone, old: str, new: str, again: str | None = None) -> Answer:
    form = {"old_password": old, "new_password1": new, "new_password2": new if again is None else again}
    return await world.of(who).post(f"{AUTH}/password/change/", form)


async def asked(world: World, email: str) -> str:
    """Ask for a reset and return the token that was mailed."""
    assert (await world.anonymous.post(f"{AUTH}/password-reset/", {"email": email})).status == 200
    await run_actors(world, "account_mails.mail_a_reset")
    return letters(world, email, "Choose a new password")[-1].token


async def reset(world: World, token: str, password: str, again: str | None = None) -> Answer:
    form = {"token": token, "password": password, "password_confirm": password if again is None else again}
    return await world.anonymous.post(f"{AUTH}/password-reset-confirm/", form)


@pytest.mark.gen_test
async def test_a_changed_password_ends_the_other_sessions_and_is_told(world: World) -> None:
    person = world.person()
    elsewhere = (await log_in(world, person.email, PASSWORD)).data
    assert (await change(world, person, PASSWORD, OTHER)).status == 200
    assert (await log_in(world, person.email, PASSWORD)).code == "INVALID_CREDENTIALS"
    assert (await log_in(world, person.email, OTHER)).status == 200
    gone = await world.anonymous.post(f"{AUTH}/token/refresh/", {"refresh": elsewhere["refresh"]})
    kept = await world.anonymous.post(f"{AUTH}/token/refresh/", {"refresh": person.refresh})
    assert (gone.status, kept.status) == (401, 200)
    await run_actors(world, "account_mails.tell_of_a_password", times=2)
    assert len(letters(world, person.email, "was changed")) == 1


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("new", "again", "field", "told"),
    [
        ("password1", None, "new_password1", "breach"),
        ("abcdabcdabcd", None, "new_password1", "guess"),
        ("x" * 200, None, "new_password1", "guess"),
        ("FIRST-LAST", None, "new_password1", "guess"),
        (PASSWORD, None, "new_password1", "that you have"),
        (OTHER, "another", "new_password2", ""),
        ("short", None, "new_password1", "8"),
    ],
)
async def test_what_is_no_good_password(world: World, new: str, again: str | None, field: str, told: str) -> None:
    person = world.person()
    refused = await change(world, person, PASSWORD, new, again)
    assert (refused.status, refused.code) == (400, "VALIDATION_ERROR")
    assert told in refused.body["errors"][field][0]
    assert (await log_in(world, person.email, PASSWORD)).status == 200


@pytest.mark.gen_test
async def test_one_s_own_name_and_address_make_no_password(world: World) -> None:
    form = {"first_name": "Wilhelmina", "last_name": "Sternberg", "email": "wilhelmina.sternberg@example.org"}
    words = "wilhelminasternberg"
    refused = await world.anonymous.post(f"{AUTH}/register/", form | {"password": words, "password_confirm": words})
    assert (refused.status, list(refused.body["errors"])) == (400, ["password"])


@pytest.mark.gen_test
async def test_the_old_password_is_asked_for(world: World) -> None:
    person = world.person()
    refused = await change(world, person, "not my password", OTHER)
    assert (refused.status, refused.code) == (400, "PASSWORD_WRONG")
    assert (await world.of(person).get(ME)).status == 200


@pytest.mark.gen_test
async def test_a_mailed_link_resets_once_and_ends_every_session(world: World) -> None:
    person = world.person()
    token = await asked(world, person.email)
    assert (await reset(world, token, "password1")).status == 400, "a refused password leaves the link"
    assert (await reset(world, token, OTHER, "another")).status == 400
    assert (await reset(world, token, OTHER)).status == 200
    again = await reset(world, token, "eleven blue herons 8")
    assert (again.status, again.code) == (400, "MAILED_LINK_INVALID")
    assert (await log_in(world, person.email, OTHER)).status == 200
    refreshed = await world.anonymous.post(f"{AUTH}/token/refresh/", {"refresh": person.refresh})
    assert refreshed.status == 401
    assert (await log_in(world, person.email, OTHER)).data["user"]["email"] == person.email

    def verified(session: Session) -> bool:
        return session.get_one(Person, person.id).email_verified_at is not None

    assert world.c.db.system_sync(verified), "who opened the mail has the address"


@pytest.mark.gen_test
async def test_a_link_expires_after_an_hour(world: World) -> None:
    person = world.person()
    token = await asked(world, person.email)
    world.clock.advance(timedelta(hours=1, seconds=1))
    assert (await reset(world, token, OTHER)).code == "MAILED_LINK_INVALID"


@pytest.mark.gen_test
async def test_of_two_links_the_first_used_ends_both(world: World) -> None:
    person = world.person()
    first = await asked(world, person.email)
    world.clock.advance(timedelta(minutes=2))
    second = await asked(world, person.email)
    assert first != second
    assert (await reset(world, second, OTHER)).status == 200
    assert (await reset(world, first, "eleven blue herons 8")).code == "MAILED_LINK_INVALID"


@pytest.mark.gen_test
async def test_a_mailbox_is_not_flooded(world: World) -> None:
    person = world.person()
    for _ in range(5):
        await world.anonymous.post(f"{AUTH}/password-reset/", {"email": person.email.upper()})
    await run_actors(world, "account_mails.mail_a_reset", times=2)
    assert len(letters(world, person.email, "Choose a new password")) == 1


@pytest.mark.gen_test
async def test_a_hash_of_older_parameters_is_made_anew_at_log_in(world: World) -> None:
    person = world.person()
    old = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1).hash(PASSWORD)

    def keep(session: Session) -> None:
        session.execute(update(Credential).where(Credential.person_id == person.id).values(password_hash=old))

    def stored(session: Session) -> str:
        return session.scalars(select(Credential.password_hash).where(Credential.person_id == person.id)).one()

    world.c.db.system_sync(keep)
    assert (await log_in(world, person.email, "wrong password")).status == 400
    assert world.c.db.system_sync(stored) == old
    assert (await log_in(world, person.email, PASSWORD)).status == 200
    fresh = world.c.db.system_sync(stored)
    assert fresh != old
    assert not world.c.hasher.is_outdated(fresh)
    assert (await log_in(world, person.email, PASSWORD)).status == 200
    assert world.c.db.system_sync(stored) == fresh


@pytest.mark.gen_test
@pytest.mark.parametrize("ending", ["\n", "\r\n", ":17\n"])
async def test_a_file_of_breached_passwords_is_searched_where_it_lies(tmp_path: Path, ending: str) -> None:
    known = [f"unlikely lantern number {number}" for number in range(50)]
    hashes = sorted(hashlib.sha1(one.encode(), usedforsecurity=False).hexdigest().upper() for one in known)
    path = tmp_path / "breached.txt"
    path.write_text("".join(line + ending for line in hashes), newline="")
    judge = ZxcvbnJudge(path)
    assert {await judge.fault_of(one, ()) for one in known} == {"breached_password"}
    assert await judge.fault_of("unlikely lantern number fifty", ()) is None
    path.write_text("")
    assert await judge.fault_of(known[0], ()) is None
    judge.close()
