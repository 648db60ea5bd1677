"""Invitations: mailed, accepted once by whoever has the address, void when they should be."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.orm import Session

from edurise.adapters.provision import DatabaseUrls
from edurise.identity.models import Person
from edurise.tenants import service
from tests.harness.client import Answer, Client
from tests.harness.errands import run_actors
from tests.harness.letters import letters
from tests.harness.world import PASSWORD, Someone, World
from tests.harness.worlds import another

CURRENT = "/api/v1/organizations/current/invitations"
LINK = "/api/v1/accounts/invitations"
ME = "/api/v1/users/me/"


def founder(world: World) -> tuple[UUID, Someone, Client]:
    tenant_id = world.organization("North")
    person = world.person("admin", tenant_id)
    return tenant_id, person, world.of(person)


async def invited(world: World, by: Client, email: str, role: str = "teacher") -> tuple[str, str]:
    """Invite and return (the invitation's id, the mailed token)."""
    made = await by.post(f"{CURRENT}/", {"email": email, "role": role})
    assert made.status == 201, made.content
    await run_actors(world, "invitations.mail_an_invitation")
    return made.data["id"], letters(world, email, "Join North")[-1].token


async def register(world: World, token: str, **more: Any) -> Answer:
    form = {
        "token": token,
        "first_name": "Ada",
        "last_name": "Byron",
        "password": PASSWORD,
        "password_confirm": PASSWORD,
    }
    return await world.anonymous.post(f"{LINK}/register/", form | more)


@pytest.mark.gen_test
async def test_a_new_address_joins_with_a_new_account_in_the_role_of_the_invitation(world: World) -> None:
    tenant_id, _, administrator = founder(world)
    email = f"{uuid4()}@example.org"
    _, token = await invited(world, administrator, email)
    shown = (await world.anonymous.get(f"{LINK}/?token={token}")).data
    assert (shown["email"], shown["role"], shown["organization_id"]) == (email, "teacher", str(tenant_id))
    weak = await register(world, token, password="password1", password_confirm="password1")
    assert (weak.status, list(weak.body["errors"])) == (400, ["password"])
    made = await register(world, token)
    assert (made.status, made.data["user"]["role"], made.data["user"]["is_verified"]) == (201, "teacher", True)
    me = (await world.anonymous.as_(made.data["access"]).get(ME)).body
    assert me["organization"]["id"] == str(tenant_id)
    assert (await register(world, token)).code == "INVITATION_INVALID", "once"
    assert (await administrator.get(f"{CURRENT}/")).data[0]["status"] == "accepted"


@pytest.mark.gen_test
async def test_an_address_with_an_account_accepts_logged_in_and_nobody_else_does(world: World) -> None:
    tenant_id, _, administrator = founder(world)
    person, other = world.person(), world.person()
    _, token = await invited(world, administrator, person.email.upper().replace("EXAMPLE.ORG", "example.org"))
    taken = await register(world, token)
    assert (taken.status, taken.code) == (409, "EMAIL_TAKEN")
    stolen = await world.of(other).post(f"{LINK}/accept/", {"token": token})
    assert (stolen.status, stolen.code) == (403, "INVITATION_OF_ANOTHER")
    joined = await world.of(person).post(f"{LINK}/accept/", {"token": token})
    assert joined.data == {"organization_id": str(tenant_id)}
    mine = [one["id"] for one in (await world.of(person).get("/api/v1/users/tenants/")).data]
    assert str(tenant_id) in mine


@pytest.mark.gen_test
async def test_inviting_tells_nothing_of_an_address_and_renews_an_open_one(world: World) -> None:
    _, _, administrator = founder(world)
    known = (await administrator.post(f"{CURRENT}/", {"email": world.person().email, "role": "student"})).data
    unknown = (await administrator.post(f"{CURRENT}/", {"email": f"{uuid4()}@example.org", "role": "student"})).data
    assert known.keys() == unknown.keys()
    assert known["status"] == unknown["status"] == "open"
    world.clock.advance(timedelta(minutes=1))
    again = (await administrator.post(f"{CURRENT}/", {"email": known["email"].upper(), "role": "teacher"})).data
    assert (again["id"], again["role"]) == (known["id"], "teacher")
    assert again["expires_at"] > known["expires_at"]


@pytest.mark.gen_test
async def test_a_member_is_not_invited_again_and_a_suspended_one_comes_back(world: World) -> None:
    tenant_id, _, administrator = founder(world)
    member = world.person("teacher", tenant_id)
    refused = await administrator.post(f"{CURRENT}/", {"email": member.email, "role": "student"})
    assert (refused.status, refused.code) == (409, "ALREADY_MEMBER")
    await administrator.post(f"/api/v1/users/{member.id}/deactivate/")
    _, token = await invited(world, administrator, member.email, "student")
    assert (await world.of(member).post(f"{LINK}/accept/", {"token": token})).status == 200
    me = (await world.of(member).get(ME)).body
    assert (me["role"], me["organization"]["id"]) == ("teacher", str(tenant_id)), "a role is never lowered"


@pytest.mark.gen_test
async def test_what_is_revoked_or_expired_lets_nobody_in(world: World) -> None:
    _, _, administrator = founder(world)
    revoked_id, revoked = await invited(world, administrator, f"{uuid4()}@example.org")
    for _ in range(2):
        assert (await administrator.call("DELETE", f"{CURRENT}/{revoked_id}/")).status == 200
    assert (await register(world, revoked)).code == "INVITATION_INVALID"
    assert (await administrator.post(f"{CURRENT}/{revoked_id}/resend/")).code == "INVITATION_INVALID"
    late_id, late = await invited(world, administrator, f"{uuid4()}@example.org")
    world.clock.advance(timedelta(days=7, seconds=1))
    fresh = await world.anonymous.post(
        "/api/v1/accounts/auth/login/", {"email": (await administrator_of(world)).email, "password": PASSWORD}
    )
    assert fresh.status == 200
    assert (await world.anonymous.get(f"{LINK}/?token={late}")).code == "INVITATION_INVALID"
    assert (await register(world, late)).code == "INVITATION_INVALID"
    assert late_id


async def administrator_of(world: World) -> Someone:
    return world.person("admin", world.organization())


@pytest.mark.gen_test
async def test_an_invitation_counts_only_while_its_maker_may_invite(world: World) -> None:
    tenant_id, maker, administrator = founder(world)
    _, token = await invited(world, administrator, f"{uuid4()}@example.org", "admin")
    world.person("admin", tenant_id)
    world.c.db.system_sync(lambda session: service.give_role(session, tenant_id, maker.id, "student"))
    assert (await register(world, token)).code == "INVITATION_INVALID"


@pytest.mark.gen_test
@pytest.mark.parametrize("body", [{"role": "admin"}, {"is_superuser": True}, {"email": "eve@example.org"}])
async def test_an_invitation_for_a_higher_role_cannot_be_made_of_a_lower_one(
    world: World, body: dict[str, Any]
) -> None:
    _, _, administrator = founder(world)
    _, token = await invited(world, administrator, f"{uuid4()}@example.org", "student")
    assert (await register(world, token, **body)).status == 400
    made = await register(world, token)
    assert (made.data["user"]["role"], made.data["user"]["is_superuser"]) == ("student", False)
    teacher = world.of(world.person("teacher", world.organization()))
    assert (await teacher.post(f"{CURRENT}/", {"email": "x@example.org", "role": "admin"})).status == 403
    assert (await administrator.post(f"{CURRENT}/", {"email": "x@example.org", "role": "superuser"})).status == 400


@pytest.mark.gen_test
async def test_a_plan_takes_so_many_people_and_no_more(world: World, database: DatabaseUrls) -> None:
    async with another(world, database, users={"basic": 3}) as small:
        tenant_id, _, administrator = founder(small)
        tokens = [(await invited(small, administrator, f"{uuid4()}@example.org"))[1] for _ in range(3)]
        answers = [await register(small, token) for token in tokens]
        assert [one.status for one in answers] == [201, 201, 409]
        assert answers[2].code == "PLAN_LIMIT_REACHED"
        members = (await administrator.get("/api/v1/users/")).data["results"]
        removed = next(one["id"] for one in members if one["role"] == "teacher")
        await administrator.call("DELETE", f"/api/v1/users/{removed}/")
        assert (await register(small, tokens[2])).status == 201, "the link was not used up by the refusal"

        def people(session: Session) -> int:
            return session.query(Person).filter(Person.first_name == "Ada", Person.last_name == "Byron").count()

        assert small.c.db.system_sync(people) >= 3
        assert tenant_id
