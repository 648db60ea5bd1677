"""What plans limit: counted exactly, seen before it is reached, and never in the way of what was paid."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from edurise.adapters.provision import DatabaseUrls
from edurise.enrollments import service as enrollments
from edurise.errors import Conflict, Limited
from edurise.tenants import service as tenants
from tests.harness.talks import Talk, stand
from tests.harness.world import Someone, World
from tests.harness.worlds import another

LIMITS = "/api/v1/organizations/current/limits/"
PAY = "/api/v1/payments/create_course_payment/"


async def limits(world: World, administrator: Someone) -> dict[str, dict[str, Any]]:
    return {one["resource"]: one for one in (await world.of(administrator).get(LIMITS)).data}


@pytest.mark.gen_test
async def test_limits_are_shown_before_they_are_reached(world: World, database: DatabaseUrls) -> None:
    async with another(world, database, users={"basic": 5}, courses={"basic": 10}) as small:
        school = small.organization()
        administrator, teacher = small.person("admin", school), small.person("teacher", school)
        small.course(teacher)
        found = await limits(small, administrator)
        assert found["users"] == {"resource": "users", "used": 2, "limit": 5, "remaining": 3, "is_near": False}
        assert (found["courses"]["used"], found["courses"]["limit"]) == (1, 10)
        assert found.keys() == {"users", "courses", "storage_bytes", "downloads", "ai_questions", "sockets"}
        for _ in range(2):
            small.person(tenant_id=school)
        near = (await limits(small, administrator))["users"]
        assert (near["remaining"], near["is_near"]) == (1, True)


@pytest.mark.gen_test
async def test_courses_end_exactly_at_the_limit_however_many_are_made_at_once(
    world: World, database: DatabaseUrls
) -> None:
    async with another(world, database, courses={"basic": 5}) as small:
        teacher = small.person("teacher", small.organization())

        def make(number: int) -> bool:
            try:
                small.course(teacher, title=f"Course {number}")
            except Conflict:
                return False
            return True

        with ThreadPoolExecutor(6) as threads:
            assert sum(threads.map(make, range(12))) == 5


@pytest.mark.gen_test
async def test_people_end_exactly_at_the_limit_however_many_join_at_once(world: World, database: DatabaseUrls) -> None:
    async with another(world, database, users={"basic": 4}) as small:
        school = small.organization()
        people = [world.person() for _ in range(10)]

        def join(person: Someone) -> bool:
            try:
                return small.c.db.system_sync(lambda session: tenants.join(session, school, person.id))
            except Conflict:
                return False

        with ThreadPoolExecutor(6) as threads:
            assert sum(threads.map(join, people)) == 4


@pytest.mark.gen_test
async def test_nobody_is_asked_for_money_where_no_place_is_left_and_who_paid_gets_one(
    world: World, database: DatabaseUrls
) -> None:
    async with another(world, database, users={"basic": 2}) as small:
        school = small.organization()
        teacher = small.person("teacher", school)
        course: UUID = small.course(teacher, price=Decimal(25))["id"]
        buyer, late = world.person(), world.person()
        started = await small.of(buyer).post(PAY, {"course_id": str(course)})
        assert started.status == 201
        small.person(tenant_id=school)  # the last place
        refused = await small.of(late).post(PAY, {"course_id": str(course)})
        assert (refused.status, refused.code) == (409, "PLAN_LIMIT_REACHED")
        paid = await small.of(buyer).post(f"/api/v1/payments/{started.data['payment_id']}/confirm_payment/")
        assert (paid.status, paid.data["status"]) == (200, "completed")
        mine = (await small.of(buyer).get("/api/v1/courses/enrolled_courses/")).data
        assert [one["id"] for one in mine] == [str(course)]


@pytest.mark.gen_test
async def test_a_suspended_member_is_not_asked_for_money(world: World) -> None:
    school = world.organization()
    teacher, pupil = world.person("teacher", school), world.person(tenant_id=school)
    course = world.course(teacher, price=Decimal(25))["id"]
    await world.of(world.person("admin", school)).post(f"/api/v1/users/{pupil.id}/deactivate/")
    refused = await world.of(pupil).post(PAY, {"course_id": str(course)})
    assert (refused.status, refused.code) == (403, "MEMBERSHIP_SUSPENDED")


@pytest.mark.gen_test
async def test_what_was_paid_while_a_member_was_suspended_rests_with_the_membership(world: World) -> None:
    school = world.organization()
    teacher, pupil = world.person("teacher", school), world.person(tenant_id=school)
    course = world.course(teacher)["id"]
    lesson = world.lesson(teacher, world.module(teacher, course)["id"])["id"]
    administrator = world.of(world.person("admin", school))
    await administrator.post(f"/api/v1/users/{pupil.id}/deactivate/")

    def settle(session: Session) -> None:
        enrollments.take_place(session, school, course, pupil.id, paid=True)

    world.c.db.system_sync(settle)
    assert (await world.of(pupil).get(f"/api/v1/course-lessons/{lesson}/")).status == 404
    await administrator.post(f"/api/v1/users/{pupil.id}/activate/")
    assert (await world.of(pupil).get(f"/api/v1/course-lessons/{lesson}/")).status == 200


@pytest.mark.gen_test
async def test_questions_to_the_tutor_end_with_the_plan_s_day(world: World, database: DatabaseUrls) -> None:
    async with another(world, database, plan_ai_questions={"basic": 2}) as small:
        school = small.organization()
        teacher = small.person("teacher", school)
        course = small.course(teacher)["id"]
        talks = []
        for _ in range(3):
            pupil = world.person()
            stand(small, school, course, pupil.id)
            talks.append(Talk(small, pupil, course))
        for talk in talks[:2]:
            assert talk.ask()[0]
        with pytest.raises(Limited, match="DAILY_LIMIT_REACHED"):
            talks[2].ask()
        assert not talks[0].ask()[0], "a repeat asks nothing new"
        small.clock.advance(timedelta(days=1))
        assert talks[2].ask()[0]
