"""People as administrators manage them, by memberships and never beyond; and as they manage themselves."""

from __future__ import annotations

import csv
import io
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from edurise.audit import AuditEntry
from edurise.authz import ANY_PERSON, Principal
from edurise.errors import Conflict
from edurise.identity.models import Person
from edurise.tenants import members, service
from edurise.tenants.queries import MAIN
from tests.harness.client import Client
from tests.harness.counting import statements
from tests.harness.errands import run_actors
from tests.harness.letters import letters
from tests.harness.world import PASSWORD, Someone, World

USERS = "/api/v1/users"
ME = f"{USERS}/me/"


def joined(world: World, person: Someone, tenant_id: UUID, role: str = "student") -> None:
    world.c.db.system_sync(lambda session: service.join(session, tenant_id, person.id, role))


def school(world: World) -> tuple[UUID, Client, Someone]:
    """An organization, its administrator's client, and a student who belongs nowhere else."""
    tenant_id = world.organization()
    return tenant_id, world.of(world.person("admin", tenant_id)), world.person(tenant_id=tenant_id)


@pytest.mark.gen_test
async def test_the_list_is_narrowed_ordered_and_of_a_fixed_number_of_statements(world: World) -> None:
    tenant_id, administrator, student = school(world)
    teacher, applicant = world.person("teacher", tenant_id), world.person(tenant_id=tenant_id, teaches=True)

    async def ids(query: str) -> set[str]:
        return {one["id"] for one in (await administrator.get(f"{USERS}/{query}")).data["results"]}

    assert await ids("?is_approved_teacher=true") == {str(teacher.id)}
    assert await ids("?is_teacher=true") == {str(teacher.id), str(applicant.id)}
    assert await ids("?role=student") == {str(student.id), str(applicant.id)}
    assert await ids(f"?search={student.email.upper()}") == {str(student.id)}
    assert len(await ids("?is_staff=true")) == 1
    ordered = [one["email"] for one in (await administrator.get(f"{USERS}/?ordering=email")).data["results"]]
    assert ordered == sorted(ordered)
    page = (await administrator.get(f"{USERS}/?page=1&page_size=2")).data
    assert (page["count"], len(page["results"])) == (4, 2)
    counts = []
    for _ in range(2):
        world.person(tenant_id=tenant_id)
        with statements(world) as seen:
            await administrator.get(f"{USERS}/")
        counts.append(len(seen))
    assert counts[0] == counts[1] <= 5


@pytest.mark.gen_test
async def test_roles_and_access_change_at_once(world: World) -> None:
    _, administrator, student = school(world)
    client, path = world.of(student), f"{USERS}/{student.id}/"
    form = {"title": "Knots", "category": "technology"}
    assert (await client.post("/api/v1/courses/", form)).status == 403
    promoted = await administrator.post(f"{path}promote_teacher/")
    assert (promoted.data["role"], promoted.data["is_approved_teacher"]) == ("teacher", True)
    assert (await client.post("/api/v1/courses/", form)).status == 201
    assert (await administrator.post(f"{path}deactivate/")).data["is_active"] is False
    assert (await client.post("/api/v1/courses/", form)).status == 403
    assert (await administrator.post(f"{path}activate/")).data["is_active"] is True
    assert (await administrator.post(f"{path}promote_admin/")).data["is_staff"] is True
    assert (await client.get(f"{USERS}/")).status == 200
    assert (await administrator.post(f"{path}demote/")).data["role"] == "student"
    assert (await client.get(f"{USERS}/")).status == 403
    assert (await administrator.call("DELETE", path)).status == 200
    assert (await administrator.get(path)).status == 404
    assert (await client.get(ME)).body["organization"] is None, "the account itself is nobody's to delete"


@pytest.mark.gen_test
async def test_a_name_is_an_administrator_s_affair_only_while_its_person_belongs_nowhere_else(world: World) -> None:
    tenant_id, administrator, student = school(world)
    path = f"{USERS}/{student.id}/"
    renamed = await administrator.patch(path, {"first_name": "Ada"})
    assert (renamed.data["first_name"], renamed.data["last_name"]) == ("Ada", renamed.data["last_name"])
    joined(world, student, world.organization())
    for body in ({"first_name": "Eve"}, {"last_name": "Eve"}, {"email": "eve@example.org"}):
        refused = await administrator.patch(path, body)
        assert (refused.status, refused.code) == (409, "PERSON_BELONGS_ELSEWHERE")
    assert (await administrator.patch(path, {"first_name": "Ada", "role": "teacher"})).status == 200, "nothing new"
    assert (await world.of(student).get(ME)).body["first_name"] == "Ada"
    assert tenant_id


@pytest.mark.gen_test
async def test_an_address_is_asked_for_and_changes_only_by_its_person(world: World) -> None:
    _, administrator, student = school(world)
    new = f"{uuid4()}@example.org"
    answer = await administrator.patch(f"{USERS}/{student.id}/", {"email": new})
    assert answer.data["email"] == student.email
    await run_actors(world, "account_mails.mail_a_change")
    token = letters(world, new, "new e-mail address")[-1].token
    path = "/api/v1/accounts/auth/email/confirm/"
    assert (await administrator.post(path, {"token": token})).status == 403, "not by who asked"
    assert (await world.of(student).post(path, {"token": token})).status == 200
    assert (await world.of(student).get(ME)).body["email"] == new


@pytest.mark.gen_test
async def test_approving_and_suspending_a_teacher_by_a_flag(world: World) -> None:
    tenant_id, _, _ = school(world)
    applicant = world.person(tenant_id=tenant_id, teaches=True)
    platform = world.of(world.person(platform=True))
    for flag, role, status in (
        (True, "teacher", "approved"),
        (False, "student", "rejected"),
        (True, "teacher", "approved"),
    ):
        changed = await platform.patch(f"{USERS}/{applicant.id}/", {"is_approved_teacher": flag})
        assert (changed.data["role"], changed.data["is_approved_teacher"]) == (role, flag)
        own = (await world.of(applicant).get("/api/v1/teacher-approvals/")).data["results"][0]
        assert own["status"] == status


@pytest.mark.gen_test
async def test_nobody_does_this_to_themselves(world: World) -> None:
    tenant_id = world.organization()
    person = world.person("admin", tenant_id)
    world.person("admin", tenant_id)
    client, path = world.of(person), f"{USERS}/{person.id}/"
    for verb, target, body in (
        ("PATCH", path, {"role": "student"}),
        ("PATCH", path, {"is_active": False}),
        ("POST", f"{path}demote/", {}),
        ("POST", f"{path}deactivate/", {}),
        ("DELETE", path, None),
    ):
        refused = await client.call(verb, target, body)
        assert (refused.status, refused.code) == (409, "NOT_ON_ONESELF")


@pytest.mark.gen_test
async def test_many_at_once_and_each_for_itself(world: World) -> None:
    tenant_id, administrator, student = school(world)
    other, stranger = world.person(tenant_id=tenant_id), world.person()
    ids = [str(one.id) for one in (student, stranger, other, student)]
    answer = await administrator.post(f"{USERS}/bulk_update/", {"user_ids": ids, "updates": {"role": "teacher"}})
    assert answer.data == {"updated": 2, "failed": [{"id": str(stranger.id), "code": "NOT_FOUND"}]}
    for expected in (2, 0):
        answer = await administrator.post(f"{USERS}/bulk_delete/", {"user_ids": ids[2:]})
        assert answer.data["updated"] == expected
    for body in ({"user_ids": []}, {"user_ids": ids, "updates": {"is_superuser": True}}, {"user_ids": ["x"] * 501}):
        assert (await administrator.post(f"{USERS}/bulk_update/", body)).status == 400


@pytest.mark.gen_test
async def test_a_sheet_runs_nothing_and_has_everybody(world: World) -> None:
    tenant_id, administrator, student = school(world)

    def rename(session: Session) -> None:
        session.get_one(Person, student.id).first_name = '=cmd|"/c calc"!A1'

    world.c.db.system_sync(rename)
    answer = await administrator.get(f"{USERS}/export/?format=csv")
    assert answer.headers["Content-Type"].startswith("text/csv")
    rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert rows[0][:3] == ["id", "email", "first_name"]
    assert {row[0]: row[2] for row in rows}[str(student.id)] == '\'=cmd|"/c calc"!A1'
    book = zipfile.ZipFile(io.BytesIO((await administrator.get(f"{USERS}/export/?format=xlsx")).content))
    sheet = book.read("xl/worksheets/sheet1.xml").decode()
    assert "<f>" not in sheet
    assert (
        "=cmd" in sheet + book.read("xl/sharedStrings.xml").decode()
        if "xl/sharedStrings.xml" in book.namelist()
        else sheet
    )
    assert (await administrator.get(f"{USERS}/export/?format=pdf")).status == 400
    assert tenant_id


def test_two_administrators_who_remove_each_other_leave_one(world: World) -> None:
    tenant_id = world.organization()
    pair = [world.person("admin", tenant_id) for _ in range(2)]

    def demote(by: Someone, other: Someone) -> bool:
        who = Principal(user_id=by.id, wanted=tenant_id, needs=ANY_PERSON)
        try:
            world.c.db.run_sync(who, members.give_role, other.id, "student")
        except Conflict:
            return False
        return True

    for _ in range(10):
        with ThreadPoolExecutor(2) as threads:
            done = [threads.submit(demote, *order) for order in (pair, pair[::-1])]
            outcomes = sorted(one.result() for one in done)
        assert outcomes == [False, True]
        for one in pair:
            world.c.db.system_sync(lambda session, one=one: service.give_role(session, tenant_id, one.id, "admin"))


@pytest.mark.gen_test
async def test_everybody_is_shown_to_the_platform_alone(world: World) -> None:
    tenant_id, administrator, student = school(world)
    joined(world, student, MAIN)
    assert (await administrator.get(f"{USERS}/all_with_roles/")).status == 403
    listed = (await world.of(world.person(platform=True)).get(f"{USERS}/all_with_roles/")).data
    (found,) = [one for one in listed["results"] if one["id"] == str(student.id)]
    assert (found["profiles_count"], found["organization"]["id"]) == (2, str(tenant_id))


@pytest.mark.gen_test
async def test_what_a_platform_administrator_looks_up_is_audited(world: World) -> None:
    tenant_id, administrator, student = school(world)
    platform = world.person(platform=True)
    assert (await administrator.get(f"{USERS}/{student.id}/")).status == 200
    assert (await world.of(platform).get(f"{USERS}/{student.id}/")).data["organization"]["id"] == str(tenant_id)
    assert (await world.of(platform).get(f"{USERS}/{uuid4()}/")).status == 404
    query = select(AuditEntry.person_id, AuditEntry.details).where(AuditEntry.object_id == student.id)
    looked = world.c.db.system_sync(
        lambda session: session.execute(query.where(AuditEntry.action == "person.looked_up")).all()
    )
    assert [tuple(row) for row in looked] == [(platform.id, {"organization": str(tenant_id)})]


# -- oneself -----------------------------------------------------------------------------------------------------------


@pytest.mark.gen_test
@pytest.mark.parametrize("extra", ["is_superuser", "is_staff", "is_platform_admin", "role", "email", "id", "is_active"])
async def test_mass_assignment_is_refused(world: World, extra: str) -> None:
    client = world.of(world.person("admin", world.organization()))
    value: Any = True if extra.startswith("is_") else "admin"
    for path in (ME, "/api/v1/user-profiles/me/", f"{USERS}/preferences/"):
        refused = await client.patch(path, {extra: value})
        assert (refused.status, list(refused.body["errors"])) == (400, [extra]), path
    me = (await client.get(ME)).body
    assert (me["is_superuser"], me["role"]) == (False, "admin")


@pytest.mark.gen_test
async def test_a_profile_is_written_once_and_kept(world: World) -> None:
    person = world.person("teacher", world.organization())
    client = world.of(person)
    form = {"bio": "Ropes\nand knots", "timezone": "Europe/Berlin", "language": "de", "date_of_birth": "1990-02-28"}
    first, again = [await client.post("/api/v1/user-profiles/", form) for _ in range(2)]
    assert (first.status, again.status, again.data["id"]) == (201, 200, str(person.id))
    links = {"website": "https://ada.example", "linkedin": "", "twitter": "", "github": ""}
    degrees = [{"institution": "Harbour", "degree": "B.Sc.", "year": 1999}]
    own = await client.patch("/api/v1/user-profiles/me/", {"title": "Dr", "social_links": links, "education": degrees})
    assert (own.data["bio"], own.data["title"], own.data["social_links"]) == ("Ropes\nand knots", "Dr", links)
    assert own.data["education"] == [{"institution": "Harbour", "degree": "B.Sc.", "year": "1999"}]
    assert (own.data["total_courses"], own.data["average_rating"]) == (0, None)
    for body in (
        {"social_links": {"website": "javascript:alert(1)"}},
        {"social_links": {"myspace": "https://x.example"}},
        {"experience": "many"},
        {"education": [{}] * 21},
        {"phone": "call me"},
        {"first_name": "a\nb"},
    ):
        assert (await client.patch("/api/v1/user-profiles/me/", body)).status == 400, body
    for body in (
        {"date_of_birth": "soon"},
        {"date_of_birth": "2999-01-01"},
        {"timezone": "Moon/Base"},
        {"avatar": "https://x.example/a.png"},
    ):
        assert (await client.patch(f"/api/v1/user-profiles/{person.id}/", body)).status == 400, body


@pytest.mark.gen_test
async def test_preferences_are_merged_and_language_and_zone_are_the_person_s(world: World) -> None:
    person = world.person()
    client = world.of(person)
    assert (await client.get(f"{USERS}/preferences/")).data["theme"] == "auto"
    await client.patch(f"{USERS}/preferences/", {"email_notifications": False, "timezone": "Asia/Tokyo"})
    merged = (await client.patch(f"{USERS}/preferences/", {"theme": "dark"})).body
    assert (merged["email_notifications"], merged["theme"], merged["timezone"]) == (False, "dark", "Asia/Tokyo")
    assert (await client.get(ME)).body["current_profile"]["timezone"] == "Asia/Tokyo"


@pytest.mark.gen_test
async def test_history_is_one_s_own_over_all_organizations(world: World) -> None:
    person, other = world.person("admin", world.organization()), world.person("admin", world.organization())
    await world.of(person, User_Agent="Rope/1").patch(ME, {"first_name": "Ada"})
    await world.of(other).patch(ME, {"first_name": "Eve"})
    course = await world.of(person).post("/api/v1/courses/", {"title": "Knots", "category": "technology"})
    assert course.status == 201
    page = (await world.of(person).get(f"{USERS}/activity/?page=1&page_size=20")).body
    acts = [one["action"] for one in page["results"]]
    assert acts[:2] == ["course.created", "account.renamed"]
    assert page["results"][1]["user_agent"] == "Rope/1"
    assert page["count"] == len(acts)


@pytest.mark.gen_test
async def test_a_log_in_stands_in_one_s_history(world: World) -> None:
    person = world.person()
    form = {"email": person.email, "password": PASSWORD}
    logged = await world.anonymous.post("/api/v1/accounts/auth/login/", form)
    page = await world.anonymous.as_(logged.data["access"]).get(f"{USERS}/activity/")
    assert page.body["results"][0]["action"] == "session.opened"
    assert page.body["results"][0]["details"] == {"method": "password"}
