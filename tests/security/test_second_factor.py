"""The second factor, and attacks on it by name."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from edurise.adapters.provision import DatabaseUrls
from edurise.authz import Principal
from edurise.identity import factors
from edurise.identity.flows import resealing
from edurise.identity.models import Person
from edurise.identity.proofs import SecondFactor
from edurise.sealing import SealBroken, Vault
from tests.harness.authenticator import FACTOR, STEP, Authenticator, enrolled
from tests.harness.client import Answer
from tests.harness.errands import run_actors
from tests.harness.letters import letters
from tests.harness.world import PASSWORD, Someone, World
from tests.harness.worlds import another

AUTH = "/api/v1/accounts/auth"
ME = "/api/v1/users/me/"
CHANGE = {
    "old_password": PASSWORD,
    "new_password1": "seven quiet lanterns 41",
    "new_password2": "seven quiet lanterns 41",
}


async def log_in(world: World, person: Someone, otp: str | None = None, password: str = PASSWORD) -> Answer:
    form = {"email": person.email, "password": password} | ({} if otp is None else {"otp": otp})
    return await world.anonymous.post(f"{AUTH}/login/", form)


async def refusal(world: World, person: Someone, otp: str) -> tuple[int, str | None]:
    answer = await log_in(world, person, otp)
    return answer.status, answer.code


# -- as it should be ---------------------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_a_person_enrolls_and_is_asked_for_a_code_from_then_on(world: World) -> None:
    person = world.person()
    elsewhere = (await log_in(world, person)).data
    begun = (await world.of(person).post(f"{FACTOR}/", {"password": PASSWORD})).data
    assert begun["otpauth_uri"].startswith("otpauth://totp/EduRise:")
    assert begun["qr_code"].startswith("data:image/svg+xml")
    assert (await log_in(world, person)).status == 200, "what is not confirmed asks for nothing"
    mine = Authenticator(world, begun["secret"], [])
    assert (await world.of(person).post(f"{FACTOR}/confirm/", {"otp": mine.wrong_code})).code == "OTP_WRONG"
    confirmed = await world.of(person).post(f"{FACTOR}/confirm/", {"otp": mine.code})
    assert len(set(confirmed.data["recovery_codes"])) == 10
    again = await world.of(person).post(f"{FACTOR}/", {"password": PASSWORD})
    assert (again.status, again.code) == (409, "OTP_ENROLLED")
    gone = await world.anonymous.post(f"{AUTH}/token/refresh/", {"refresh": elsewhere["refresh"]})
    assert gone.status == 401, "sessions from before end"
    without = await log_in(world, person)
    assert (without.status, without.code) == (403, "OTP_REQUIRED")
    assert (await log_in(world, person, mine.fresh_code)).status == 200
    state = (await world.of(person).get(f"{FACTOR}/")).data
    assert (state["is_enrolled"], state["recovery_codes_left"], state["demanded_by"]) == (True, 10, [])
    await run_actors(world, "account_mails.tell_of_a_second_factor")
    assert len(letters(world, person.email, "has a second factor")) == 1


@pytest.mark.gen_test
async def test_clocks_may_differ_by_half_a_minute(world: World) -> None:
    person = world.person()
    mine = await enrolled(world, person)
    world.clock.advance(10 * STEP)
    early = mine.code
    world.clock.advance(STEP)
    assert (await log_in(world, person, early)).status == 200
    world.clock.advance(10 * STEP)
    late = mine.code
    world.clock.advance(2 * STEP)
    assert await refusal(world, person, late) == (400, "OTP_WRONG")


@pytest.mark.gen_test
async def test_a_recovery_code_lets_in_once_and_is_told(world: World) -> None:
    person = world.person()
    mine = await enrolled(world, person)
    code = mine.recovery_codes[0]
    assert (await log_in(world, person, code.lower().replace("-", " "))).status == 200
    assert await refusal(world, person, code) == (400, "OTP_WRONG")
    assert (await world.of(person).get(f"{FACTOR}/")).data["recovery_codes_left"] == 9
    await run_actors(world, "account_mails.tell_of_a_recovery_code")
    assert len(letters(world, person.email, "recovery code was used")) == 1
    fresh = (await world.of(person).post(f"{FACTOR}/recovery-codes/", {"otp": mine.fresh_code})).data["recovery_codes"]
    assert await refusal(world, person, mine.recovery_codes[1]) == (400, "OTP_WRONG"), "the old ones are gone"
    assert (await log_in(world, person, fresh[1])).status == 200


@pytest.mark.gen_test
async def test_an_organization_s_demand_opens_with_the_second_factor_and_keeps_it(world: World) -> None:
    school = world.organization("North")
    person, founder = world.person("teacher", school), world.person("admin", school)
    form = {"title": "Knots", "category": "technology"}
    settings = "/api/v1/organizations/settings/"
    await world.of(founder).patch(settings, {"otp_roles": ["teacher"]})
    assert (await world.of(person).post("/api/v1/courses/", form)).code == "OTP_REQUIRED"
    demanded = (await world.of(person).get(f"{FACTOR}/")).data["demanded_by"]
    assert [name.startswith("North") for name in demanded] == [True]
    mine = await enrolled(world, person)
    assert (await world.of(person).post("/api/v1/courses/", form)).status == 201
    kept = await world.of(person).post(f"{FACTOR}/disable/", {"otp": mine.fresh_code})
    assert (kept.status, kept.code) == (409, "OTP_DEMANDED")
    await world.of(founder).patch(settings, {"otp_roles": []})
    assert (await world.of(person).post(f"{FACTOR}/disable/", {"otp": mine.fresh_code})).status == 200
    assert (await log_in(world, person)).status == 200


@pytest.mark.gen_test
async def test_a_platform_administrator_resets_what_somebody_lost(world: World) -> None:
    person, root = world.person(), world.person(platform=True)
    await enrolled(world, person)
    own = world.of(world.person("admin", world.organization()))
    path = f"/api/v1/users/{person.id}/reset_second_factor/"
    assert (await own.post(path)).status == 403
    assert (await world.of(root).post(path)).status == 200
    assert (await log_in(world, person)).status == 200
    refreshed = await world.anonymous.post(f"{AUTH}/token/refresh/", {"refresh": person.refresh})
    assert refreshed.status == 401


# -- step-up -----------------------------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_what_is_sensitive_asks_again_after_ten_minutes(world: World) -> None:
    person = world.person()
    mine = await enrolled(world, person)
    client = world.of(person)
    world.clock.advance(timedelta(minutes=10, seconds=1))
    refused = await client.post(f"{AUTH}/password/change/", CHANGE)
    assert (refused.status, refused.code) == (403, "STEP_UP_REQUIRED")
    assert (await client.post(f"{AUTH}/step-up/", {"password": PASSWORD})).code == "OTP_REQUIRED", "the code counts"
    assert (await client.post(f"{AUTH}/step-up/", {"otp": mine.code})).status == 200
    assert (await client.post(f"{AUTH}/password/change/", CHANGE)).status == 200


@pytest.mark.gen_test
async def test_without_a_second_factor_nothing_asks_again(world: World) -> None:
    person = world.person()
    world.clock.advance(timedelta(minutes=14))
    assert (await world.of(person).post(f"{AUTH}/step-up/", {"password": "not mine"})).code == "PASSWORD_WRONG"
    assert (await world.of(person).post(f"{AUTH}/step-up/", {"password": PASSWORD})).status == 200
    assert (await world.of(person).post(f"{AUTH}/password/change/", CHANGE)).status == 200


# -- attacks -----------------------------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_a_code_is_not_replayed(world: World) -> None:
    person = world.person()
    mine = await enrolled(world, person)
    assert await refusal(world, person, mine.code) == (400, "OTP_WRONG"), "it confirmed the enrolment"
    code = mine.fresh_code
    assert (await log_in(world, person, code)).status == 200
    assert await refusal(world, person, code) == (400, "OTP_WRONG")
    assert (await world.of(person).post(f"{AUTH}/step-up/", {"otp": code})).code == "OTP_WRONG"


@pytest.mark.gen_test
async def test_guessing_is_locked_for_longer_each_time_whoever_counts(world: World, database: DatabaseUrls) -> None:
    person = world.person()
    mine = await enrolled(world, person)
    wrong = mine.wrong_code
    async with another(world, database) as second:
        codes = [(await refusal(one, person, wrong))[1] for one in (world, second, world, second, world)]
        assert codes == ["OTP_WRONG"] * 4 + ["OTP_LOCKED"]
        locked = await log_in(second, person, mine.fresh_code)
        assert (locked.status, locked.code) == (429, "OTP_LOCKED"), "the right code too, in another process too"
        assert int(locked.headers["Retry-After"]) <= 900
        world.clock.advance(timedelta(minutes=15))
        again = await log_in(second, person, mine.wrong_code)
        assert (again.code, 900 < int(again.headers["Retry-After"]) <= 1800) == ("OTP_LOCKED", True), "twice as long"
        world.clock.advance(timedelta(minutes=30))
        assert (await log_in(world, person, mine.fresh_code)).status == 200
        assert await refusal(world, person, mine.wrong_code) == (400, "OTP_WRONG"), "a right one resets the count"


def test_two_uses_of_the_last_recovery_code_and_of_one_code_at_once(world: World, io_loop: object) -> None:
    person = world.person()
    mine: Authenticator = io_loop.run_sync(lambda: enrolled(world, person))

    def spend(session: Session) -> None:
        session.execute(
            text("DELETE FROM recovery_codes WHERE person_id = :p AND code_hash <> :last"),
            {"p": person.id, "last": factors._hash(mine.recovery_codes[0])},
        )

    def use(code: str) -> bool:
        who = Principal(user_id=person.id)
        return world.c.db.system_sync(factors.check, who, code, world.c.vault, world.c.codes).refusal is None

    world.c.db.system_sync(spend)
    for code in (mine.recovery_codes[0], mine.fresh_code):
        with ThreadPoolExecutor(4) as threads:
            assert sum(threads.map(use, [code] * 4)) == 1


@pytest.mark.gen_test
async def test_nobody_learns_of_a_second_factor_without_the_password(world: World) -> None:
    person = world.person()
    mine = await enrolled(world, person)
    for otp in (None, mine.fresh_code):
        wrong = await log_in(world, person, otp, password="not my password")
        assert (wrong.status, wrong.code) == (400, "INVALID_CREDENTIALS")
    assert (await log_in(world, person, mine.fresh_code)).status == 200, "and no attempt was counted"


@pytest.mark.gen_test
async def test_a_thief_of_a_session_neither_enrolls_nor_disables(world: World) -> None:
    person = world.person()
    client = world.of(person)
    assert (await client.post(f"{FACTOR}/", {"password": "guess"})).code == "PASSWORD_WRONG"
    assert (await client.post(f"{FACTOR}/", {})).code == "PASSWORD_WRONG"
    mine = await enrolled(world, person)
    assert (await client.post(f"{FACTOR}/disable/", {"otp": mine.wrong_code})).code == "OTP_WRONG"


@pytest.mark.gen_test
async def test_a_sealed_secret_opens_in_its_own_row_alone_and_is_sealed_anew(world: World) -> None:
    person, other = world.person(), world.person()
    mine = await enrolled(world, person)

    def sealed(session: Session) -> bytes:
        return session.scalars(select(SecondFactor.sealed_secret).where(SecondFactor.person_id == person.id)).one()

    stored = world.c.db.system_sync(sealed)
    assert mine.secret.encode() not in stored
    assert base64.b32decode(mine.secret) not in stored
    with pytest.raises(SealBroken):
        world.c.vault.unseal(stored, factors.context_of(other.id))
    with pytest.raises(SealBroken, match="EDU_SEALING_KEYS"):
        Vault({"new": b"k" * 32}).unseal(stored, factors.context_of(person.id))
    both = Vault({"new": b"k" * 32, **world.c.vault._keys})
    container = type("Container", (), {"db": world.c.db, "vault": both})
    assert (await resealing.everything(container)).count >= 1
    assert (await resealing.everything(container)).count == 0
    fresh = world.c.db.system_sync(sealed)
    assert Vault.key_of(fresh) == "new"
    assert both.unseal(fresh, factors.context_of(person.id)) == mine.secret.encode()
    back = Vault({**world.c.vault._keys, "new": b"k" * 32})
    await resealing.everything(type("Container", (), {"db": world.c.db, "vault": back}))
    assert (await log_in(world, person, mine.fresh_code)).status == 200


@pytest.mark.gen_test
async def test_neither_secret_nor_code_is_logged_or_audited(world: World) -> None:
    person = world.person()
    mine = await enrolled(world, person)
    code = mine.fresh_code
    await log_in(world, person, code)
    await log_in(world, person, mine.recovery_codes[0])

    def audited(session: Session) -> str:
        return str(
            session.execute(text("SELECT action, details FROM audit_log WHERE person_id = :p"), {"p": person.id}).all()
        )

    told = world.log.getvalue() + world.c.db.system_sync(audited)
    for secret in (mine.secret, *mine.recovery_codes):
        assert secret not in told
    assert world.c.db.system_sync(lambda session: session.get_one(Person, person.id).has_second_factor)
