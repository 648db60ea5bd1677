"""Bulk commands on files: each file has its own result, in the caller's language. And categories."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from tests.harness.counting import statements
from tests.harness.filing import FILES, TEXT, column, kept, upload
from tests.harness.world import Someone, World

API = "/api/v1"
CATEGORIES = f"{API}/file-categories/"


@pytest.fixture
def teacher(world: World) -> Someone:
    return world.person("teacher", world.organization())


def codes(answer) -> list[str | None]:
    return [one["code"] for one in answer.data]


@pytest.mark.gen_test
async def test_each_file_succeeds_or_is_refused_by_itself(world: World, teacher: Someone) -> None:
    colleague = world.person("teacher", teacher.tenant_id)
    own, trashed = await kept(world, teacher), await kept(world, teacher)
    theirs = await kept(world, colleague, access_level="tenant")
    hidden = await kept(world, colleague)
    elsewhere = await kept(world, world.person("teacher", world.organization()), access_level="public")
    client = world.of(teacher)
    await client.call("DELETE", f"{FILES}{trashed}/")
    ids = [str(one) for one in (own, trashed, theirs, hidden, elsewhere, uuid4())]
    answer = await client.post(f"{FILES}bulk_tag/", {"file_ids": ids, "add": ["rope"]}, Accept_Language="de")
    assert [one["file_id"] for one in answer.data] == ids
    assert codes(answer) == [None, "FILE_IN_TRASH", "PERMISSION_DENIED", "NOT_FOUND", "NOT_FOUND", "NOT_FOUND"]
    assert answer.data[1]["message"] == "Diese Datei liegt im Papierkorb. Stellen Sie sie zuerst wieder her."
    assert (column(world, own, "tags"), column(world, theirs, "tags")) == (["rope"], [])
    twice = await client.post(f"{FILES}bulk_tag/", {"file_ids": [ids[0], ids[0]], "remove": ["rope"], "add": ["sea"]})
    assert (len(twice.data), column(world, own, "tags")) == (1, ["sea"])
    many = {"file_ids": [ids[0]], "add": [f"tag {number}" for number in range(20)]}
    assert codes(await client.post(f"{FILES}bulk_tag/", many)) == ["VALIDATION_ERROR"]


@pytest.mark.gen_test
async def test_moving_charges_the_new_course_and_asks_its_staff(world: World, teacher: Someone) -> None:
    one, two = await kept(world, teacher), await kept(world, teacher)
    course = world.course(teacher)["id"]
    foreign = world.course(world.person("teacher", teacher.tenant_id))["id"]
    client, ids = world.of(teacher), [str(one), str(two)]
    moved = await client.post(f"{FILES}bulk_move/", {"file_ids": ids, "course_id": str(course)})
    assert codes(moved) == [None, None]
    usage = {row["scope"]: row["used"] for row in (await client.get(f"{FILES}usage/?course_id={course}")).data}
    assert usage == {"organization": 2 * len(TEXT), "person": 2 * len(TEXT), "course": 2 * len(TEXT)}
    refused = await client.post(f"{FILES}bulk_move/", {"file_ids": ids, "course_id": str(foreign)})
    assert codes(refused) == ["COURSE_ACCESS_ERROR"] * 2
    wrong = await client.post(f"{FILES}bulk_move/", {"file_ids": ids, "category": "avatars"})
    assert codes(wrong) == ["FILE_TYPE_NOT_ALLOWED"] * 2
    back = await client.post(f"{FILES}bulk_move/", {"file_ids": ids, "course_id": None, "category": "exports"})
    assert codes(back) == ["FILE_TYPE_NOT_ALLOWED"] * 2
    assert column(world, one, "course_id") == course  # nothing of a refused move is done
    await client.post(f"{FILES}bulk_move/", {"file_ids": ids, "course_id": None})
    usage = {row["scope"]: row["used"] for row in (await client.get(f"{FILES}usage/?course_id={course}")).data}
    assert usage["course"] == 0
    assert (await client.post(f"{FILES}bulk_move/", {"file_ids": ids})).status == 400


@pytest.mark.gen_test
async def test_sharing_trashing_restoring_and_erasing_many(world: World, teacher: Someone) -> None:
    ids = [str(await kept(world, teacher)) for _ in range(3)]
    member = world.person(tenant_id=teacher.tenant_id)
    client, theirs = world.of(teacher), world.of(member)
    body = {"file_ids": ids, "user_emails": [member.email, "nobody@example.org"]}
    answer = await client.post(f"{FILES}bulk_share/", body)
    assert [len(one["result"]["shared_with"]) for one in answer.data] == [1, 1, 1]
    assert (await theirs.get(f"{FILES}{ids[0]}/")).status == 200
    assert codes(await client.post(f"{FILES}bulk_erase/", {"file_ids": ids})) == ["FILE_NOT_IN_TRASH"] * 3
    assert codes(await client.post(f"{FILES}bulk_delete/", {"file_ids": ids})) == [None] * 3
    assert (await theirs.get(f"{FILES}{ids[0]}/")).status == 404
    assert codes(await client.post(f"{FILES}bulk_restore/", {"file_ids": ids[:1]})) == [None]
    assert codes(await client.post(f"{FILES}bulk_erase/", {"file_ids": ids})) == ["FILE_NOT_IN_TRASH", None, None]
    assert [column(world, UUID(one), "state") for one in ids] == ["ready", "erased", "erased"]
    usage = {row["scope"]: row["used"] for row in (await client.get(f"{FILES}usage/")).data}
    assert usage == {"organization": len(TEXT), "person": len(TEXT)}


@pytest.mark.gen_test
async def test_too_many_and_none_are_refused(world: World, teacher: Someone) -> None:
    client = world.of(teacher)
    for ids in ([], ["x"], [str(uuid4())] * 501):
        assert (await client.post(f"{FILES}bulk_delete/", {"file_ids": ids})).status == 400


@pytest.mark.gen_test
async def test_a_list_takes_as_many_statements_for_one_file_as_for_ten(world: World, teacher: Someone) -> None:
    client = world.of(teacher)
    await kept(world, teacher)
    with statements(world) as few:
        await client.get(FILES)
    for _ in range(9):
        await kept(world, teacher)
    with statements(world) as many:
        assert (await client.get(FILES)).data["count"] == 10
    assert len(few) == len(many) <= 4


FORM = {"name": "Field sketches", "allowed_extensions": [".PNG", "jpg", "jpg"], "max_file_size_mb": 1}


@pytest.mark.gen_test
async def test_an_organization_has_categories_of_its_own(world: World, teacher: Someone) -> None:
    admin = world.of(world.person("admin", teacher.tenant_id))
    platform = {one["slug"] for one in (await admin.get(CATEGORIES)).data}
    assert {"avatars", "thumbnails", "course-materials", "submissions", "certificates", "recordings"} <= platform
    made = await admin.post(CATEGORIES, FORM | {"default_access_level": "tenant", "icon": "pen"})
    assert (made.status, made.data["allowed_extensions"], made.data["is_own"]) == (201, ["png", "jpg"], True)
    assert made.data["slug"].endswith("-field-sketches")
    assert (await admin.post(CATEGORIES, FORM)).code == "FILE_CATEGORY_TAKEN"
    png = b"\x89PNG\r\n\x1a\n" + bytes(100)
    uploaded = await upload(world, teacher, png, "map.png", category="field sketches")
    assert (uploaded.status, uploaded.data["access_level"]) == (201, "tenant")
    assert (await upload(world, teacher, png + bytes(1024**2), "map.png", category=made.data["id"])).status == 413
    # Another organization may have one of the same name, and sees nothing of this one.
    other = world.of(world.person("admin", world.organization()))
    assert (await other.post(CATEGORIES, FORM)).status == 201
    assert made.data["id"] not in {one["id"] for one in (await other.get(CATEGORIES)).data}
    assert (await other.patch(f"{CATEGORIES}{made.data['id']}/", {"icon": "x"})).status == 403
    stranger = world.person("teacher", world.organization())
    assert (await upload(world, stranger, png, "map.png", category=made.data["id"])).status == 400


@pytest.mark.gen_test
async def test_a_category_is_changed_switched_off_and_deleted_once_nothing_is_in_it(world: World) -> None:
    teacher = world.person("teacher", world.organization())
    admin = world.of(world.person("admin", teacher.tenant_id))
    made = (await admin.post(CATEGORIES, FORM)).data
    path = f"{CATEGORIES}{made['id']}/"
    png = b"\x89PNG\r\n\x1a\n" + bytes(100)
    file = await upload(world, teacher, png, "map.png", category=made["id"])
    changed = await admin.patch(path, {"allowed_extensions": ["pdf"], "max_file_size_mb": 7, "name": "Maps"})
    assert (changed.data["allowed_extensions"], changed.data["max_file_size_mb"]) == (["pdf"], 7)
    assert (await upload(world, teacher, png, "map.png", category=made["id"])).code == "FILE_TYPE_NOT_ALLOWED"
    assert (await admin.call("DELETE", path)).code == "FILE_CATEGORY_IN_USE"
    await admin.patch(path, {"is_active": False})
    assert made["id"] in {one["id"] for one in (await admin.get(CATEGORIES)).data}
    assert made["id"] not in {one["id"] for one in (await world.of(teacher).get(CATEGORIES)).data}
    assert (await upload(world, teacher, png, "map.png", category=made["id"])).status == 400
    moved = await world.of(teacher).patch(f"{FILES}{file.data['id']}/", {"category": "documents"})
    assert moved.status == 200
    assert (await admin.call("DELETE", path)).status == 200
    assert (await admin.call("DELETE", path)).status == 404


@pytest.mark.gen_test
async def test_what_a_category_cannot_be(world: World, teacher: Someone) -> None:
    admin = world.of(world.person("admin", teacher.tenant_id))
    for wrong in (
        {"allowed_extensions": ["exe"]},
        {"allowed_extensions": ["../png"]},
        {"allowed_extensions": []},
        {"max_file_size_mb": 0},
        {"name": ""},
        {"name": "x\u0000"},
        {"icon": "<svg>"},
        {"tenant_id": str(uuid4())},
        {"slug": "avatars"},
    ):
        assert (await admin.post(CATEGORIES, FORM | wrong)).status == 400, wrong
    platform = next(one for one in (await admin.get(CATEGORIES)).data if not one["is_own"])
    for call in (
        admin.patch(f"{CATEGORIES}{platform['id']}/", {"icon": "x"}),
        admin.call("DELETE", f"{CATEGORIES}{platform['id']}/"),
    ):
        assert (await call).status == 404
    assert (await admin.post(CATEGORIES, FORM | {"name": "خرائط"})).status == 201
