"""Attacks on organizations, their invitations and the ways to switch, each by its name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from edurise.adapters.provision import DatabaseUrls
from edurise.authz import Principal
from edurise.identity.models import Person
from edurise.tenants import invitations, organizations, service
from edurise.tenants.models import Invitation, Organization
from edurise.tenants.queries import MAIN
from tests.harness.client import Answer, Client
from tests.harness.world import PASSWORD, Someone, World
from tests.harness.worlds import another
from tests.security.scene import closed_main

ROOT = "/api/v1/organizations"
CURRENT = f"{ROOT}/current"
LINK = "/api/v1/accounts/invitations"
REGISTER = "/api/v1/accounts/auth/register/"
NAMES = {"first_name": "Ada", "last_name": "Byron"}
NEW = {"password": PASSWORD, "password_confirm": PASSWORD} | NAMES


def columns(world: World, tenant_id: UUID) -> dict[str, Any]:
    def read(session: Session) -> dict[str, Any]:
        found = session.get_one(Organization, tenant_id)
        return {column.name: getattr(found, column.name) for column in Organization.__table__.columns}

    return world.c.db.system_sync(read)


def close(world: World, tenant_id: UUID) -> None:
    world.c.db.system_sync(lambda session: organizations.close(session, Principal(), tenant_id))


def invited(world: World, by: Someone, email: str, role: str = "teacher") -> tuple[UUID, str]:
    """An invitation, and the token of its link."""
    made: UUID = world.c.db.run_sync(
        by.principal, lambda session, who: invitations.invite(session, who, email=email, role=role)
    )
    return made, world.c.mail_links.token("invitation", made)


async def registers(world: World, token: str, **more: Any) -> Answer:
    return await world.anonymous.post(f"{LINK}/register/", NEW | {"token": token} | more)


def address() -> str:
    return f"{uuid4()}@example.org"


# -- another organization's administrator ------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_an_administrator_reads_and_changes_nothing_of_another_organization(world: World) -> None:
    here, there = world.organization(), world.organization()
    attacker, victim = world.person("admin", here), world.person("admin", there)
    invitation_id, _ = invited(world, victim, address())
    before = columns(world, there)
    named = world.of(attacker, X_Tenant_ID=str(there))
    acts: list[tuple[str, str, Any]] = [
        ("GET", f"{CURRENT}/", None),
        ("PATCH", f"{CURRENT}/", {"name": "Mine"}),
        ("GET", f"{CURRENT}/limits/", None),
        ("GET", f"{CURRENT}/invitations/", None),
        ("POST", f"{CURRENT}/invitations/", {"email": attacker.email, "role": "admin"}),
        ("GET", f"{ROOT}/settings/", None),
        ("PATCH", f"{ROOT}/settings/", {"otp_roles": ["admin"]}),
        ("POST", f"{CURRENT}/invitations/{invitation_id}/resend/", {}),
        ("DELETE", f"{CURRENT}/invitations/{invitation_id}/", None),
    ]
    for verb, path, body in acts:
        refused = await named.call(verb, path, body)
        assert refused.status in (403, 404), f"{verb} {path}: {refused.content!r}"
        assert refused.code in ("TENANT_ACCESS_ERROR", "NOT_FOUND"), f"{verb} {path}"
    for client in (named, world.of(attacker)):
        for path in ("users/", "stats/"):
            assert (await client.get(f"{ROOT}/{there}/{path}")).status in (403, 404), path
        for verb, body in (("PATCH", {"is_active": False}), ("DELETE", None)):
            assert (await client.call(verb, f"{ROOT}/{there}/", body)).status == 403
        for verb, path in (("POST", "resend/"), ("DELETE", "")):
            gone = await client.call(verb, f"{CURRENT}/invitations/{invitation_id}/{path}", {} if path else None)
            assert gone.status in (403, 404)
    assert columns(world, there) == before
    kept = (await world.of(victim).get(f"{CURRENT}/invitations/")).data
    assert [(one["id"], one["status"]) for one in kept] == [(str(invitation_id), "open")]


@pytest.mark.gen_test
async def test_an_administrator_founds_promotes_and_closes_nothing(world: World) -> None:
    school = world.organization()
    before = columns(world, school)
    administrator = world.of(world.person("admin", school))
    form = {"name": "Mine", "subdomain": f"mine-{uuid4().hex[:8]}"}
    assert (await administrator.post(f"{ROOT}/", form)).status == 403
    assert (await administrator.patch(f"{ROOT}/{school}/", {"subscription_plan": "enterprise"})).status == 403
    assert (await administrator.call("DELETE", f"{ROOT}/{school}/")).status == 403
    for body in (
        {"subscription_plan": "enterprise"},
        {"plan": "enterprise"},
        {"is_active": True},
        {"currency": "EUR"},
        {"settings": {}},
        {"logo_path": "/media/x"},
        {"file_store": "s3"},
        {"id": str(MAIN)},
    ):
        refused = await administrator.patch(f"{CURRENT}/", {"name": "Mine"} | body)
        assert (refused.status, list(refused.body["errors"])) == (400, list(body))
    assert columns(world, school) == before


@pytest.mark.gen_test
@pytest.mark.parametrize("role", ["student", "teacher"])
async def test_no_member_furnishes_invites_or_sees_what_is_their_administrators(world: World, role: str) -> None:
    school = world.organization()
    member = world.of(world.person(role, school))
    for verb, path, body in (
        ("GET", f"{CURRENT}/", None),
        ("PATCH", f"{CURRENT}/", {"name": "Mine"}),
        ("GET", f"{ROOT}/settings/", None),
        ("PATCH", f"{ROOT}/settings/", {"otp_roles": []}),
        ("GET", f"{CURRENT}/limits/", None),
        ("GET", f"{CURRENT}/invitations/", None),
        ("POST", f"{CURRENT}/invitations/", {"email": address(), "role": "student"}),
        ("GET", f"{ROOT}/{school}/users/", None),
        ("GET", f"{ROOT}/{school}/stats/", None),
    ):
        assert (await member.call(verb, path, body)).status == 403, f"{verb} {path}"


# -- what is not public ------------------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_public_lists_tell_no_revenue_no_members_and_no_closed_organization(world: World) -> None:
    school, closed = world.organization(), world.organization()
    teacher = world.person("teacher", school)
    world.course(teacher)
    subdomain = columns(world, closed)["subdomain"]
    close(world, closed)
    elsewhere = world.person("admin", world.organization())
    readers = {
        "anybody": world.anonymous,
        "a teacher of it": world.of(teacher),
        "another's administrator": world.of(elsewhere),
        "one that names it": world.of(elsewhere, X_Tenant_ID=str(school)),
    }
    for who, reader in readers.items():
        for query in ("", "?is_active=false", "?is_active=", f"?search={subdomain}"):
            listed = (await reader.get(f"{ROOT}/{query}")).data["results"]
            assert str(closed) not in {one["id"] for one in listed}, f"{who} {query}"
            assert {(one["user_count"], one["revenue"]) for one in listed} <= {(None, None)}, f"{who} {query}"
            assert not any({"settings", "file_store", "plan", "logo_path"} & one.keys() for one in listed)
        shown = (await reader.get(f"{ROOT}/{school}/")).data
        assert (shown["user_count"], shown["revenue"]) == (None, None), who
        assert (await reader.get(f"{ROOT}/{closed}/")).status == 404, who
        assert (await reader.get(f"{ROOT}/by_subdomain/?subdomain={subdomain}")).status == 404, who
        market = (await reader.get(f"{ROOT}/marketplace_summary/")).data
        assert str(closed) not in {one["id"] for one in market}, who
        assert not any({"user_count", "revenue", "subscription_plan"} & one.keys() for one in market)


# -- spoofed headers ---------------------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_no_host_moves_somebody_who_is_logged_in(world: World, database: DatabaseUrls) -> None:
    async with another(world, database, public_url="http://edurise.test") as hosted:
        here, there = hosted.organization(), hosted.organization()
        administrator = hosted.of(hosted.person("admin", here))
        spoofed = f"{columns(hosted, there)['subdomain']}.edurise.test"
        for header in ("Host", "X-Forwarded-Host", "X-Original-Host", "Forwarded"):
            value = f"host={spoofed}" if header == "Forwarded" else spoofed
            found = await administrator.call("GET", f"{CURRENT}/", headers={header: value})
            assert (found.status, found.data["id"]) == (200, str(here)), header


@pytest.mark.gen_test
async def test_only_the_host_itself_says_where_somebody_registers(world: World, database: DatabaseUrls) -> None:
    async with another(world, database, public_url="http://edurise.test") as hosted:
        open_one, closed = hosted.organization(), hosted.organization()
        names = [columns(hosted, one)["subdomain"] for one in (open_one, closed)]
        close(hosted, closed)

        async def registered(**headers: str) -> str:
            form = NEW | {"email": address()}
            spelled = {name.replace("_", "-"): value for name, value in headers.items()}
            made = await hosted.anonymous.call("POST", REGISTER, form, headers=spelled)
            assert made.status == 201, made.content
            found: str = made.data["user"]["organization"]["id"]
            return found

        assert await registered(Host=f"{names[0]}.edurise.test") == str(open_one)
        assert await registered(Host=f"{names[1]}.edurise.test") == str(MAIN), "a closed one's host is nobody's"
        assert await registered(X_Forwarded_Host=f"{names[0]}.edurise.test") == str(MAIN)
        for host in (f"{names[0]}.evil.test", f"x.{names[0]}.edurise.test", f"{names[0]}.edurise.test.evil.test"):
            assert await registered(Host=host) == str(MAIN), host


@pytest.mark.gen_test
@pytest.mark.parametrize("value", ["*", "null", "0", "' or true --", "main,", str(UUID(int=0)), "a" * 5000])
async def test_a_header_that_names_nothing_opens_nothing(world: World, value: str) -> None:
    administrator = world.person("admin", world.organization())
    refused = await world.of(administrator, X_Tenant_ID=value).get(f"{CURRENT}/")
    assert (refused.status, refused.code) == (403, "TENANT_ACCESS_ERROR")


# -- switching ---------------------------------------------------------------------------------------------------------


async def acting(client: Client) -> str:
    """The organization that an administrator's request acts in."""
    answer = await client.get(f"{CURRENT}/")
    return answer.data["id"] if answer.status == 200 else str(answer.code)


@pytest.mark.gen_test
async def test_no_way_of_switching_leads_where_one_does_not_belong(world: World) -> None:
    here, there = world.organization(), world.organization()
    person = world.person("admin", here)
    client = world.of(person)
    refused = await client.post("/api/v1/users/switch_tenant/", {"tenant_id": str(there)})
    assert (refused.status, refused.code) == (403, "TENANT_ACCESS_ERROR")
    assert (await client.post(f"{ROOT}/{there}/switch/")).status in (403, 404)
    form = {"refresh": person.refresh, "tenant_id": str(there)}
    assert (await world.anonymous.post("/api/v1/accounts/auth/token/refresh/", form)).status == 403
    assert await acting(client) == str(here)


@pytest.mark.gen_test
async def test_a_pin_outlives_no_membership(world: World) -> None:
    here, there = world.organization(), world.organization()
    person, keeper = world.person("admin", here), world.person("admin", there)
    _, token = invited(world, keeper, person.email, "admin")
    assert (await world.of(person).post(f"{LINK}/accept/", {"token": token})).status == 200
    pinned = await world.of(person).post("/api/v1/users/switch_tenant/", {"tenant_id": str(there)})
    inside = world.anonymous.as_(pinned.data["token"], X_Tenant_ID=str(here))
    assert await acting(inside) == str(there), "pinned: the token beats the header"
    assert (await world.of(keeper).call("DELETE", f"/api/v1/users/{person.id}/")).status == 200
    assert await acting(inside) == "PERMISSION_DENIED"
    again = await world.anonymous.post(
        "/api/v1/accounts/auth/token/refresh/", {"refresh": pinned.data["tokens"]["refresh"]}
    )
    fresh = world.anonymous.as_(again.data["access"])
    assert await acting(fresh) == "PERMISSION_DENIED", "nor does a newer token"
    cleared = await fresh.post(f"{ROOT}/{here}/switch/")
    assert await acting(world.anonymous.as_(cleared.data["access"])) == str(here)


@pytest.mark.gen_test
async def test_closing_by_a_change_asks_for_the_second_factor_as_closing_does(world: World) -> None:
    school = world.organization()
    person = world.person("admin", platform=True)

    def enrolled(session: Session) -> None:
        session.execute(update(Person).where(Person.id == person.id).values(has_second_factor=True))

    world.c.db.system_sync(enrolled)
    world.clock.advance(timedelta(minutes=11))
    for verb, path, body in (
        ("PATCH", f"{ROOT}/{school}/", {"is_active": False}),
        ("DELETE", f"{ROOT}/{school}/", None),
        ("POST", f"{ROOT}/", {"name": "New", "subdomain": f"new-{uuid4().hex[:8]}"}),
    ):
        refused = await world.of(person).call(verb, path, body)
        assert (refused.status, refused.code) == (403, "STEP_UP_REQUIRED"), verb
    assert columns(world, school)["is_active"] is True


# -- invitations -------------------------------------------------------------------------------------------------------


@pytest.mark.gen_test
@pytest.mark.parametrize("role", ["student", "teacher", "admin"])
async def test_nobody_who_may_not_invite_invites_anybody_to_any_role(world: World, role: str) -> None:
    school = world.organization()
    teacher, learner = world.person("teacher", school), world.person(tenant_id=school)
    for person in (teacher, learner):
        body = {"email": address(), "role": role}
        refused = await world.of(person).post(f"{CURRENT}/invitations/", body)
        assert (refused.status, refused.code) == (403, "PERMISSION_DENIED")


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "body", [{"role": "admin"}, {"tenant_id": str(MAIN)}, {"email": "eve@example.org"}, {"is_active": True}]
)
async def test_accepting_takes_nothing_but_the_token(world: World, body: dict[str, Any]) -> None:
    person = world.person()
    keeper = world.person("admin", world.organization())
    _, token = invited(world, keeper, person.email, "student")
    for attempt in (
        await world.of(person).post(f"{LINK}/accept/", {"token": token} | body),
        await registers(world, token, **body),
    ):
        assert (attempt.status, list(attempt.body["errors"])) == (400, list(body))


@pytest.mark.gen_test
async def test_an_invitation_is_not_replayed_by_two_at_once(world: World) -> None:
    keeper = world.person("admin", world.organization())
    _, token = invited(world, keeper, address())
    answers = await asyncio.gather(*(registers(world, token) for _ in range(4)))
    assert sorted(one.status for one in answers) in ([201, 400, 400, 400], [201, 400, 400, 409], [201, 400, 409, 409],
                                                     [201, 409, 409, 409])  # fmt: skip
    assert {one.code for one in answers if one.status != 201} <= {"INVITATION_INVALID", "EMAIL_TAKEN"}
    person = world.person()
    _, second = invited(world, keeper, person.email)
    accepted = await asyncio.gather(*(world.of(person).post(f"{LINK}/accept/", {"token": second}) for _ in range(4)))
    assert sorted(one.status for one in accepted) == [200, 400, 400, 400]


@pytest.mark.gen_test
async def test_a_token_of_another_purpose_or_of_nobody_s_opens_nothing(world: World) -> None:
    keeper = world.person("admin", world.organization())
    invitation_id, token = invited(world, keeper, address())
    links = world.c.mail_links
    forged = [links.token(purpose, invitation_id) for purpose in ("verify_email", "reset_password", "change_email")]
    forged += [links.token("invitation", uuid4()), token[:-1] + ("A" if token[-1] != "A" else "B"), token[:-4], "x"]
    for wrong in forged:
        assert (await registers(world, wrong)).code in ("MAILED_LINK_INVALID", "INVITATION_INVALID"), wrong
        shown = await world.anonymous.get(f"{LINK}/?token={wrong}")
        assert shown.code in ("MAILED_LINK_INVALID", "INVITATION_INVALID"), wrong
    form = {"token": token, "password": PASSWORD, "password_confirm": PASSWORD}
    reset = await world.anonymous.post("/api/v1/accounts/auth/password-reset-confirm/", form)
    assert reset.code == "MAILED_LINK_INVALID", "nor is an invitation's a reset"


def demoted(session: Session, keeper: Someone) -> None:
    service.give_role(session, keeper.tenant_id, keeper.id, "teacher")


def switched_off(session: Session, keeper: Someone) -> None:
    session.get_one(Person, keeper.id).is_active = False


def closed(session: Session, keeper: Someone) -> None:
    organizations.close(session, Principal(), keeper.tenant_id)


def expired(session: Session, keeper: Someone) -> None:
    moved = update(Invitation).where(Invitation.tenant_id == keeper.tenant_id)
    session.execute(moved.values(expires_at=Invitation.created_at - timedelta(days=1)))


@pytest.mark.gen_test
@pytest.mark.parametrize("happened", [demoted, switched_off, closed, expired])
async def test_an_invitation_dies_with_what_it_rests_on(
    world: World, happened: Callable[[Session, Someone], None]
) -> None:
    keeper = world.person("admin", world.organization())
    person = world.person()
    _, for_nobody = invited(world, keeper, address(), "admin")
    _, for_person = invited(world, keeper, person.email, "admin")
    world.c.db.system_sync(lambda session: happened(session, keeper))
    assert (await world.anonymous.get(f"{LINK}/?token={for_nobody}")).code == "INVITATION_INVALID"
    assert (await registers(world, for_nobody)).code == "INVITATION_INVALID"
    assert (await world.of(person).post(f"{LINK}/accept/", {"token": for_person})).code == "INVITATION_INVALID"

    def accepted(session: Session) -> list[UUID]:
        query = select(Invitation.id).where(Invitation.tenant_id == keeper.tenant_id)
        return list(session.scalars(query.where(Invitation.accepted_at.is_not(None))))

    assert world.c.db.system_sync(accepted) == []


@pytest.mark.gen_test
async def test_an_invitation_lowers_no_role(world: World) -> None:
    school = world.organization()
    keeper, other = world.person("admin", school), world.person("admin", school)
    _, token = invited(world, keeper, other.email, "student")
    assert (await world.of(other).post(f"{LINK}/accept/", {"token": token})).status == 200
    assert await acting(world.of(other)) == str(school), "an administrator stays one"


@pytest.mark.gen_test
async def test_a_link_shows_nothing_but_what_its_holder_needs(world: World) -> None:
    keeper = world.person("admin", world.organization())
    _, token = invited(world, keeper, address())
    shown = (await world.anonymous.get(f"{LINK}/?token={token}")).data
    assert shown.keys() == {
        *("email", "role", "first_name", "last_name"),
        *("organization_id", "organization_name", "logo", "expires_at"),
    }


@pytest.mark.gen_test
async def test_a_header_that_names_nothing_opens_no_door_of_a_closed_main(world: World) -> None:
    gone = world.organization()
    close(world, gone)
    with closed_main(world):
        for named in ({}, {"X_Tenant_ID": str(uuid4())}, {"X_Tenant_ID": str(gone)}, {"X_Tenant_ID": "main"}):
            refused = await world.anonymous.post(REGISTER, NEW | {"email": address()}, **named)
            assert (refused.status, refused.code) == (403, "REGISTRATION_CLOSED"), named
