"""Teacher applications: written, documented, decided, decided anew, and told."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from edurise.audit import AuditEntry
from tests.harness.client import Client
from tests.harness.counting import statements
from tests.harness.errands import run_actors
from tests.harness.filing import kept
from tests.harness.letters import letters
from tests.harness.world import Someone, World

ROOT = "/api/v1/teacher-approvals"
MAILS = ("notifications.mail_the_teacher", "notifications.mail_the_applicant")


async def own(world: World, applicant: Someone) -> dict[str, Any]:
    found: dict[str, Any] = (await world.of(applicant).get(f"{ROOT}/")).data["results"][0]
    return found


def acts_on(world: World, application: str) -> list[str]:
    def read(session: Session) -> list[str]:
        query = select(AuditEntry.action).where(AuditEntry.object_id == UUID(application)).order_by(AuditEntry.id)
        return list(session.scalars(query))

    return world.c.db.system_sync(read)


async def role_of(client: Client) -> tuple[str, bool]:
    me = (await client.get("/api/v1/users/me/")).body
    return me["role"], me["is_approved_teacher"]


@pytest.mark.gen_test
async def test_a_member_applies_once_and_writes_on(world: World) -> None:
    school = world.organization()
    student = world.of(world.person(tenant_id=school))
    first = await student.post(f"{ROOT}/", {"education": "Physics\nB.Sc."})
    again = await student.post(f"{ROOT}/", {"education": "Other"})
    assert (first.status, again.status) == (201, 200)
    assert again.data["education"] == "Physics\nB.Sc."
    changed = await student.patch(f"{ROOT}/{first.data['id']}/", {"teaching_philosophy": "Ask first."})
    assert (changed.data["education"], changed.data["teaching_philosophy"]) == ("Physics\nB.Sc.", "Ask first.")
    assert acts_on(world, first.data["id"]) == ["teacher_application.made", "teacher_application.changed"]


@pytest.mark.gen_test
@pytest.mark.parametrize("by_status", [False, True])
async def test_a_rejection_is_told_and_may_be_answered(world: World, by_status: bool) -> None:
    school = world.organization("North")
    applicant, administrator = world.person(tenant_id=school, teaches=True), world.of(world.person("admin", school))
    found = (await own(world, applicant))["id"]
    for _ in range(2):
        if by_status:
            body = {"status": "rejected", "rejection_reason": "Please add\nyour certificates."}
            rejected = await administrator.patch(f"{ROOT}/{found}/", body)
        else:
            rejected = await administrator.post(f"{ROOT}/{found}/reject/", {"notes": "Please add\nyour certificates."})
        assert (rejected.status, rejected.data["status"]) == (200, "rejected")
    assert rejected.data["processed_by"]["first_name"].startswith("First")
    await run_actors(world, *MAILS, times=2)
    (letter,) = letters(world, applicant.email, "Your application at North")
    assert "Please add your certificates." in letter.text
    assert (await own(world, applicant))["rejection_reason"] == "Please add\nyour certificates."
    again = await world.of(applicant).patch(f"{ROOT}/{found}/", {"education": "Certified"})
    assert (again.data["status"], again.data["reviewed_at"]) == ("pending", None)
    approved = await administrator.patch(f"{ROOT}/{found}/", {"status": "approved"})
    assert (approved.data["status"], approved.data["rejection_reason"]) == ("approved", "")
    assert await role_of(world.of(applicant)) == ("teacher", True)
    assert acts_on(world, found) == [
        "teacher_application.rejected",
        "teacher_application.changed",
        "teacher_application.approved",
    ]


@pytest.mark.gen_test
async def test_an_approval_can_be_taken_back_and_the_standing_in_courses_rests(world: World) -> None:
    school = world.organization()
    administrator = world.of(world.person("admin", school))
    applicant = world.person(tenant_id=school, teaches=True)
    found = (await own(world, applicant))["id"]
    await administrator.post(f"{ROOT}/{found}/approve/")
    course = await world.of(applicant).post("/api/v1/courses/", {"title": "Knots", "category": "technology"})
    path = f"/api/v1/courses/{course.data['id']}/"
    assert (await world.of(applicant).patch(path, {"title": "More knots"})).status == 200
    await administrator.post(f"{ROOT}/{found}/reject/", {})
    assert await role_of(world.of(applicant)) == ("student", False)
    assert (await world.of(applicant).patch(path, {"title": "Still mine"})).status == 404
    await administrator.post(f"{ROOT}/{found}/approve/")
    assert (await world.of(applicant).patch(path, {"title": "Mine again"})).status == 200


@pytest.mark.gen_test
async def test_documents_are_the_applicant_s_own_files_and_open_for_who_decides(world: World) -> None:
    school = world.organization()
    applicant, other = world.person(tenant_id=school, teaches=True), world.person(tenant_id=school, teaches=True)
    administrator = world.of(world.person("admin", school))
    found, file = (await own(world, applicant))["id"], str(await kept(world, applicant))
    documents = f"{ROOT}/{found}/documents/"
    stolen = await world.of(other).post(f"{ROOT}/{(await own(world, other))['id']}/documents/", {"file_id": file})
    assert stolen.status == 404
    assert (await world.of(applicant).post(documents, {"file_id": str(uuid4())})).status == 404
    assert (await world.of(other).post(documents, {"file_id": file})).status == 404
    foreign = str(await kept(world, other))
    assert (await world.of(applicant).post(documents, {"file_id": foreign})).status == 404
    for _ in range(2):
        attached = await world.of(applicant).post(documents, {"file_id": file})
        assert [one["id"] for one in attached.data["documents"]] == [file]
    shown = (await administrator.get(f"{ROOT}/{found}/")).data["documents"][0]
    opened = await administrator.as_(None).get(shown["url"].removeprefix(administrator.base_url))
    assert opened.status == 200, "the link opens it without a header, as a browser follows it"
    (listed,) = [one for one in (await administrator.get(f"{ROOT}/")).data if one["id"] == found]
    assert listed["documents"] == [shown | {"url": listed["documents"][0]["url"]}]
    for _ in range(2):
        assert (await world.of(applicant).call("DELETE", f"{documents}{file}/")).status == 200
    assert (await administrator.get(f"{ROOT}/{found}/")).data["documents"] == []


@pytest.mark.gen_test
async def test_an_application_has_a_bounded_number_of_documents(world: World) -> None:
    applicant = world.person(tenant_id=world.organization(), teaches=True)
    documents = f"{ROOT}/{(await own(world, applicant))['id']}/documents/"
    files = [str(await kept(world, applicant)) for _ in range(11)]
    answers = [await world.of(applicant).post(documents, {"file_id": file}) for file in files]
    assert [one.status for one in answers] == [200] * 10 + [409]
    assert answers[-1].code == "TOO_MANY_DOCUMENTS"


@pytest.mark.gen_test
async def test_nobody_decides_over_their_own_wish_or_elsewhere(world: World) -> None:
    applicant = world.person(tenant_id=world.organization(), teaches=True)
    stranger = world.person("admin", world.organization())
    found = (await own(world, applicant))["id"]
    for verb, path, body in (
        ("PATCH", f"{ROOT}/{found}/", {"status": "approved"}),
        ("POST", f"{ROOT}/{found}/approve/", {}),
        ("POST", f"{ROOT}/{found}/reject/", {"notes": "No."}),
    ):
        assert (await world.of(applicant).call(verb, path, body)).status == 403
        assert (await world.of(stranger).call(verb, path, body)).status == 404
    assert (await world.of(stranger).get(f"{ROOT}/{found}/")).status == 404
    assert (await own(world, applicant))["status"] == "pending"


@pytest.mark.gen_test
async def test_a_list_is_a_fixed_number_of_statements(world: World) -> None:
    school = world.organization()
    administrator = world.of(world.person("admin", school))
    counts = []
    for _ in range(2):
        applicant = world.person(tenant_id=school, teaches=True)
        documents = f"{ROOT}/{(await own(world, applicant))['id']}/documents/"
        await world.of(applicant).post(documents, {"file_id": str(await kept(world, applicant))})
        with statements(world) as seen:
            await administrator.get(f"{ROOT}/")
        counts.append(len(seen))
    assert counts[0] == counts[1]
