"""Registration, log-in, refresh, log-out, and what the contract's flags follow from."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from edurise.identity.models import Person
from edurise.tenants import service as tenants
from tests.harness.world import PASSWORD, World

AUTH = "/api/v1/accounts/auth"


@pytest.mark.gen_test
async def test_a_registered_teacher_becomes_one_by_approval(world: World) -> None:
    school = world.organization()
    administrator = world.person("admin", school)
    form = {
        "email": "New.Teacher@Example.org", "password": PASSWORD, "password_confirm": PASSWORD,
        "first_name": "Nina", "last_name": "Teacher", "is_teacher": True,
    }  # fmt: skip
    made = await world.anonymous.post(f"{AUTH}/register/", form, X_Tenant_ID=str(school))
    assert made.status == 201
    user = made.data["user"]
    assert (user["is_teacher"], user["is_approved_teacher"], user["role"]) == (True, False, "student")
    assert user["organization"]["id"] == str(school)
    teacher = world.anonymous.as_(made.data["access"])
    own = (await teacher.get("/api/v1/teacher-approvals/")).data
    assert [one["status"] for one in own["results"]] == ["pending"]
    refused = await teacher.post(f"/api/v1/teacher-approvals/{own['results'][0]['id']}/approve/")
    assert (refused.status, refused.code) == (403, "PERMISSION_DENIED")
    listed = (await world.of(administrator).get("/api/v1/teacher-approvals/")).data
    assert [one["user_email"] for one in listed] == ["New.Teacher@example.org"]
    approved = await world.of(administrator).post(f"/api/v1/accounts/teacher-approvals/{listed[0]['id']}/approve/")
    assert (approved.status, approved.data["status"]) == (200, "approved")
    me = (await teacher.get("/api/v1/users/me/")).body
    assert (me["is_teacher"], me["is_approved_teacher"], me["role"]) == (True, True, "teacher")


@pytest.mark.gen_test
async def test_log_in_by_any_case_and_a_wrong_password_is_400(world: World) -> None:
    person = world.person()
    good = await world.anonymous.post(
        f"{AUTH}/login/", {"email": person.email.upper().replace("EXAMPLE", "example"), "password": PASSWORD}
    )
    assert good.body["access"] == good.data["access"]
    bad = await world.anonymous.post(f"{AUTH}/login/", {"email": person.email, "password": "wrong password"})
    unknown = await world.anonymous.post(
        f"{AUTH}/login/", {"email": "nobody@example.org", "password": "wrong password"}
    )
    assert (bad.status, bad.code) == (unknown.status, unknown.code) == (400, "INVALID_CREDENTIALS")
    assert bad.body["message"] == unknown.body["message"]


@pytest.mark.gen_test
async def test_refresh_has_a_grace_and_then_a_stolen_token_ends_the_family(world: World) -> None:
    person = world.person()
    used = {"refresh": person.refresh}
    answers = [await world.anonymous.post(f"{AUTH}/token/refresh/", used) for _ in range(3)]
    assert [one.status for one in answers] == [200, 200, 200]
    assert len({one.data["refresh"] for one in answers}) == 3
    world.clock.advance(timedelta(seconds=31))
    late = await world.anonymous.post(f"{AUTH}/token/refresh/", used)
    assert (late.status, late.code) == (401, "TOKEN_REUSED")
    dead = await world.anonymous.post(f"{AUTH}/token/refresh/", {"refresh": answers[0].data["refresh"]})
    assert (dead.status, dead.code) == (401, "TOKEN_INVALID")


@pytest.mark.gen_test
async def test_log_out_takes_a_rotated_token_and_ends_the_session_everywhere(world: World) -> None:
    person = world.person()
    fresh = await world.anonymous.post(f"{AUTH}/token/refresh/", {"refresh": person.refresh})
    out = await world.of(person).post(f"{AUTH}/logout/", {"refresh_token": person.refresh})
    assert out.status == 200
    again = await world.anonymous.post(f"{AUTH}/token/refresh/", {"refresh": fresh.data["refresh"]})
    assert again.status == 401


@pytest.mark.gen_test
async def test_who_is_shown_which_applications(world: World) -> None:
    """Administrators their organization's, a platform administrator all, an applicant their own wherever they act."""
    school, other = world.organization(), world.organization()
    here, there = world.person(tenant_id=school, teaches=True), world.person(tenant_id=other, teaches=True)
    administrator, platform = world.person("admin", school), world.person(platform=True)
    path = "/api/v1/teacher-approvals/"
    of_school = {one["user_email"] for one in (await world.of(administrator).get(path)).data}
    assert here.email in of_school
    assert there.email not in of_school
    of_all = (await world.of(platform).get(path)).data
    assert {here.email, there.email} <= {one["user_email"] for one in of_all}
    assert len({one["organization_name"] for one in of_all}) > 1
    world.c.db.system_sync(lambda session: tenants.join(session, other, here.id))
    elsewhere = (await world.of(here, X_Tenant_ID=str(other)).get(path)).data
    assert [one["user_email"] for one in elsewhere["results"]] == [here.email]


@pytest.mark.gen_test
async def test_an_administrator_who_applied_stays_one(world: World) -> None:
    school = world.organization()
    applicant = world.person("admin", school, teaches=True)
    administrator = world.person("admin", school)
    listed = (await world.of(administrator).get("/api/v1/teacher-approvals/")).data
    (own,) = [one["id"] for one in listed if one["user_email"] == applicant.email]
    assert (await world.of(administrator).post(f"/api/v1/teacher-approvals/{own}/approve/")).status == 200
    assert (await world.of(applicant).get("/api/v1/users/me/")).body["is_staff"] is True


@pytest.mark.gen_test
async def test_a_raised_token_version_ends_every_access_token(world: World) -> None:
    person = world.person()
    assert (await world.of(person).get("/api/v1/users/me/")).status == 200

    def raise_version(session: Session) -> None:
        session.get_one(Person, person.id).token_version += 1

    world.c.db.system_sync(raise_version)
    assert (await world.of(person).get("/api/v1/users/me/")).status == 401
