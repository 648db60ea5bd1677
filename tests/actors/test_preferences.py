"""What somebody prefers takes effect: a notification, a mail, an organization that tells nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.errands import run_actors
from tests.harness.letters import letters
from tests.harness.world import Someone, World

PREFERENCES = "/api/v1/notifications/preferences/"
ACTORS = (
    *("notifications.welcome", "notifications.mail_a_welcome"),
    *("notifications.tell_the_learner", "notifications.mail_the_learner"),
)


async def told(world: World, person: Someone) -> tuple[set[str], int]:
    """The types of notifications and the number of mails that somebody has."""
    await run_actors(world, *ACTORS)
    listed = (await world.of(person).get("/api/v1/notifications/")).data["results"]
    sent = [one for one in letters(world, person.email) if "confirm" not in one.subject]
    return {one["type"] for one in listed}, len(sent)


async def enroll(world: World, person: Someone) -> None:
    teacher = world.person("teacher", person.tenant_id)
    await world.of(person).post(f"/api/v1/courses/{world.course(teacher)['id']}/enroll/")


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("chosen", "types", "mails"),
    [
        ({}, {"welcome", "course_enrollment"}, 2),
        ({"email_notifications": False}, {"welcome", "course_enrollment"}, 0),
        ({"course_enrollment_notifications": False}, {"welcome"}, 2),
        ({"categories": {"course": False}}, {"welcome"}, 2),
        ({"system_notifications": False}, {"course_enrollment"}, 2),
        ({"categories": {"course": False, "system": False}}, set(), 2),
    ],
)
async def test_a_preference_takes_effect(world: World, chosen: dict[str, Any], types: set[str], mails: int) -> None:
    person = world.person(tenant_id=world.organization())
    assert (await world.of(person).call("PUT", PREFERENCES, chosen)).status == 200
    await enroll(world, person)
    assert await told(world, person) == (types, mails)


@pytest.mark.gen_test
async def test_an_organization_that_tells_nothing_sends_nothing_that_can_wait(world: World) -> None:
    school = world.organization()
    administrator = world.of(world.person("admin", school))
    await administrator.patch("/api/v1/organizations/settings/", {"enableNotifications": False})
    person = world.person(tenant_id=school)
    await enroll(world, person)
    assert await told(world, person) == (set(), 0)


@pytest.mark.gen_test
async def test_categories_are_merged_one_by_one_and_the_account_s_own_switches_are_shared(world: World) -> None:
    client = world.of(world.person())
    await client.call("PUT", PREFERENCES, {"categories": {"grade": False}, "push_notifications": False})
    merged = (await client.call("PUT", PREFERENCES, {"categories": {"course": False}})).body
    assert (merged["categories"]["grade"], merged["categories"]["course"], merged["categories"]["system"]) == (
        False,
        False,
        True,
    )
    assert (await client.get("/api/v1/users/preferences/")).data["push_notifications"] is False
    for body in ({"quiet_hours_start": "24:00"}, {"categories": {"gossip": True}}, {"sound": True}):
        assert (await client.call("PUT", PREFERENCES, body)).status == 400, body
