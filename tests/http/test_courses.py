"""Courses: publication both ways and with review, what each reader sees, search, order, and what it costs in SQL."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.harness.counting import statements
from tests.harness.world import Someone, World
from tests.security.scene import learner

API = "/api/v1"
MARKET = f"{API}/courses/marketplace/"
FORM = {"title": "Knots", "category": "technology", "description": "Bowline"}


def reviewing(world: World) -> UUID:
    """An organization that reviews what its teachers publish."""
    found = world.organization()

    def switch_on(session: Session) -> None:
        session.execute(text("UPDATE organizations SET course_review = true WHERE id = :id"), {"id": found})

    world.c.db.system_sync(switch_on)
    return found


def events_of(world: World, course_id: object) -> int:
    """How often the platform was told that a course was published."""
    question = text("SELECT count(*) FROM outbox WHERE topic = 'courses.published.v1' AND payload->>'course_id' = :id")
    found: int = world.c.db.system_sync(lambda session: session.scalar(question, {"id": str(course_id)}))
    return found


async def found_by(world: World, teacher: Someone, **query: str) -> list[str]:
    """The titles that the marketplace shows of one teacher's courses."""
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    answer = await world.anonymous.get(f"{MARKET}?instructor={teacher.id}&{asked}")
    return [row["title"] for row in answer.data["results"]]


@pytest.mark.gen_test
async def test_a_course_is_published_and_withdrawn_by_either_key(world: World) -> None:
    teacher = world.person("teacher", world.organization())
    client = world.of(teacher)
    made = (await client.post(f"{API}/courses/", FORM)).data
    assert (made["status"], made["is_public"], made["price"], made["tags"]) == ("draft", False, 0, [])
    path = f"{API}/courses/{made['id']}/"
    steps: list[tuple[dict[str, Any], str]] = [
        ({"is_public": True}, "published"),
        ({"is_public": False}, "draft"),
        ({"status": "published"}, "published"),
        ({"status": "draft"}, "draft"),
        ({"status": "approved", "is_public": True}, "published"),
        ({"status": "approved"}, "published"),
        ({"title": "Still there"}, "published"),
        ({"status": "draft", "is_public": True}, "draft"),
        ({}, "draft"),
    ]
    for body, status in steps:
        changed = (await client.patch(path, body)).data
        assert (changed["status"], changed["is_public"]) == (status, status == "published"), body
        seen = (await world.anonymous.get(path)).status
        assert seen == (200 if status == "published" else 404)
        assert len(await found_by(world, teacher)) == (status == "published")
    assert events_of(world, made["id"]) == 3, "each publication is told once, a repeat of it never"


@pytest.mark.gen_test
async def test_where_courses_are_reviewed_a_teacher_asks_and_an_administrator_publishes(world: World) -> None:
    school = reviewing(world)
    teacher, administrator = world.person("teacher", school), world.person("admin", school)
    made = (await world.of(teacher).post(f"{API}/courses/", FORM | {"is_public": True})).data
    assert (made["status"], made["is_public"]) == ("pending", False)
    path = f"{API}/courses/{made['id']}/"
    for body in ({"status": "published"}, {"status": "approved"}, {"is_public": True}):
        assert (await world.of(teacher).patch(path, body)).data["status"] == "pending"
    assert (await world.anonymous.get(path)).status == 404
    pending = (await world.of(administrator).get(f"{API}/courses/")).data
    assert [(row["id"], row["status"]) for row in pending] == [(made["id"], "pending")]
    approved = (await world.of(administrator).patch(path, {"status": "approved", "is_public": True})).data
    assert approved["status"] == "published"
    for body in ({"status": "approved"}, {"is_public": True}, {"title": "Ropes"}):
        assert (await world.of(teacher).patch(path, body)).data["status"] == "published", "what was approved stays so"
    assert (await world.of(teacher).patch(path, {"is_public": False})).data["status"] == "draft"
    assert events_of(world, made["id"]) == 1


@pytest.mark.gen_test
async def test_a_suspended_course_is_gone_for_visitors_and_its_teacher_cannot_bring_it_back(world: World) -> None:
    school = world.organization()
    teacher, administrator = world.person("teacher", school), world.person("admin", school)
    course = world.course(teacher)
    pupil = await learner(world, course["id"])
    path = f"{API}/courses/{course['id']}/"
    refused = await world.of(teacher).patch(path, {"status": "suspended"})
    assert (refused.status, refused.code) == (403, "COURSE_SUSPENDED")
    body = {"status": "suspended", "moderation_reason": "Copied"}
    assert (await world.of(administrator).patch(path, body)).data["status"] == "suspended"
    assert (await world.anonymous.get(path)).status == 404
    assert (await world.of(world.person()).post(f"{path}enroll/")).status == 404
    assert await found_by(world, teacher) == []
    for body in ({"is_public": True}, {"status": "published"}, {"status": "draft"}, {"is_public": False}):
        again = await world.of(teacher).patch(path, body)
        assert (again.status, again.code) == (403, "COURSE_SUSPENDED"), body
    assert (await world.of(pupil).get(path)).status == 200, "whoever learns here keeps access"
    root = world.person(platform=True)
    assert (await world.of(root).patch(path, {"status": "published"})).data["status"] == "published"


@pytest.mark.gen_test
async def test_each_reader_sees_of_the_list_what_is_theirs(world: World) -> None:
    school = world.organization()
    teacher, colleague, administrator = (world.person(role, school) for role in ("teacher", "teacher", "admin"))
    for title, is_public in (("Own draft", False), ("Public", True)):
        world.course(teacher, title=title, is_public=is_public)
    world.course(colleague, title="Other draft", is_public=False)

    async def titles(client: Any) -> set[str]:
        return {row["title"] for row in (await client.get(f"{API}/courses/?tenant={school}")).data}

    assert await titles(world.anonymous) == await titles(world.of(world.person(tenant_id=school))) == {"Public"}
    assert await titles(world.of(teacher)) == {"Own draft", "Public"}
    assert await titles(world.of(administrator)) == {"Own draft", "Public", "Other draft"}
    assert (await world.of(administrator).get(f"{API}/courses/?tenant=main")).status == 200
    assert await titles(world.of(world.person("admin", world.organization()))) == {"Public"}


@pytest.mark.gen_test
async def test_prices_change_and_become_free(world: World) -> None:
    teacher = world.person("teacher", world.organization(currency="EUR"))
    client = world.of(teacher)
    made = (await client.post(f"{API}/courses/", FORM | {"price": 19.99})).data
    assert (made["price"], made["currency"]) == (19.99, "EUR")
    for sent, shown in ((0.1, 0.1), (100, 100), (None, 0), (29.9, 29.9), (0, 0)):
        assert (await client.patch(f"{API}/courses/{made['id']}/", {"price": sent})).data["price"] == shown


@pytest.mark.gen_test
async def test_search_knows_words_stems_tags_and_teachers(world: World) -> None:
    teacher = world.person("teacher", world.organization())
    world.course(teacher, title="Running a bakery", description="Breads and pastries", tags=["sourdough"])
    world.course(teacher, title="Baking for two", description="Ovens")
    world.course(teacher, title="Hidden sourdough", is_public=False)
    assert set(await found_by(world, teacher, search="bakery")) == {"Running a bakery"}
    assert set(await found_by(world, teacher, search="baked")) == {"Baking for two"}, "stems of English words"
    assert set(await found_by(world, teacher, search="run")) == {"Running a bakery"}
    assert set(await found_by(world, teacher, search="pastry")) == {"Running a bakery"}
    assert set(await found_by(world, teacher, search="SOURDOUGH")) == {"Running a bakery"}, "and never a draft"
    assert len(await found_by(world, teacher, search="First")) in (0, 2)
    assert await found_by(world, teacher, search="bakery+-bakery") == []
    assert await found_by(world, teacher, search="bakery+-pastries") == [], "excluded by a stem of the description"
    assert set(await found_by(world, teacher, search="oven+or+pastry")) == {"Baking for two", "Running a bakery"}
    assert await found_by(world, teacher, search='"pastries+bakery"') == []
    assert set(await found_by(world, teacher, search='"running+a+bakery"')) == {"Running a bakery"}
    assert set(await found_by(world, teacher, search='"breads+-+and+pastries"')) == {"Running a bakery"}, (
        "a sign in a phrase"
    )
    assert await found_by(world, teacher, search='bakery+-"breads+and+pastries"') == [], "an excluded phrase"


@pytest.mark.gen_test
async def test_filters_and_orders(world: World) -> None:
    teacher = world.person("teacher", world.organization())
    for title, price, level, category in (
        ("B", "10", "beginner", "technology"), ("A", "30", "advanced", "music"), ("C", "20", "advanced", "technology"),
    ):  # fmt: skip
        world.course(teacher, title=title, price=Decimal(price), difficulty_level=level, category=category)
    assert await found_by(world, teacher, ordering="title") == ["A", "B", "C"]
    assert await found_by(world, teacher, ordering="-title") == ["C", "B", "A"]
    assert await found_by(world, teacher, ordering="price") == ["B", "C", "A"]
    assert await found_by(world, teacher) == ["C", "A", "B"], "the newest first"
    assert await found_by(world, teacher, ordering="created_at") == ["B", "A", "C"]
    assert await found_by(world, teacher, min_price="10.01", max_price="20", ordering="title") == ["C"]
    assert await found_by(world, teacher, price_min="20", ordering="title") == ["A", "C"]
    assert await found_by(world, teacher, difficulty_level="advanced", category="technology") == ["C"]
    own = (await world.of(teacher).get(f"{API}/courses/?ordering=-price&price_max=20&search=")).data
    assert [row["title"] for row in own["results"]] == ["C", "B"]
    rated = (await world.of(teacher).get(f"{API}/courses/?ordering=-average_rating")).data
    assert rated["count"] == 3
    everywhere = (await world.anonymous.get(f"{MARKET}?tenant={uuid4()}")).data
    assert everywhere["count"] == 0


@pytest.mark.gen_test
async def test_modules_and_lessons_are_in_order_and_for_those_who_learn(world: World) -> None:
    teacher = world.person("teacher", world.organization())
    course = world.course(teacher)
    client = world.of(teacher)
    modules = []
    for title, order, published in (("Two", 2, True), ("One", 1, True), ("Hidden", 3, False)):
        body = {
            "course": str(course["id"]),
            "title": title,
            "order": order,
            "is_published": published,
            "content": "<p>Secret</p>",
        }
        modules.append((await client.post(f"{API}/course-modules/", body)).data)
    last = (await client.post(f"{API}/course-modules/", {"course": str(course["id"]), "title": "Last"})).data
    assert last["order"] == 4, "without an order to the end"
    lessons = {}
    for module in modules:
        body = {"module": module["id"], "title": f"Of {module['title']}", "duration_minutes": 7}
        lessons[module["title"]] = (await client.post(f"{API}/course-lessons/", body)).data
    assert (lessons["One"]["duration"], lessons["One"]["completed"], lessons["One"]["order"]) == ("7 min", False, 0)

    path = f"{API}/course-modules/?course={course['id']}"
    public = (await world.anonymous.get(path)).data["results"]
    assert [row["title"] for row in public] == ["One", "Two", "Last"]
    assert not {"content", "lessons", "materials", "video_url"} & public[0].keys()
    face = (await world.anonymous.get(f"{API}/courses/{course['id']}/")).data["modules"]
    assert [row["title"] for row in face] == ["One", "Two", "Last"]
    pupil = world.of(await learner(world, course["id"]))
    learned = (await pupil.get(path)).data["results"]
    assert [[one["title"] for one in row["lessons"]] for row in learned] == [["Of One"], ["Of Two"], []]
    assert [row["title"] for row in (await client.get(path)).data["results"]] == ["One", "Two", "Hidden", "Last"]
    hidden = modules[2]["id"]
    assert (await pupil.get(f"{API}/course-lessons/?module={hidden}")).data["results"] == []
    assert (await pupil.get(f"{API}/course-lessons/{lessons['Hidden']['id']}/")).status == 404
    assert (await client.get(f"{API}/course-lessons/{lessons['Hidden']['id']}/")).status == 200
    assert (await pupil.get(f"{API}/course-lessons/{lessons['One']['id']}/")).data["title"] == "Of One"


@pytest.mark.gen_test
async def test_reads_cost_the_same_however_many_rows_there_are(world: World) -> None:
    costs: dict[str, list[int]] = {"market": [], "own": [], "detail": [], "modules": [], "enrolled": []}
    for rows in (1, 6):
        teacher = world.person("teacher", world.organization())
        made = [world.course(teacher) for _ in range(rows)]
        for _ in range(rows):
            world.lesson(teacher, world.module(teacher, made[0]["id"])["id"])
        pupil = await learner(world, made[0]["id"])
        for one in made[1:]:
            await world.of(pupil).post(f"{API}/courses/{one['id']}/enroll/")
        calls = {
            "market": (world.anonymous, f"{MARKET}?instructor={teacher.id}&search=course"),
            "own": (world.of(teacher), f"{API}/courses/?page=1"),
            "detail": (world.anonymous, f"{API}/courses/{made[0]['id']}/"),
            "modules": (world.of(pupil), f"{API}/course-modules/?course={made[0]['id']}"),
            "enrolled": (world.of(pupil), f"{API}/courses/enrolled_courses/"),
        }
        for name, (client, path) in calls.items():
            with statements(world) as sent:
                assert (await client.get(path)).status == 200
            costs[name].append(len(sent))
    assert all(few == many for few, many in costs.values()), costs
    assert costs["market"][0] <= 4
    assert costs["detail"][0] <= 4
    assert costs["enrolled"][0] <= 4
    assert costs["own"][0] <= 4
    assert costs["modules"][0] <= 4
