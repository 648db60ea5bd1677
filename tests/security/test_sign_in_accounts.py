"""Attacks on people by signing in elsewhere, by name: accounts of others, accounts made in advance, and what a session by
an organization's provider must not reach."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from actors.identity import forget_unfinished_sign_ins
from edurise.authz import ANY_PERSON, Grade, Principal, permission
from edurise.errors import Forbidden
from edurise.identity.federation import PURPOSE
from edurise.identity.liveness import admitted
from edurise.identity.models import Credential, Person
from edurise.identity.proofs import ExternalIdentity, MailedLink, RecoveryCode, SecondFactor
from edurise.notifications.service import channel_of
from edurise.tenants import service as tenants
from tests.harness.authenticator import enrolled
from tests.harness.client import Answer
from tests.harness.providers import AUTH, SETUP, Browser, address, arrive, ask, provider_of, set_up
from tests.harness.talks import Talk
from tests.harness.world import PASSWORD, Someone, World
from tests.simulators.oidc import OidcSimulator

REFUSED = {"error": "SIGN_IN_REFUSED"}
MAILED = {"error": "SIGN_IN_LINK_MAILED"}
ONESELF = permission("tests.oneself", Grade.SELF)


@pytest.fixture
def school(world: World) -> UUID:
    return world.organization()


async def let_in(world: World, sim: OidcSimulator, school: UUID) -> dict[str, Any]:
    """Somebody new, by the provider of the school."""
    found = await arrive(world, sim, await provider_of(world, sim, school), str(uuid4()), address())
    return (await Browser(world).finish(found)).data


def links_of(world: World, person_id: UUID) -> list[str]:
    """The tokens of the links that somebody was mailed, oldest first."""
    query = (
        select(MailedLink.id)
        .where(MailedLink.person_id == person_id, MailedLink.purpose == PURPOSE)
        .order_by(MailedLink.id)
    )
    found = world.c.db.system_sync(lambda session: list(session.scalars(query)))
    return [world.c.mail_links.token(PURPOSE, one) for one in found]


async def confirm(world: World, token: str) -> Answer:
    return await world.anonymous.post(f"{AUTH}/identities/confirm/", {"token": token})


# -- other people's accounts -------------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_a_provider_cannot_take_over_who_belongs_elsewhere(
    world: World, sim: OidcSimulator, school: UUID
) -> None:
    """Members of another organization, of this and another, of this alone but with a password, and the platform's."""
    provider, other = await provider_of(world, sim, school), world.organization()
    both, alone, stranger = world.person("admin", other), world.person("teacher", school), world.person("admin", other)
    platform = world.person(platform=True)
    world.c.db.system_sync(lambda session: tenants.join(session, school, both.id))
    for victim in (both, alone, stranger, platform):
        assert await arrive(world, sim, provider, f"as-{victim.id}", victim.email) == MAILED
        assert await arrive(world, sim, provider, f"as-{victim.id}", victim.email.upper()) in (MAILED, REFUSED)
        linked = "SELECT count(*) FROM external_identities WHERE person_id = :id AND linked_at IS NOT NULL"
        assert ask(world, linked, id=victim.id) == 0
        assert (await world.of(victim).get("/api/v1/users/me/")).status == 200


@pytest.mark.gen_test
async def test_who_has_no_password_but_another_place_or_way_is_not_taken_over(
    world: World, sim: OidcSimulator, school: UUID
) -> None:
    provider, other = await provider_of(world, sim, school), world.organization()
    elsewhere, platform = world.person("admin", other), world.person("admin", school, platform=True)
    world.c.db.system_sync(lambda session: tenants.join(session, school, elsewhere.id))
    for one in (elsewhere, platform):
        world.c.db.system_sync(lambda session, who=one: session.delete(session.get_one(Credential, who.id)))
    for email in (elsewhere.email, platform.email):
        assert await arrive(world, sim, provider, f"as-{email}", email) == MAILED


@pytest.mark.gen_test
async def test_a_link_mailed_to_the_attacker_never_joins_the_victim(
    world: World, sim: OidcSimulator, school: UUID
) -> None:
    """The provider claims the attacker's address, keeps the link, then claims the victim's for the same subject."""
    provider, attacker, victim = await provider_of(world, sim, school), world.person(), world.person()
    assert await arrive(world, sim, provider, "chameleon", attacker.email) == MAILED
    (kept,) = links_of(world, attacker.id)
    assert await arrive(world, sim, provider, "chameleon", victim.email) == MAILED
    assert (await confirm(world, kept)).code == "MAILED_LINK_INVALID"
    assert "code" not in await arrive(world, sim, provider, "chameleon", victim.email)


@pytest.mark.gen_test
async def test_a_link_is_good_once_for_an_hour_and_for_its_purpose(
    world: World, sim: OidcSimulator, school: UUID
) -> None:
    provider, person = await provider_of(world, sim, school), world.person()
    await arrive(world, sim, provider, "s", person.email)
    (token,) = links_of(world, person.id)
    link_id = world.c.mail_links.read(PURPOSE, token)
    for forged in (token[:-2] + "xx", world.c.mail_links.token("reset_password", link_id), "x", "é" * 48):
        assert (await confirm(world, forged)).code == "MAILED_LINK_INVALID"
    world.clock.advance(timedelta(hours=1, seconds=1))
    assert (await confirm(world, token)).code == "MAILED_LINK_INVALID"
    await arrive(world, sim, provider, "s", person.email)
    newest = links_of(world, person.id)[-1]
    answers = await asyncio.gather(*(confirm(world, newest) for _ in range(4)))
    assert sorted(one.status for one in answers) == [200, 400, 400, 400]


@pytest.mark.gen_test
async def test_the_same_subject_at_another_organization_s_provider_is_somebody_else(
    world: World, sim: OidcSimulator, school: UUID
) -> None:
    email = address()
    first = await provider_of(world, sim, school)
    one = (await Browser(world).finish(await arrive(world, sim, first, "shared", email))).data["user"]["id"]
    second = await provider_of(world, sim, world.organization())
    assert await arrive(world, sim, second, "shared", email) == MAILED
    two = (await Browser(world).finish(await arrive(world, sim, second, "shared", address()))).data["user"]["id"]
    assert one != two


def hijacked(world: World) -> Someone:
    """An account that an attacker made with the victim's address, as well furnished as it can be."""
    person = world.person()

    def furnish(session: Session) -> None:
        now = world.clock.now()
        session.get_one(Person, person.id).has_second_factor = True
        session.add(SecondFactor(person_id=person.id, sealed_secret=b"x", created_at=now, confirmed_at=now))
        session.add(RecoveryCode(id=uuid4(), person_id=person.id, code_hash="x", created_at=now))
        until = now + timedelta(days=1)
        values = {"person_id": person.id, "email": "attacker@example.org", "created_at": now, "expires_at": until}
        session.add(MailedLink(id=uuid4(), purpose="change_email", **values))
        unlinked = {"issuer": "https://evil.example", "subject": str(person.id), "email": person.email}
        session.add(ExternalIdentity(id=uuid4(), person_id=person.id, created_at=now, **unlinked))

    world.c.db.system_sync(furnish)
    return person


async def nothing_of_the_attacker_s_is_left(world: World, person: Someone) -> None:
    assert (await world.of(person).get("/api/v1/users/me/")).status == 401
    refresh = await world.anonymous.post(f"{AUTH}/token/refresh/", {"refresh": person.refresh})
    assert refresh.status == 401
    log_in = await world.anonymous.post(f"{AUTH}/login/", {"email": person.email, "password": PASSWORD})
    assert log_in.code == "INVALID_CREDENTIALS"
    for table in ("credentials", "second_factors", "recovery_codes"):
        assert ask(world, f"SELECT count(*) FROM {table} WHERE person_id = :id", id=person.id) == 0, table
    for open_one in ("mailed_links WHERE used_at", "external_identities WHERE linked_at"):
        assert ask(world, f"SELECT count(*) FROM {open_one} IS NULL AND person_id = :id", id=person.id) == 0, open_one
    verified = "SELECT email_verified_at IS NOT NULL AND NOT has_second_factor FROM people WHERE id = :id"
    assert ask(world, verified, id=person.id) is True


@pytest.mark.gen_test
async def test_pre_hijacking_is_reset_by_a_mailed_link(world: World, sim: OidcSimulator, school: UUID) -> None:
    provider, person = await provider_of(world, sim, school), hijacked(world)
    assert await arrive(world, sim, provider, "victim", person.email) == MAILED
    assert (await confirm(world, links_of(world, person.id)[-1])).status == 200
    await nothing_of_the_attacker_s_is_left(world, person)
    found = await Browser(world).finish(await arrive(world, sim, provider, "victim", person.email))
    assert found.data["user"]["id"] == str(person.id)


# -- what a confined session must not reach ----------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_a_confined_session_acts_in_its_organization_alone(
    world: World, sim: OidcSimulator, school: UUID
) -> None:
    other = world.organization()
    session = await let_in(world, sim, school)
    person_id = UUID(session["user"]["id"])
    world.c.db.system_sync(lambda s: tenants.give_role(s, other, person_id, "admin"))
    course = world.course(world.person("teacher", other))["id"]
    client = world.anonymous.as_(session["access"], X_Tenant_ID=str(other))
    assert (await client.get("/api/v1/users/me/")).body["organization"]["id"] == str(school)
    assert (await client.get("/api/v1/users/me/")).body["is_staff"] is False
    assert {one["id"] for one in (await client.get("/api/v1/users/tenants/")).data} <= {str(school)}
    changed = await client.patch(f"/api/v1/courses/{course}/", {"title": "Mine"})
    assert (changed.status, changed.code) == (403, "SESSION_CONFINED")
    switched = await client.post("/api/v1/users/switch_tenant/", {"tenant_id": str(other)})
    assert (switched.status, switched.code) == (403, "SESSION_CONFINED")
    form = {"refresh": session["refresh"], "tenant_id": str(other)}
    fresh = (await world.anonymous.post(f"{AUTH}/token/refresh/", form)).data
    moved = world.anonymous.as_(fresh["access"], X_Tenant_ID=str(other))
    assert (await moved.get("/api/v1/users/me/")).body["organization"]["id"] == str(school)


@pytest.mark.gen_test
async def test_a_confined_session_sees_nothing_that_its_person_has_elsewhere(
    world: World, sim: OidcSimulator, school: UUID
) -> None:
    """What is found by the person alone: notifications, conversations, applications, and what a socket tells."""
    other = world.organization()
    session = await let_in(world, sim, school)
    person_id = UUID(session["user"]["id"])
    world.c.db.system_sync(lambda s: tenants.join(s, other, person_id))
    at_home = replace(world.person(tenant_id=other), id=person_id)
    world.notification(at_home)
    talk = Talk(world, at_home)
    client = world.anonymous.as_(session["access"])
    listed = (await client.get("/api/v1/notifications/")).data
    assert ask(world, "SELECT count(*) FROM notifications WHERE user_id = :id", id=person_id) == 1
    assert (listed["count"], listed["results"]) == (0, [])
    assert (await client.get("/api/v1/ai-conversations/")).data == []
    assert (await client.get(f"/api/v1/ai-conversations/{talk.id}/")).status == 404
    assert (await client.get("/api/v1/teacher-approvals/")).data["results"] == []
    url = f"{world.base_url.replace('http', 'ws', 1)}/ws/notifications/?token={session['access']}"
    socket = await websocket_connect(HTTPRequest(url, headers={"Origin": "http://localhost:3000"}))
    assert await socket.read_message() is None
    assert socket.close_code == 4403
    socket.close()
    elsewhere = Principal(user_id=person_id, wanted=other, needs=ANY_PERSON)
    assert len(world.c.db.run_sync(elsewhere, lambda s, _: s.scalars(text("SELECT id FROM notifications")).all())) == 1


@pytest.mark.gen_test
async def test_a_confined_session_does_nothing_to_the_account_itself(
    world: World, sim: OidcSimulator, school: UUID
) -> None:
    """Whatever acts on the account (its password, its export, its end) demands Grade.SELF, which it is not given."""
    session = await let_in(world, sim, school)
    claims = world.c.tokens.verify(session["access"])
    assert claims.only == school
    who = Principal(user_id=claims.user_id, session_id=claims.session_id, wanted=school, only=school, needs=ONESELF)
    with pytest.raises(Forbidden) as refused:
        world.c.db.run_sync(who, admitted)
    assert refused.value.code == "SESSION_CONFINED"


@pytest.mark.gen_test
async def test_another_organization_s_administrator_touches_no_provider(
    world: World, sim: OidcSimulator, school: UUID
) -> None:
    provider, foreign = await provider_of(world, sim, school), world.person("admin", world.organization())
    for headers in ({}, {"X_Tenant_ID": str(school)}):
        client = world.of(foreign, **headers)
        assert (await client.patch(f"{SETUP}/{provider['id']}/", {"issuer": "https://evil.example"})).status == 404
        assert (await client.call("DELETE", f"{SETUP}/{provider['id']}/")).status == 404
        assert (await client.post(f"{SETUP}/{provider['id']}/check/")).status == 404


@pytest.mark.gen_test
async def test_a_provider_that_is_switched_off_ends_the_sessions_that_it_opened(
    world: World, sim: OidcSimulator, school: UUID
) -> None:
    administrator, member = world.person("admin", school), world.person(tenant_id=school)
    for act in ("PATCH", "DELETE"):
        provider = await set_up(world, administrator, sim.issuer)
        found = await arrive(world, sim, provider, "s", f"of-{school}@example.org")
        opened = (await Browser(world).finish(found)).data
        path, body = f"{SETUP}/{provider['id']}/", {"is_active": False} if act == "PATCH" else None
        assert (await world.of(administrator).call(act, path, body)).status == 200
        refused = await world.anonymous.post(f"{AUTH}/token/refresh/", {"refresh": opened["refresh"]})
        assert (refused.status, refused.code) == (401, "TOKEN_INVALID")
        assert (await world.of(member).get("/api/v1/users/me/")).status == 200
        await world.of(administrator).call("DELETE", path)


@pytest.mark.gen_test
async def test_what_nobody_finishes_is_forgotten(world: World, sim: OidcSimulator, school: UUID) -> None:
    provider, person = await provider_of(world, sim, school), world.person()
    await Browser(world).start(provider)
    await arrive(world, sim, provider, "s", person.email)
    world.clock.advance(timedelta(days=1, seconds=1))
    await forget_unfinished_sign_ins(world.c)
    assert ask(world, "SELECT count(*) FROM sign_ins") == 0
    assert ask(world, "SELECT count(*) FROM external_identities WHERE linked_at IS NULL") == 0


# -- second factors, and what an organization demands ------------------------------------------------------------------


async def joined(world: World, sim: OidcSimulator, provider: dict[str, Any], person: Someone) -> dict[str, str]:
    """What the user interface is given when somebody comes back who has joined their account elsewhere to theirs, of
    which nobody doubts that it is."""
    ask(world, "UPDATE people SET email_verified_at = now() WHERE id = :id RETURNING true", id=person.id)
    assert await arrive(world, sim, provider, str(person.id), person.email) == MAILED
    assert (await confirm(world, links_of(world, person.id)[-1])).status == 200
    return await arrive(world, sim, provider, str(person.id), person.email)


@pytest.mark.gen_test
async def test_a_provider_does_not_stand_in_for_the_second_factor_of_a_person(
    world: World, sim: OidcSimulator, school: UUID
) -> None:
    """Who was asked for a code, or mistyped it, goes on with the same way; the way is good for one session."""
    provider, person = await provider_of(world, sim, school), world.person(tenant_id=school)
    mine = await enrolled(world, person)
    found = await joined(world, sim, provider, person)
    asked = await Browser(world).finish(found)
    assert (asked.status, asked.code) == (403, "OTP_REQUIRED")
    assert (await Browser(world).finish(found, otp=mine.wrong_code)).code == "OTP_WRONG"
    come = await Browser(world).finish(found, otp=mine.fresh_code)
    assert (come.status, come.data["user"]["id"]) == (200, str(person.id))
    assert (await Browser(world).finish(found, otp=mine.fresh_code)).code == "SIGN_IN_REFUSED"


@pytest.mark.gen_test
async def test_one_code_and_one_second_factor_open_one_session(world: World, sim: OidcSimulator, school: UUID) -> None:
    provider, person = await provider_of(world, sim, school), world.person(tenant_id=school)
    mine = await enrolled(world, person)
    found = await joined(world, sim, provider, person)
    codes = mine.recovery_codes[:4]
    answers = await asyncio.gather(*(Browser(world).finish(found, otp=one) for one in codes))
    assert sorted(one.status for one in answers) == [200, 400, 400, 400]


@pytest.mark.gen_test
@pytest.mark.parametrize("change", [{"is_active": False}, {"issuer": "https://elsewhere.example"}, None], ids=str)
async def test_a_provider_that_is_trusted_no_more_lets_nobody_in_who_is_on_the_way(
    world: World, sim: OidcSimulator, school: UUID, change: dict[str, Any] | None
) -> None:
    administrator = world.person("admin", school)
    provider = await set_up(world, administrator, sim.issuer)
    found = await arrive(world, sim, provider, "s", address())
    assert found.keys() == {"code"}
    act = "PATCH" if change else "DELETE"
    assert (await world.of(administrator).call(act, f"{SETUP}/{provider['id']}/", change)).status == 200
    assert (await Browser(world).finish(found)).code == "SIGN_IN_REFUSED"
    assert ask(world, "SELECT count(*) FROM sessions WHERE confined_to = :id", id=school) == 0


@pytest.mark.gen_test
async def test_a_provider_that_is_switched_off_meanwhile_leaves_no_session(
    world: World, sim: OidcSimulator, school: UUID
) -> None:
    """At the same time, over and over: whichever comes first, nobody stays in."""
    administrator = world.person("admin", school)
    provider = await set_up(world, administrator, sim.issuer)
    path = f"{SETUP}/{provider['id']}/"
    for number in range(8):
        await world.of(administrator).patch(path, {"is_active": True})
        found = await arrive(world, sim, provider, f"s-{number}", address())
        off = world.of(administrator).patch(path, {"is_active": False})
        answer, _ = await asyncio.gather(Browser(world).finish(found), off)
        assert answer.status in (200, 400), answer.content
        assert (
            ask(world, "SELECT count(*) FROM sessions WHERE confined_to = :id AND revoked_at IS NULL", id=school) == 0
        )


@pytest.mark.gen_test
async def test_what_an_organization_demands_is_its_own_provider_s_to_ask_for(
    world: World, sim: OidcSimulator, school: UUID
) -> None:
    """Who comes by it stands there; the same person by password does not, before they have shown what is demanded."""
    settings = '{"otp_roles": ["student"], "require_email_verification": true}'
    demand = text("UPDATE organizations SET settings = CAST(:s AS jsonb) WHERE id = :id")
    provider = await provider_of(world, sim, school)
    world.c.db.system_sync(lambda session: session.execute(demand, {"s": settings, "id": school}))
    session = (await Browser(world).finish(await arrive(world, sim, provider, "s", address()))).data
    who = Principal(
        user_id=UUID(session["user"]["id"]), wanted=school, only=school, needs=permission("tests.member", Grade.MEMBER)
    )
    assert world.c.db.run_sync(who, lambda _, found: found.standing.role) == "student"
    with pytest.raises(Forbidden) as refused:
        world.c.db.run_sync(replace(who, only=None), lambda _, found: found.standing.role)
    assert refused.value.code in ("EMAIL_NOT_VERIFIED", "OTP_REQUIRED")


@pytest.mark.gen_test
async def test_a_confined_session_does_not_say_that_its_person_is_powerful(
    world: World, sim: OidcSimulator, school: UUID
) -> None:
    session = await let_in(world, sim, school)
    raised = text("UPDATE people SET is_platform_admin = true WHERE id = :id")
    world.c.db.system_sync(lambda s: s.execute(raised, {"id": session["user"]["id"]}))
    me = (await world.anonymous.as_(session["access"]).get("/api/v1/users/me/")).body
    assert (me["is_superuser"], me["role"]) == (False, "student")


@pytest.mark.gen_test
async def test_what_a_confined_session_reads_is_counted_over_all_organizations(
    world: World, sim: OidcSimulator, school: UUID
) -> None:
    """The person's channel tells their other devices how many are unread everywhere, not how many it saw."""
    other = world.organization()
    session = await let_in(world, sim, school)
    person_id = UUID(session["user"]["id"])
    world.c.db.system_sync(lambda s: tenants.join(s, other, person_id))
    world.notification(replace(world.person(tenant_id=other), id=person_id))
    for _ in range(2):
        world.notification(replace(world.person(tenant_id=school), id=person_id))
    read = await world.anonymous.as_(session["access"]).post("/api/v1/notifications/mark_all_read/")
    assert read.data["marked_count"] == 2
    told = "SELECT data ->> 'count' FROM channel_events WHERE channel = :c AND type = 'unread_count' ORDER BY at DESC LIMIT 1"
    assert ask(world, told, c=channel_of(person_id)) == "1"
