"""Organizations: founded, changed and closed by the platform, furnished by their administrators, shown with figures."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from edurise.audit import AuditEntry
from edurise.authz import Principal
from edurise.errors import Conflict
from edurise.identity.models import Person
from edurise.tenants import organizations
from edurise.tenants.queries import MAIN
from tests.harness.client import Answer, Client
from tests.harness.counting import statements
from tests.harness.world import PASSWORD, Someone, World

ROOT = "/api/v1/organizations"
ME = "/api/v1/users/me/"


def form(**values: Any) -> dict[str, Any]:
    return {"name": "Harbour School", "subdomain": f"harbour-{uuid4().hex[:10]}"} | values


def platform(world: World) -> Client:
    return world.of(world.person("admin", platform=True))


async def found(world: World, **values: Any) -> Answer:
    return await platform(world).post(f"{ROOT}/", form(**values))


def sold(world: World, tenant_id: UUID, course_id: UUID, person: Someone, minor: int, status: str) -> None:
    def write(session: Session) -> None:
        statement = text(
            "INSERT INTO payments (id, tenant_id, course_id, learner_id, amount_minor, currency, gateway, method, status,"
            " created_at, updated_at) VALUES (:id, :t, :c, :p, :m, 'USD', 'sandbox', 'stripe', :s, now(), now())"
        )
        values = {"id": uuid4(), "t": tenant_id, "c": course_id, "p": person.id, "m": minor, "s": status}
        session.execute(statement, values)

    world.c.db.system_sync(write)


def verified(world: World, person: Someone) -> None:
    def write(session: Session) -> None:
        session.execute(update(Person).where(Person.id == person.id).values(email_verified_at=world.clock.now()))

    world.c.db.system_sync(write)


@pytest.mark.gen_test
async def test_the_platform_founds_an_organization_whose_host_and_plan_count(world: World) -> None:
    made = await found(world, subscription_plan="premium", primary_color="#aabbcc", language="de")
    assert (made.status, made.data["subscription_plan"], made.data["subscription"]["status"]) == (
        201,
        "enterprise",
        "active",
    )
    branding = await world.anonymous.get(f"{ROOT}/by_subdomain/?subdomain={made.data['subdomain'].upper()}")
    assert (branding.data["id"], branding.data["primary_color"]) == (made.data["id"], "#aabbcc")
    taken = await found(world, subdomain=made.data["subdomain"])
    assert (taken.status, taken.code) == (409, "SUBDOMAIN_TAKEN")


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("subdomain", "www"),
        ("subdomain", "api"),
        ("subdomain", "-harbour"),
        ("subdomain", "harbour-"),
        ("subdomain", "ha"),
        ("subdomain", "Harbour"),
        ("subdomain", "a" * 64),
        ("subdomain", "har.bour"),
        ("name", " "),
        ("primary_color", "red"),
        ("subscription_plan", "gold"),
        ("timezone", "Europe/Atlantis"),
        ("is_superuser", True),
    ],
)
async def test_what_is_no_organization(world: World, field: str, value: object) -> None:
    refused = await found(world, **{field: value})
    assert (refused.status, list(refused.body["errors"])) == (400, [field])


@pytest.mark.gen_test
async def test_a_closed_organization_lets_nobody_in_and_can_be_opened_again(world: World) -> None:
    school = world.organization()
    administrator, teacher = world.person("admin", school), world.person("teacher", school)
    world.course(teacher)
    root = platform(world)
    for _ in range(2):
        assert (await root.call("DELETE", f"{ROOT}/{school}/")).status == 200
    refused = await world.of(teacher).post("/api/v1/courses/", {"title": "Knots", "category": "technology"})
    assert (refused.status, refused.code) == (403, "PERMISSION_DENIED")
    assert (await world.of(administrator).get(f"{ROOT}/{school}/users/")).status == 404
    assert (await world.anonymous.get(f"{ROOT}/{school}/")).status == 404
    listed = [one["id"] for one in (await world.anonymous.get(f"{ROOT}/")).data["results"]]
    assert str(school) not in listed
    closed = (await root.get(f"{ROOT}/?is_active=false")).data["results"]
    assert [one["is_active"] for one in closed if one["id"] == str(school)] == [False]
    opened = await root.patch(f"{ROOT}/{school}/", {"is_active": True})
    assert (opened.status, opened.data["is_active"]) == (200, True)
    assert (await world.of(administrator).get(f"{ROOT}/{school}/users/")).status == 200


@pytest.mark.gen_test
async def test_the_platform_s_own_organization_stays(world: World) -> None:
    root = platform(world)
    for verb, body in (("DELETE", None), ("PATCH", {"is_active": False}), ("PATCH", {"subdomain": "elsewhere"})):
        refused = await root.call(verb, f"{ROOT}/{MAIN}/", body)
        assert (refused.status, refused.code) == (409, "MAIN_STAYS")


@pytest.mark.gen_test
async def test_a_currency_stays_once_there_is_a_course(world: World) -> None:
    school = world.organization()
    root, teacher = platform(world), world.person("teacher", school)
    changed = await root.patch(f"{ROOT}/{school}/", {"currency": "JPY"})
    assert (changed.status, changed.data["currency"]) == (200, "JPY")
    course = world.course(teacher, price=Decimal(900))
    assert course["currency"] == "JPY"
    refused = await root.patch(f"{ROOT}/{school}/", {"currency": "EUR", "name": "Another"})
    assert (refused.status, refused.code) == (409, "CURRENCY_STAYS")
    same = await root.patch(f"{ROOT}/{school}/", {"currency": "JPY", "name": "Another"})
    assert (same.status, same.data["name"]) == (200, "Another")


@pytest.mark.gen_test
async def test_no_first_course_is_priced_in_a_currency_that_is_being_changed(world: World) -> None:
    root = Principal()
    for _ in range(5):
        school = world.organization()
        teacher = world.person("teacher", school)
        ready = threading.Barrier(2)

        def make(teacher: Someone = teacher, ready: threading.Barrier = ready) -> str:
            ready.wait(10)
            currency: str = world.course(teacher, price=Decimal(9))["currency"]
            return currency

        def change(school: UUID = school, ready: threading.Barrier = ready) -> None:
            ready.wait(10)
            with contextlib.suppress(Conflict):
                world.c.db.system_sync(lambda session: organizations.change(session, root, school, {"currency": "EUR"}))

        with ThreadPoolExecutor(2) as threads:
            made, changed = threads.submit(make), threads.submit(change)
            changed.result()
            priced = made.result()
        shown = (await world.anonymous.get(f"{ROOT}/{school}/")).data
        assert shown["currency"] == priced


@pytest.mark.gen_test
async def test_figures_are_counted_and_what_is_not_public_is_not_told(world: World) -> None:
    school = world.organization()
    administrator, teacher = world.person("admin", school), world.person("teacher", school)
    course = world.course(teacher, price=Decimal(25))["id"]
    world.course(teacher, is_public=False)
    pupils = [world.person(tenant_id=school) for _ in range(2)]
    for pupil, minor, status in ((pupils[0], 2500, "completed"), (pupils[1], 1000, "refunded")):
        sold(world, school, course, pupil, minor, status)
    public = next(one for one in (await world.anonymous.get(f"{ROOT}/?search=school")).data["results"]
                  if one["id"] == str(school))  # fmt: skip
    assert (public["course_count"], public["total_students"], public["avg_rating"]) == (1, 0, None)
    assert (public["user_count"], public["revenue"]) == (None, None)
    own = (await world.of(administrator).get(f"{ROOT}/{school}/")).data
    assert (own["user_count"], own["revenue"]) == (4, 25)
    theirs = (await world.of(pupils[0]).get(f"{ROOT}/{school}/")).data
    assert (theirs["user_count"], theirs["revenue"]) == (None, None)
    stats = (await world.of(administrator).get(f"{ROOT}/{school}/stats/")).data
    assert stats["course_stats"] == {"total_courses": 2}
    assert stats["financial_statistics"] == {"total_revenue": 25, "currency": "USD"}
    assert (stats["total_users"], stats["total_enrollments"]) == (4, 0)
    assert stats["performance_metrics"] == {"avg_rating": None}
    taught = (await world.anonymous.get(f"/api/v1/users/{teacher.id}/instructor_stats/")).data
    assert taught == {"total_courses": 1, "total_students": 0, "avg_rating": None}
    assert len((await world.anonymous.get(f"{ROOT}/{school}/courses/")).data) == 1
    assert len((await world.of(administrator).get(f"{ROOT}/{school}/courses/")).data) == 2


@pytest.mark.gen_test
async def test_a_list_is_a_fixed_number_of_statements(world: World) -> None:
    counts = []
    for _ in range(2):
        for _ in range(3):
            world.course(world.person("teacher", world.organization()))
        with statements(world) as seen:
            await world.anonymous.get(f"{ROOT}/")
        counts.append(len(seen))
    assert counts[0] == counts[1] <= 6


@pytest.mark.gen_test
async def test_reading_every_figure_is_audited(world: World) -> None:
    root = world.person("admin", platform=True)
    await world.of(root).get(f"{ROOT}/")

    def acts(session: Session) -> list[str]:
        return list(session.scalars(select(AuditEntry.action).where(AuditEntry.person_id == root.id)))

    assert "organization.listed_everywhere" in world.c.db.system_sync(acts)


# -- settings ----------------------------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_settings_are_read_in_either_spelling_and_keep_what_is_not_named(world: World) -> None:
    school = world.organization()
    administrator = world.of(world.person("admin", school))
    first = await administrator.patch(f"{ROOT}/settings/", {"sessionIdleMinutes": 60, "languages": ["de", "en"]})
    second = await administrator.patch(f"{ROOT}/settings/", {"allow_self_registration": False})
    assert first.data["session_idle_minutes"] == second.body["sessionIdleMinutes"] == 60
    assert (second.data["languages"], second.data["allowSelfRegistration"]) == (["en", "de"], False)
    assert (await administrator.get(f"{ROOT}/settings/")).data == second.data


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"session_idle_minutes": 5}, "session_idle_minutes"),
        ({"sessionAbsoluteHours": 0}, "sessionAbsoluteHours"),
        ({"languages": ["xx"]}, "languages"),
        ({"languages": []}, "languages"),
        ({"otp_roles": ["owner"]}, "otp_roles.0"),
        ({"otp_roles": ["platform"]}, "otp_roles"),
        ({"colour": "red"}, "colour"),
        ({"allowSelfRegistration": "no"}, "allowSelfRegistration"),
    ],
)
async def test_what_is_no_setting(world: World, body: dict[str, Any], field: str) -> None:
    refused = await world.of(world.person("admin", world.organization())).patch(f"{ROOT}/settings/", body)
    assert (refused.status, list(refused.body["errors"])) == (400, [field])


@pytest.mark.gen_test
async def test_nobody_shuts_themselves_out(world: World) -> None:
    person = world.person("admin", world.organization())
    administrator = world.of(person)
    unverified = await administrator.patch(f"{ROOT}/settings/", {"require_email_verification": True})
    assert (unverified.status, unverified.code) == (403, "EMAIL_NOT_VERIFIED")
    unproven = await administrator.patch(f"{ROOT}/settings/", {"otp_roles": ["admin"]})
    assert (unproven.status, unproven.code) == (403, "OTP_REQUIRED")
    assert (await administrator.get(f"{ROOT}/settings/")).data["otp_roles"] == []
    assert (await administrator.patch(f"{ROOT}/settings/", {"otp_roles": ["teacher"]})).status == 200
    verified(world, person)
    assert (await administrator.patch(f"{ROOT}/settings/", {"require_email_verification": True})).status == 200


@pytest.mark.gen_test
async def test_a_role_that_demands_a_second_factor_counts_for_nothing_without_one(world: World) -> None:
    school = world.organization()
    teacher = world.person("teacher", school)
    course = world.course(teacher, is_public=False)["id"]
    await world.of(world.person("admin", school)).patch(f"{ROOT}/settings/", {"otp_roles": ["teacher"]})
    for verb, path, body in (
        ("POST", "/api/v1/courses/", {"title": "Knots", "category": "technology"}),
        ("PATCH", f"/api/v1/courses/{course}/", {"title": "Mine"}),
    ):
        refused = await world.of(teacher).call(verb, path, body)
        assert (refused.status, refused.code) == (403, "OTP_REQUIRED"), path
    assert (await world.of(teacher).get(f"/api/v1/courses/{course}/")).status == 404, "as hidden as from anybody"
    assert (await world.of(teacher).get(ME)).status == 200


@pytest.mark.gen_test
async def test_who_may_register_is_a_setting(world: World) -> None:
    school = world.organization()
    administrator = world.of(world.person("admin", school))
    words = {"first_name": "Ada", "last_name": "Byron", "password": PASSWORD, "password_confirm": PASSWORD}
    await administrator.patch(f"{ROOT}/settings/", {"allowSelfRegistration": False})
    path, header = "/api/v1/accounts/auth/register/", {"X_Tenant_ID": str(school)}
    refused = await world.anonymous.post(path, words | {"email": f"{uuid4()}@example.org"}, **header)
    assert (refused.status, refused.code) == (403, "REGISTRATION_CLOSED")
    await administrator.patch(f"{ROOT}/settings/", {"allow_self_registration": True})
    taken = await world.anonymous.post(path, words | {"email": f"{uuid4()}@example.org"}, **header)
    assert taken.data["user"]["organization"]["id"] == str(school)


# -- switching ---------------------------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_a_pin_beats_the_header_until_it_is_cleared(world: World) -> None:
    here, there = world.organization(), world.organization()
    root = world.person("admin", here, platform=True)

    async def acting(token: str, **headers: str) -> str:
        made = await world.anonymous.as_(token, **headers).post(
            "/api/v1/courses/", {"title": "Where", "category": "technology"}
        )
        listed = (await world.of(root).get(f"{ROOT}/{there}/courses/")).data
        return "there" if made.data["id"] in [one["id"] for one in listed] else "here"

    header = {"X_Tenant_ID": str(there)}
    assert await acting(root.access, **header) == "there", "unpinned: the header beats the token"
    pinned = await world.of(root).post("/api/v1/users/switch_tenant/", {"tenant_id": str(here)})
    token = pinned.data["token"]
    assert await acting(token, **header) == "here", "pinned: the token beats the header"
    fresh = await world.anonymous.post(
        "/api/v1/accounts/auth/token/refresh/", {"refresh": pinned.data["tokens"]["refresh"]}
    )
    assert await acting(fresh.data["access"], **header) == "here", "refresh keeps the pin"
    switched = await world.anonymous.as_(token).post(f"{ROOT}/{there}/switch/")
    assert switched.body["tenant_id"] == switched.data["tenant_id"] == str(there)
    assert await acting(switched.data["access"], **header) == "there"
    assert await acting(switched.data["access"], X_Tenant_ID=str(here)) == "here"
