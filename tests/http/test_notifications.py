"""Notifications: told once, in one's own language, read once."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from actors.registry import load_actors
from tests.harness.counting import statements
from tests.harness.errands import run_actors
from tests.harness.world import PASSWORD, World

API = "/api/v1"
LIST = f"{API}/notifications/"


@pytest.mark.gen_test
async def test_the_list_is_newest_first_and_narrowed_by_type_and_state(world: World) -> None:
    person = world.person()
    client = world.of(person)
    made = []
    for kind in ("welcome", "course_enrollment", "welcome"):
        made.append(str(world.notification(person, kind)))
        world.clock.advance(timedelta(seconds=1))
    listed = (await client.get(f"{LIST}?page=1&page_size=20&type=&is_read=")).data
    assert [row["id"] for row in listed["results"]] == made[::-1]
    assert (await client.get(f"{LIST}?type=course_enrollment")).data["count"] == 1
    oldest = (await client.get(f"{LIST}?ordering=created_at&page_size=1&page=1")).data
    assert [row["id"] for row in oldest["results"]] == made[:1]
    assert oldest["next"].endswith("page=2") or "page=2" in oldest["next"]
    marked = (await client.post(f"{LIST}{made[0]}/mark_read/", {"is_read": True})).data
    assert (marked["is_read"], marked["read_at"] is not None) == (True, True)
    world.clock.advance(timedelta(seconds=1))
    assert (await client.post(f"{LIST}{made[0]}/mark_read/")).data["read_at"] == marked["read_at"], (
        "the first time counts"
    )
    assert (await client.get(f"{LIST}?is_read=false")).data["count"] == 2
    assert (await client.get(f"{LIST}?is_read=true")).data["count"] == 1
    everything = await client.post(f"{LIST}mark_all_read/")
    assert (everything.data["marked_count"], everything.body["marked_count"]) == (2, 2)
    assert (await client.post(f"{LIST}mark_all_read/")).data["marked_count"] == 0


@pytest.mark.gen_test
async def test_nobody_reads_or_marks_another_s(world: World) -> None:
    owner, other = world.person(), world.person(platform=True)
    note = world.notification(owner)
    assert (await world.of(other).get(LIST)).data["count"] == 0
    assert (await world.of(other).post(f"{LIST}{note}/mark_read/")).status == 404
    assert (await world.of(other).post(f"{LIST}mark_all_read/")).data["marked_count"] == 0
    mine = (await world.of(owner).get(LIST)).data["results"]
    assert [row["is_read"] for row in mine] == [False]


@pytest.mark.gen_test
async def test_they_follow_a_person_through_organizations(world: World) -> None:
    school = world.organization()
    person = world.person(tenant_id=school)
    world.notification(person)
    switched = (await world.of(person).post(f"{API}/users/switch_tenant/", {"tenant_id": str(school)})).data
    assert (await world.anonymous.as_(switched["token"]).get(LIST)).data["count"] == 1


@pytest.mark.gen_test
async def test_a_purchase_is_told_once_however_often_its_event_comes(world: World) -> None:
    await run_actors(world)  # what other tests left behind is relayed, and handled by nobody
    course = world.course(world.person("teacher", world.organization()), price=Decimal(10))
    buyer = world.person()
    client = world.of(buyer)
    started = (await client.post(f"{API}/payments/create_course_payment/", {"course_id": str(course["id"])})).data
    await client.post(f"{API}/payments/{started['payment_id']}/confirm_payment/")
    await run_actors(world, *tellers(), times=2)
    listed = (await client.get(LIST)).data["results"]
    kinds = [row["type"] for row in listed]
    assert kinds.count("payment_settled") == 1
    assert len(kinds) == len(set(kinds)), kinds
    told = next(row for row in listed if row["type"] == "payment_settled")
    assert course["title"] in told["title"] + told["message"]
    assert told["data"]["course_id"] == str(course["id"])


@pytest.mark.gen_test
async def test_a_welcome_is_in_the_language_of_the_registration(world: World) -> None:
    await run_actors(world)
    texts = {}
    for language in ("en", "de", "ar"):
        form = {"email": f"{uuid4()}@example.org", "password": PASSWORD, "password_confirm": PASSWORD}
        made = await world.anonymous.post(
            f"{API}/accounts/auth/register/", form | {"first_name": "Ada", "last_name": "B"}, Accept_Language=language
        )
        await run_actors(world, *tellers())
        listed = (await world.anonymous.as_(made.data["access"]).get(LIST)).data["results"]
        assert [row["type"] for row in listed] == ["welcome"]
        texts[language] = listed[0]["message"]
    assert len(set(texts.values())) == 3


def tellers() -> list[str]:
    """The actors that write notifications."""
    return [name for name in load_actors().names() if name.startswith("notifications.")]


@pytest.mark.gen_test
async def test_a_long_list_costs_as_much_as_a_short_one(world: World) -> None:
    costs = []
    for number in (1, 12):
        person = world.person()
        for _ in range(number):
            world.notification(person)
        with statements(world) as sent:
            assert (await world.of(person).get(f"{LIST}?page=1")).data["count"] == number
        costs.append(len(sent))
    assert costs[0] == costs[1] <= 4
