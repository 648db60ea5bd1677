"""Enrolling: free, paid, full, twice, and many at once."""

from __future__ import annotations

import asyncio
import threading
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from edurise.authz import ANY_PERSON, About
from edurise.courses import service as courses
from edurise.enrollments import service
from edurise.errors import Conflict
from tests.harness.world import Someone, World

API = "/api/v1"


def enroll_path(course: dict[str, Any]) -> str:
    return f"{API}/courses/{course['id']}/enroll/"


def taken(world: World, course_id: UUID) -> int:
    question = text("SELECT count(*) FROM enrollments WHERE course_id = :id")
    found: int = world.c.db.system_sync(lambda session: session.scalar(question, {"id": course_id}))
    return found


@pytest.mark.gen_test
async def test_a_free_course_is_taken_once_and_a_repeat_shows_the_first(world: World) -> None:
    teacher = world.person("teacher", world.organization())
    course = world.course(teacher)
    pupil = world.person()
    client = world.of(pupil)
    first = await client.post(enroll_path(course))
    again = await client.post(enroll_path(course), {"payment_id": "anything"})
    assert (first.status, again.status, again.data) == (201, 200, first.data)
    assert (first.data["status"], first.data["progress_percentage"], first.data["completed_at"]) == ("active", 0, None)
    assert first.data["student"]["email"] == pupil.email
    assert first.data["course_id"] == first.data["course"]["id"] == str(course["id"])
    listed = (await client.get(f"{API}/courses/enrolled_courses/")).data
    assert [(row["id"], row["enrollment_id"]) for row in listed] == [(str(course["id"]), first.data["id"])]


@pytest.mark.gen_test
async def test_many_repeats_at_once_are_one_enrollment(world: World) -> None:
    course = world.course(world.person("teacher", world.organization()))
    client = world.of(world.person())
    answers = await asyncio.gather(*(client.post(enroll_path(course)) for _ in range(8)))
    assert sorted(one.status for one in answers) == [200] * 7 + [201]
    assert taken(world, course["id"]) == 1


@pytest.mark.gen_test
async def test_a_paid_course_asks_for_a_payment_and_a_free_one_for_none(world: World) -> None:
    teacher = world.person("teacher", world.organization())
    course = world.course(teacher, price=Decimal(10))
    client = world.of(world.person())
    refused = await client.post(enroll_path(course), {"payment_id": "4b5d0c5e-0000-4000-8000-000000000000"})
    assert (refused.status, refused.code) == (409, "PAYMENT_REQUIRED"), "a payment's id in the body proves nothing"
    await world.of(teacher).patch(f"{API}/courses/{course['id']}/", {"price": None})
    assert (await client.post(enroll_path(course))).status == 201
    draft = world.course(teacher, is_public=False)
    own = await world.of(teacher).post(enroll_path(draft))
    assert (own.status, own.code) == (409, "COURSE_NOT_ON_SALE")


@pytest.mark.gen_test
async def test_a_full_course_takes_nobody_and_keeps_those_it_has(world: World) -> None:
    teacher = world.person("teacher", world.organization())
    course = world.course(teacher, max_students=2)
    one, two, three = (world.of(world.person()) for _ in range(3))
    assert [(await client.post(enroll_path(course))).status for client in (one, two)] == [201, 201]
    for folded in (False, True):
        if folded:
            world.c.db.system_sync(courses.fold_counters)
        full = await three.post(enroll_path(course))
        assert (full.status, full.code) == (409, "COURSE_FULL")
    assert (await one.post(enroll_path(course))).status == 200
    shown = (await world.anonymous.get(f"{API}/courses/{course['id']}/")).data
    assert (shown["total_enrollments"], shown["enrollment_count"], shown["max_students"]) == (2, 2, 2)
    await world.of(teacher).patch(f"{API}/courses/{course['id']}/", {"max_students": None})
    assert (await three.post(enroll_path(course))).status == 201


def test_the_last_places_go_to_as_many_as_there_are(world: World) -> None:
    """Real threads, each with a transaction of its own, and the counters folded in their midst."""
    teacher = world.person("teacher", world.organization())
    course_id = world.course(teacher, max_students=3)["id"]
    crowd = [world.person() for _ in range(8)]
    together = threading.Barrier(len(crowd) + 1)
    outcomes: list[str] = []

    def come(person: Someone) -> None:
        together.wait(10)
        try:
            who = person.principal.needing(ANY_PERSON)
            world.c.db.run_sync(who, service.enroll, course_id, about=About("course", course_id))
            outcomes.append("in")
        except Conflict as refused:
            outcomes.append(refused.code)

    def fold() -> None:
        together.wait(10)
        for _ in range(5):
            world.c.db.system_sync(courses.fold_counters)

    threads = [*(threading.Thread(target=come, args=(person,)) for person in crowd), threading.Thread(target=fold)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(outcomes) == ["COURSE_FULL"] * 5 + ["in"] * 3
    assert taken(world, course_id) == 3
    world.c.db.system_sync(courses.fold_counters)
    counted = text("SELECT total_enrollments FROM courses WHERE id = :id")
    assert world.c.db.system_sync(lambda session: session.scalar(counted, {"id": course_id})) == 3


@pytest.mark.gen_test
async def test_one_s_courses_come_from_every_organization_and_from_nobody_else(world: World) -> None:
    pupil, other = world.person(), world.person()
    client = world.of(pupil)
    made = []
    for _ in range(3):
        course = world.course(world.person("teacher", world.organization()))
        await client.post(enroll_path(course))
        await world.of(other).post(enroll_path(course))
        made.append(str(course["id"]))
    listed = (await client.get(f"{API}/courses/enrolled_courses/")).data
    assert {row["id"] for row in listed} == set(made)
    assert all(row["progress_percentage"] == 0 and row["enrolled_at"].endswith("Z") for row in listed)
    assert (await world.of(world.person()).get(f"{API}/courses/enrolled_courses/")).data == []
