"""Attacks on accounts, each by its name."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from edurise.adapters.provision import DatabaseUrls
from edurise.identity import sessions
from edurise.identity.models import Person
from edurise.identity.sessions import Way
from tests.harness.errands import run_actors
from tests.harness.letters import letters
from tests.harness.world import HASHED, PASSWORD, Someone, World
from tests.harness.worlds import another

AUTH = "/api/v1/accounts/auth"
ME = "/api/v1/users/me/"
OTHER = "seven quiet lanterns 41"


def confined(world: World, person: Someone) -> str:
    """An access token of a session that an organization's identity provider opened."""

    def opened(session: Session) -> sessions.Opened:
        way = Way("oidc", confined_to=person.tenant_id)
        return sessions.open_session(session, person.id, person.tenant_id, ("", ""), world.c.lifetimes, way)

    found = world.c.db.system_sync(opened)
    return world.c.tokens.issue(
        user_id=found.person_id,
        session_id=found.session_id,
        tenant_id=found.tenant_id,
        pinned=found.pinned,
        version=found.version,
        confined=found.confined,
    )


# -- known and unknown addresses ---------------------------------------------------------------------------------------


async def timed(call: Callable[[], Awaitable[object]], times: int) -> float:
    """The median of the seconds that a call takes."""
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        await call()
        spent.append(time.perf_counter() - began)
    return statistics.median(spent)


@pytest.mark.gen_test
async def test_a_reset_tells_nobody_whether_an_address_is_known(world: World) -> None:
    known = world.person().email
    path = f"{AUTH}/password-reset/"
    first = await world.anonymous.post(path, {"email": known})
    second = await world.anonymous.post(path, {"email": "nobody@example.org"})
    assert first.status == second.status == 200
    assert {**first.body, "timestamp": ""} == {**second.body, "timestamp": ""}

    def recorded(session: Session) -> int:
        found = text("SELECT count(*) FROM outbox WHERE topic = 'identity.password_reset_asked.v1'")
        return session.scalars(found).one()

    def names(session: Session) -> int:
        found = text("SELECT count(*) FROM outbox WHERE payload::text LIKE '%nobody@example.org%'")
        return session.scalars(found).one()

    before = world.c.db.system_sync(recorded)
    for email in (known, "nobody@example.org"):
        await world.anonymous.post(path, {"email": email})
        before += 1
        assert world.c.db.system_sync(recorded) == before, "the same rows are written for both"
    assert world.c.db.system_sync(names) == 0, "an address that is not on file is sealed"


@pytest.mark.gen_test(timeout=60)
async def test_a_log_in_takes_as_long_for_a_known_address_as_for_an_unknown_one(
    world: World, database: DatabaseUrls
) -> None:
    # Hashes as costly as in production: what differs beside them must not be seen.
    async with another(world, database, argon2_memory_kib=16_384, argon2_time_cost=3) as slow:
        encoded = await slow.c.hasher.hash(PASSWORD)
        person = world.person()

        def keep(session: Session) -> None:
            session.execute(text("UPDATE credentials SET password_hash = :h WHERE person_id = :p"),
                            {"h": encoded, "p": person.id})  # fmt: skip

        slow.c.db.system_sync(keep)

        async def tried(email: str) -> None:
            answer = await slow.anonymous.post(f"{AUTH}/login/", {"email": email, "password": "not my password"})
            assert (answer.status, answer.code) == (400, "INVALID_CREDENTIALS")

        known, unknown = [], []
        for _ in range(5):  # by turns, so that both meet the same moments of the machine
            known.append(await timed(lambda: tried(person.email), 3))
            unknown.append(await timed(lambda: tried("nobody@example.org"), 3))
        assert 0.6 < statistics.median(known) / statistics.median(unknown) < 1.7


# -- links -------------------------------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_a_reset_link_is_not_replayed_by_two_at_once(world: World) -> None:
    person = world.person()
    await world.anonymous.post(f"{AUTH}/password-reset/", {"email": person.email})
    await run_actors(world, "account_mails.mail_a_reset")
    token = letters(world, person.email, "Choose a new password")[-1].token
    forms = [{"token": token, "password": f"{OTHER} {n}", "password_confirm": f"{OTHER} {n}"} for n in range(4)]
    async_answers = [world.anonymous.post(f"{AUTH}/password-reset-confirm/", form) for form in forms]
    found = [await one for one in async_answers]
    assert sorted(one.status for one in found) == [200, 400, 400, 400]


@pytest.mark.gen_test
async def test_a_link_to_an_address_that_was_left_resets_nothing(world: World) -> None:
    person = world.person()
    await world.anonymous.post(f"{AUTH}/password-reset/", {"email": person.email})
    await run_actors(world, "account_mails.mail_a_reset")
    token = letters(world, person.email, "Choose a new password")[-1].token

    def move(session: Session) -> None:
        session.execute(update(Person).where(Person.id == person.id).values(email=f"{uuid4()}@example.org"))

    world.c.db.system_sync(move)
    form = {"token": token, "password": OTHER, "password_confirm": OTHER}
    assert (await world.anonymous.post(f"{AUTH}/password-reset-confirm/", form)).code == "MAILED_LINK_INVALID"


@pytest.mark.gen_test
@pytest.mark.parametrize("header", ["Host", "X-Forwarded-Host", "X-Forwarded-For"])
async def test_a_spoofed_header_leads_no_link_elsewhere(world: World, header: str) -> None:
    person = world.person()
    headers = {header: "evil.example"} if header != "X-Forwarded-For" else {header: "203.0.113.9"}
    answer = await world.anonymous.call("POST", f"{AUTH}/password-reset/", {"email": person.email}, headers=headers)
    assert answer.status == 200
    await run_actors(world, "account_mails.mail_a_reset")
    link = letters(world, person.email, "Choose a new password")[-1].link
    assert link.startswith(world.c.settings.ui_url + "/")
    assert "evil" not in link


# -- sessions that an organization's provider opened -------------------------------------------------------------------


@pytest.mark.gen_test
async def test_a_confined_session_counts_in_its_organization_alone(world: World) -> None:
    here, there = world.organization(), world.organization()
    person = world.person("teacher", here)

    def also(session: Session) -> None:
        session.execute(
            text("INSERT INTO memberships (id, tenant_id, person_id, role) VALUES (:id, :t, :p, 'admin')"),
            {"id": uuid4(), "t": there, "p": person.id},
        )

    world.c.db.system_sync(also)
    elsewhere = world.person("teacher", there)
    draft = world.course(elsewhere, is_public=False)["id"]
    client = world.anonymous.as_(confined(world, person))
    assert (await client.get(ME)).body["organization"]["id"] == str(here)
    assert (await client.post("/api/v1/courses/", {"title": "Here", "category": "technology"})).status == 201
    assert (await client.get(f"/api/v1/courses/{draft}/")).status == 404
    assert (await client.patch(f"/api/v1/courses/{draft}/", {"title": "Mine"})).status == 404
    named = world.anonymous.as_(confined(world, person), X_Tenant_ID=str(there))
    made = await named.post("/api/v1/courses/", {"title": "There?", "category": "technology"})
    assert made.status == 201, "the header moves no pinned session"
    mine = (await client.get(f"/api/v1/courses/{made.data['id']}/")).data
    assert mine["id"] == made.data["id"]
    assert (await world.of(elsewhere).get(f"/api/v1/courses/{made.data['id']}/")).status == 404
    switched = await client.post("/api/v1/users/switch_tenant/", {"tenant_id": str(there)})
    assert (switched.status, switched.code) == (403, "SESSION_CONFINED")


@pytest.mark.gen_test
async def test_a_confined_session_does_nothing_to_the_account(world: World) -> None:
    person = world.person("admin", world.organization())
    client = world.anonymous.as_(confined(world, person))
    for verb, path, body in (
        (
            "POST",
            f"{AUTH}/password/change/",
            {"old_password": PASSWORD, "new_password1": OTHER, "new_password2": OTHER},
        ),
        ("POST", f"{AUTH}/email/change/", {"email": "x@example.org", "password": PASSWORD}),
        ("POST", f"{AUTH}/email/verification/", {}),
        ("GET", "/api/v1/accounts/sessions/", None),
        ("POST", "/api/v1/accounts/sessions/end/", {}),
        ("POST", f"{AUTH}/logout/all/", {}),
    ):
        answer = await client.call(verb, path, body)
        assert (answer.status, answer.code) == (403, "SESSION_CONFINED"), path


@pytest.mark.gen_test
async def test_a_platform_administrator_is_none_in_a_confined_session(world: World) -> None:
    person = world.person(tenant_id=world.organization(), platform=True)
    other = world.person("teacher", world.organization())
    draft = world.course(other, is_public=False)["id"]
    client = world.anonymous.as_(confined(world, person))
    assert (await client.get(f"/api/v1/courses/{draft}/")).status == 404
    assert (await world.of(person).get(f"/api/v1/courses/{draft}/")).status == 200


# -- memberships that count no more ------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_who_was_switched_off_keeps_no_standing_in_courses(world: World) -> None:
    school = world.organization()
    teacher, pupil = world.person("teacher", school), world.person(tenant_id=school)
    course = world.course(teacher)["id"]
    lesson = world.lesson(teacher, world.module(teacher, course)["id"])["id"]
    path = f"/api/v1/course-lessons/{lesson}/"
    await world.of(pupil).post(f"/api/v1/courses/{course}/enroll/")
    assert (await world.of(pupil).get(path)).status == 200

    def switch(active: bool) -> None:
        def write(session: Session) -> None:
            session.execute(
                text("UPDATE memberships SET is_active = :a WHERE person_id = :p AND tenant_id = :t"),
                {"a": active, "p": pupil.id, "t": school},
            )

        world.c.db.system_sync(write)

    switch(False)
    assert (await world.of(pupil).get(path)).status == 404
    own = (await world.of(pupil).get("/api/v1/courses/enrolled_courses/")).data
    assert [one["id"] for one in own] == [str(course)], "that they enrolled stays true"
    again = await world.of(pupil).post(f"/api/v1/courses/{world.course(teacher)['id']}/enroll/")
    assert (again.status, again.code) == (403, "MEMBERSHIP_SUSPENDED")
    switch(True)
    assert (await world.of(pupil).get(path)).status == 200


# -- guessing ----------------------------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_an_address_is_guessed_at_only_so_often_from_wherever(world: World, database: DatabaseUrls) -> None:
    victim = world.person()
    async with another(world, database, sensitive_calls_per_min=5, trusted_proxies=("127.0.0.0/8",)) as strict:
        codes = []
        for number in range(7):
            form = {"email": victim.email.swapcase() if number % 2 else victim.email, "password": "guess"}
            headers = {"X-Forwarded-For": f"203.0.113.{number}"}
            codes.append((await strict.anonymous.call("POST", f"{AUTH}/login/", form, headers=headers)).status)
        assert codes == [400] * 5 + [429] * 2
        form = {"email": world.person().email, "password": PASSWORD}
        headers = {"X-Forwarded-For": "203.0.113.99"}
        other = await strict.anonymous.call("POST", f"{AUTH}/login/", form, headers=headers)
        assert other.status == 200, "others are not locked out"


@pytest.mark.gen_test
async def test_nothing_secret_is_logged_or_stored(world: World) -> None:
    person = world.person()
    secret = "a very rare phrase 77"
    form = {"old_password": PASSWORD, "new_password1": secret, "new_password2": secret}
    await world.of(person).post(f"{AUTH}/password/change/", form)
    await world.anonymous.post(f"{AUTH}/login/", {"email": person.email, "password": secret})
    await world.anonymous.post(f"{AUTH}/password-reset/", {"email": person.email})
    await run_actors(world, "account_mails.mail_a_reset")
    token = letters(world, person.email, "Choose a new password")[-1].token
    assert secret not in world.log.getvalue()
    assert token not in world.log.getvalue()

    def rows_with(session: Session) -> list[str]:
        whole = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        found = []
        for table in session.scalars(text(f"{whole} AND NOT relispartition")).all():
            query = text(f'SELECT count(*) FROM "{table}" t WHERE t::text LIKE :a OR t::text LIKE :b')
            if session.scalars(query, {"a": f"%{secret}%", "b": f"%{token}%"}).one():
                found.append(table)
        return found

    assert world.c.db.system_sync(rows_with) == []
    assert world.c.db.system_sync(lambda session: session.scalar(select(func.count()).select_from(Person))) > 0
    assert HASHED not in world.log.getvalue()
    world.clock.advance(timedelta(seconds=1))
