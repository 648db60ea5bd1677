"""Files over HTTP: who sees which, what may be changed by whom, and the trash."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from tests.harness.counting import statements
from tests.harness.filing import FILES, TEXT, column, kept, settle, shared, upload
from tests.harness.world import Someone, World

API = "/api/v1"


class School:
    """An organization with a course, and somebody of each kind who may or may not open its files."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tenant = world.organization()
        self.teacher = world.person("teacher", self.tenant)
        self.colleague = world.person("teacher", self.tenant)
        self.administrator = world.person("admin", self.tenant)
        self.member = world.person(tenant_id=self.tenant)
        self.stranger = world.person("admin", world.organization())
        self.course = world.course(self.teacher)["id"]

    async def learner(self) -> Someone:
        person = self.world.person(tenant_id=self.tenant)
        answer = await self.world.of(person).post(f"{API}/courses/{self.course}/enroll/")
        assert answer.status == 201
        return person

    def as_(self, who: Someone):
        return self.world.of(who, **{"X-Tenant-ID": str(self.tenant)})

    async def seen_by(self, who: Someone, query: str = "") -> set[str]:
        answer = await self.as_(who).get(f"{FILES}{query}")
        return {one["id"] for one in answer.data["results"]}


@pytest.fixture
def school(world: World) -> School:
    return School(world)


LEVELS = {
    # access level: who may open it beside its owner and administrators
    "private": set(),
    "instructor": set(),
    "enrolled": {"learner"},
    "tenant": {"learner", "member", "colleague"},
    "public": {"learner", "member", "colleague"},
}


@pytest.mark.gen_test
@pytest.mark.parametrize("level", LEVELS)
async def test_a_level_lets_in_whom_it_names_in_lists_single_and_bulk_checks_alike(school: School, level: str) -> None:
    file_id = await kept(
        school.world,
        school.teacher,
        category="course-materials",
        course_id=school.course,
        access_level=level,
    )
    people = {
        "owner": school.teacher,
        "administrator": school.administrator,
        "learner": await school.learner(),
        "member": school.member,
        "colleague": school.colleague,
    }
    allowed = LEVELS[level] | {"owner", "administrator"}
    for name, person in people.items():
        client, key = school.as_(person), str(file_id)
        assert (key in await school.seen_by(person)) is (name in allowed), name
        assert ((await client.get(f"{FILES}{key}/")).status == 200) is (name in allowed), name
        single = await client.get(f"{API}/files/permissions/{key}/")
        bulk = await client.post(f"{API}/files/permissions/bulk/", {"file_ids": [key]})
        if name in allowed:
            assert single.data == bulk.data[key]["permissions"]
            assert bulk.data[key]["access_allowed"] is True
            assert single.data["can_edit"] is (name in ("owner", "administrator")), name
        else:
            assert single.status == 404
            assert bulk.data[key]["access_reason"] == "no_access"
            assert bulk.data[key]["file_info"] is None


@pytest.mark.gen_test
async def test_a_submission_is_seen_by_its_learner_and_the_courses_staff(school: School) -> None:
    learner, other = await school.learner(), await school.learner()
    answer = await upload(
        school.world, learner, category="submissions", course_id=school.course, access_level="instructor"
    )
    file_id = UUID(answer.data["id"])
    settle(school.world, file_id, TEXT)
    assert str(file_id) in await school.seen_by(school.teacher)
    assert str(file_id) in await school.seen_by(learner)
    assert str(file_id) not in await school.seen_by(other)
    told = await school.as_(school.teacher).get(f"{API}/files/permissions/{file_id}/")
    assert (told.data["access_reason"], told.data["can_edit"]) == ("staff", True)
    refused = await upload(
        school.world, learner, category="submissions", course_id=school.course, access_level="public"
    )
    assert (refused.status, refused.code) == (403, "FILE_ACCESS_NOT_ALLOWED")


@pytest.mark.gen_test
async def test_a_share_opens_a_private_file_and_ends_at_once(school: School) -> None:
    file_id = await kept(school.world, school.teacher)
    client = school.as_(school.teacher)
    shared_with = {"user_emails": [school.member.email.upper(), school.stranger.email, "nobody@example.org"]}
    answer = await client.post(f"{FILES}{file_id}/share/", shared_with)
    assert [one["user_id"] for one in answer.data["shared_with"]] == [str(school.member.id)]
    # Who has an account elsewhere and who has none are not told apart.
    assert {(one["user_id"], one["reason"]) for one in answer.data["denied_users"]} == {("", "not_a_member")}
    assert str(file_id) in await school.seen_by(school.member)
    again = await client.post(f"{FILES}{file_id}/share/", shared_with)
    assert again.data["shared_with"] == answer.data["shared_with"]
    listed = await client.get(f"{FILES}{file_id}/shared_users/")
    assert [one["email"] for one in listed.data] == [school.member.email]
    assert (await client.post(f"{FILES}{file_id}/unshare/", {"user_emails": [school.member.email]})).status == 200
    assert str(file_id) not in await school.seen_by(school.member)
    assert (await client.get(f"{FILES}{file_id}/shared_users/")).data == []


@pytest.mark.gen_test
async def test_who_leaves_the_organization_loses_shares_and_their_own_files(school: School) -> None:
    file_id = await kept(school.world, school.teacher)
    own = await kept(school.world, school.member)
    shared(school.world, file_id, school.member)

    def leave(session):
        session.execute(text("UPDATE memberships SET is_active = false WHERE person_id = :p"), {"p": school.member.id})

    school.world.c.db.system_sync(leave)
    client = school.world.of(school.member)
    for one in (file_id, own):
        assert (await client.get(f"{FILES}{one}/")).status == 404
    assert (await client.get(FILES, X_Tenant_ID=str(school.tenant))).status == 403


@pytest.mark.gen_test
async def test_the_end_of_a_course_closes_its_files(school: School) -> None:
    learner = await school.learner()
    file_id = await kept(
        school.world, school.teacher, category="course-materials", course_id=school.course, access_level="enrolled"
    )
    assert (await school.as_(learner).get(f"{FILES}{file_id}/")).status == 200

    def end(session):
        session.execute(text("UPDATE standings SET until = :at WHERE person_id = :p"), {
            "p": learner.id, "at": school.world.clock.now() - timedelta(days=1)
        })  # fmt: skip

    school.world.c.db.system_sync(end)
    assert (await school.as_(learner).get(f"{FILES}{file_id}/")).status == 404


@pytest.mark.gen_test
async def test_lists_are_filtered_ordered_and_paged(school: School) -> None:
    notes = await kept(school.world, school.teacher, b"a" * 30, "notes.txt", title="Bends", tags=["rope"])
    drawing = await kept(
        school.world, school.teacher, b"b" * 10, "Hitches.txt", category="course-materials", course_id=school.course
    )
    client = school.as_(school.teacher)
    for query, expected in {
        "?search=BEND": [notes],
        "?search=hitch": [drawing],
        "?search=rope": [notes],
        "?search=%25": [],
        "?category=documents": [notes],
        "?category=course-materials": [drawing],
        f"?course={school.course}": [drawing],
        "?access_level=private": [notes],
        "?status=active&ordering=file_size": [drawing, notes],
        "?ordering=-original_filename": [notes, drawing],
        "?page=2&page_size=1&ordering=created_at": [drawing],
    }.items():
        answer = await client.get(f"{FILES}{query}")
        assert [one["id"] for one in answer.data["results"]] == [str(one) for one in expected], query
    assert (await client.get(f"{FILES}?page=1&page_size=1")).data["count"] == 2
    assert (await client.get(f"{FILES}?ordering=key")).status == 400


@pytest.mark.gen_test
async def test_what_is_said_of_a_file_is_changed_by_who_manages_it(school: School) -> None:
    file_id = await kept(school.world, school.teacher)
    client = school.as_(school.teacher)
    answer = await client.patch(
        f"{FILES}{file_id}/",
        {"title": "New", "tags": ["a", "b", "a"], "description": "Two\nlines", "expires_at": "2099-01-01T00:00:00Z"},
    )
    assert (answer.data["title"], answer.data["tags"], answer.data["is_expired"]) == ("New", ["a", "b"], False)
    moved = await client.patch(f"{FILES}{file_id}/", {"category": "course-materials", "course_id": str(school.course)})
    assert moved.data["course"]["id"] == str(school.course)
    opened = await client.patch(f"{FILES}{file_id}/", {"access_level": "enrolled"})
    assert opened.data["access_level"] == "enrolled"
    # It cannot leave its course while only that says who may open it.
    assert (await client.patch(f"{FILES}{file_id}/", {"course_id": None})).status == 400
    both = await client.patch(f"{FILES}{file_id}/", {"access_level": "private"})
    assert both.status == 200
    assert (await client.patch(f"{FILES}{file_id}/", {"course_id": None})).data["course"] is None
    for wrong in (
        {"sha256": "0" * 64},
        {"state": "ready"},
        {"owner_id": str(school.member.id)},
        {"access_level": "everyone"},
        {"expires_at": "2001-01-01T00:00:00Z"},
        {"category": "nothing"},
        {"category": "certificates"},  # takes no text
    ):
        assert (await client.patch(f"{FILES}{file_id}/", wrong)).status == 400, wrong
    other_course = school.world.course(school.colleague)["id"]
    foreign = await client.patch(f"{FILES}{file_id}/", {"course_id": str(other_course)})
    assert (foreign.status, foreign.code) == (403, "COURSE_ACCESS_ERROR")
    elsewhere = school.world.course(school.stranger)["id"]
    assert (await client.patch(f"{FILES}{file_id}/", {"course_id": str(elsewhere)})).status == 403


@pytest.mark.gen_test
async def test_the_trash_hides_restores_and_erases(school: School) -> None:
    file_id = await kept(school.world, school.teacher, access_level="public")
    client, key = school.as_(school.teacher), str(file_id)
    used = {one["scope"]: one["used"] for one in (await client.get(f"{FILES}usage/")).data}
    assert used == {"organization": len(TEXT), "person": len(TEXT)}
    assert (await client.post(f"{FILES}{key}/erase/")).code == "FILE_NOT_IN_TRASH"
    for _ in range(2):
        assert (await client.call("DELETE", f"{FILES}{key}/")).status == 200
    assert key not in await school.seen_by(school.teacher)
    assert key in await school.seen_by(school.teacher, "?status=deleted")
    assert key not in await school.seen_by(school.member, "?status=deleted")
    assert (await school.as_(school.member).get(f"{FILES}{key}/")).status == 404
    assert (await client.patch(f"{FILES}{key}/", {"title": "New"})).code == "FILE_IN_TRASH"
    assert (await client.get(f"{FILES}{key}/secure_url/")).code == "FILE_IN_TRASH"
    restored = await client.post(f"{FILES}{key}/restore/")
    assert (restored.data["status"], restored.data["state"]) == ("active", "ready")
    await client.call("DELETE", f"{FILES}{key}/")
    assert (await client.post(f"{FILES}{key}/erase/")).status == 200
    assert (await client.get(f"{FILES}{key}/")).status == 404
    assert {one["used"] for one in (await client.get(f"{FILES}usage/")).data} == {0}
    assert (column(school.world, file_id, "name"), column(school.world, file_id, "state")) == ("", "erased")


@pytest.mark.gen_test
async def test_the_owners_address_is_for_who_manages_the_file(school: School) -> None:
    file_id = await kept(school.world, school.teacher, access_level="tenant")
    managed = await school.as_(school.administrator).get(f"{FILES}{file_id}/")
    assert managed.data["uploaded_by"]["email"] == school.teacher.email
    read = await school.as_(school.member).get(f"{FILES}{file_id}/")
    assert (read.data["uploaded_by"]["email"], read.data["uploaded_by"]["name"][:5]) == ("", "First")


@pytest.mark.gen_test
async def test_files_of_another_organization_are_not_there(school: School) -> None:
    file_id = await kept(school.world, school.teacher, access_level="tenant")
    client = school.world.of(school.stranger)
    assert (await client.get(f"{FILES}{file_id}/")).status == 404
    bulk = await client.post(f"{API}/files/permissions/bulk/", {"file_ids": [str(file_id), str(uuid4())]})
    assert {(one["access_allowed"], one["access_reason"]) for one in bulk.data.values()} == {(False, "no_access")}
    public = await kept(school.world, school.teacher, access_level="public")
    found = await client.get(f"{FILES}{public}/")
    assert (found.status, found.data["uploaded_by"]["email"]) == (200, "")


@pytest.mark.gen_test
async def test_a_link_is_signed_exact_and_a_public_files_link_is_its_content(school: School) -> None:
    private = await kept(school.world, school.teacher)
    client = school.as_(school.teacher)
    answer = await client.get(f"{FILES}{private}/secure_url/?expires_in=60&disposition=inline")
    assert re.fullmatch(r"http://127[^ ]+/api/v1/file-links/[\w-]{80}/knots\.txt", answer.data["secure_url"])
    assert answer.data["expires_in"] == 60
    for wrong in ("0", "-1", "604801", "soon"):
        assert (await client.get(f"{FILES}{private}/secure_url/?expires_in={wrong}")).status == 400
    public = await kept(school.world, school.teacher, access_level="public")
    shown = await client.get(f"{FILES}{public}/")
    assert re.search(rf"/media/{public}/[0-9a-f]{{32}}/knots\.txt$", shown.data["file"])


@pytest.mark.gen_test
async def test_a_hundred_checks_take_three_statements(school: School) -> None:
    ids = [str(await kept(school.world, school.teacher)) for _ in range(3)] + [str(uuid4()) for _ in range(97)]
    with statements(school.world) as counted:
        answer = await school.as_(school.teacher).post(f"{API}/files/permissions/bulk/", {"file_ids": ids})
    assert len(answer.data) == 100
    assert len(counted) <= 3, counted
