"""What somebody wants to be told: kept for both clients, and kept to by whatever tells or mails."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from actors.registry import load_actors
from edurise.authz import ANY_PERSON, Principal
from edurise.notifications import preferences
from edurise.notifications.service import KINDS
from edurise.tenants import service as tenants
from edurise.tenants.models import Organization
from tests.harness.client import Client
from tests.harness.errands import run_actors
from tests.harness.letters import letters
from tests.harness.world import PASSWORD, Someone, World

API = "/api/v1"
PATH = f"{API}/notifications/preferences/"
ACCOUNT = f"{API}/users/preferences/"


def tellers() -> list[str]:
    names = load_actors().names()
    return [name for name in names if name.startswith("notifications.") or name == "live.tell_the_class"]


async def told(client: Client) -> list[str]:
    return sorted(row["type"] for row in (await client.get(f"{API}/notifications/")).data["results"])


def silence(world: World, tenant_id: UUID) -> None:
    def work(session: Session) -> None:
        session.get_one(Organization, tenant_id).settings = {"enable_notifications": False}

    world.c.db.system_sync(work)


async def everything_happens(world: World, before: Callable[[Client], Any]) -> tuple[Someone, list[str], list[str]]:
    """Somebody joins, enrolls in a free course, buys another, is made a teacher, and a class begins; returns who, what
    they were told, and the subjects of their mails. ``before`` is awaited once they have their account."""
    await run_actors(world)  # what others left is relayed, and handled by nobody
    school = world.organization()
    teacher, person = world.person("teacher", school), world.person(tenant_id=school, teaches=True)
    client = world.of(person)
    await before(client)
    free, paid = world.course(teacher), world.course(teacher, price=Decimal(10))
    assert (await client.post(f"{API}/courses/{free['id']}/enroll/")).status == 201
    started = (await client.post(f"{API}/payments/create_course_payment/", {"course_id": str(paid["id"])})).data
    await client.post(f"{API}/payments/{started['payment_id']}/confirm_payment/")
    administrator = world.of(world.person("admin", school))
    assert (await administrator.patch(f"{API}/users/{person.id}/", {"is_approved_teacher": True})).status == 200
    form = {"course_id": str(free["id"]), "title": "Live", "duration_minutes": 60}
    at = (world.clock.now() + timedelta(minutes=1)).isoformat().replace("+00:00", "Z")
    held = await world.of(teacher).post(f"{API}/live-classes/", {**form, "scheduled_at": at})
    assert held.status == 201, held.content
    assert (await world.of(teacher).post(f"{API}/live-classes/{held.data['id']}/start_class/")).status == 200
    await run_actors(world, *tellers())
    return person, await told(client), [letter.subject for letter in letters(world, person.email)]


async def nothing(_: Client) -> None:
    """No choice is made."""


ALL = [
    "course_enrollment",
    "course_enrollment",
    "live_class_starting",
    "payment_settled",
    "teacher_approved",
    "welcome",
]


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"quiet_hours_start": "24:00"}, "quiet_hours_start"),
        ({"quiet_hours_end": "7:00"}, "quiet_hours_end"),
        ({"sound_enabled": "yes"}, "sound_enabled"),
        ({"sound_enabled": None}, "sound_enabled"),
        ({"categories": {"gossip": True}}, "categories.gossip"),
        ({"categories": []}, "categories"),
        ({"person_id": "01890000-0000-7000-8000-000000000000"}, "person_id"),
        ({"marketing_emails": True}, "marketing_emails"),
    ],
)
async def test_what_is_no_preference(world: World, body: dict[str, Any], field: str) -> None:
    client = world.of(world.person())
    before = (await client.get(PATH)).data
    refused = await client.call("PUT", PATH, body)
    assert (refused.status, list(refused.body["errors"])) == (400, [field])
    assert (await client.get(PATH)).data == before


def test_two_changes_at_once_are_both_kept(world: World) -> None:
    def switch_off(who: Principal, category: str) -> None:
        world.c.db.run_sync(who, preferences.change, {"categories": {category: False}})

    for _ in range(5):
        who = world.person().principal.needing(ANY_PERSON)
        with ThreadPoolExecutor(len(preferences.CATEGORIES)) as threads:
            done = [threads.submit(switch_off, who, one) for one in preferences.CATEGORIES]
        assert [one.result() for one in done] == [None] * len(done)
        assert not any(world.c.db.run_sync(who, preferences.own)["categories"].values())


@pytest.mark.gen_test(timeout=60)
async def test_without_a_choice_everything_is_told_and_mailed(world: World) -> None:
    _, rows, mails = await everything_happens(world, nothing)
    assert rows == ALL
    assert len(mails) == 4, mails  # the enrollment that was paid for is told by its receipt


@pytest.mark.gen_test(timeout=60)
async def test_who_wants_no_mail_gets_receipts_alone(world: World) -> None:
    async def choose(client: Client) -> None:
        await client.patch(ACCOUNT, {"email_notifications": False})

    _, rows, mails = await everything_happens(world, choose)
    assert rows == ALL, "the bell is another matter"
    assert len(mails) == 1
    assert "receipt" in mails[0].lower() or "payment" in mails[0].lower()


@pytest.mark.gen_test(timeout=60)
@pytest.mark.parametrize(
    ("choice", "silenced"),
    [
        ({"course_enrollment_notifications": False}, {"course_enrollment"}),
        ({"class_reminder_notifications": False}, {"live_class_starting"}),
        ({"payment_notifications": False}, {"payment_settled"}),
        ({"system_notifications": False}, {"teacher_approved", "welcome"}),
        ({"categories": {"course": False}}, {"course_enrollment", "payment_settled"}),
        ({"categories": {"live_class": False}}, {"live_class_starting"}),
        ({"categories": {"system": False}}, {"teacher_approved", "welcome"}),
        ({"categories": {"grade": False}, "assignment_due_notifications": False}, set()),
    ],
)
async def test_a_switch_silences_its_kind_in_the_bell_alone(
    world: World, choice: dict[str, Any], silenced: set[str]
) -> None:
    async def choose(client: Client) -> None:
        await client.call("PUT", PATH, choice)

    _, rows, mails = await everything_happens(world, choose)
    assert rows == [kind for kind in ALL if kind not in silenced]
    assert len(mails) == 4, "mails have a switch of their own"


@pytest.mark.gen_test(timeout=60)
async def test_a_silent_organization_sends_receipts_alone(world: World) -> None:
    async def choose(client: Client) -> None:
        me = (await client.get(f"{API}/users/me/")).body
        silence(world, UUID(me["organization"]["id"]))

    person, rows, mails = await everything_happens(world, choose)
    assert rows == []
    assert len(mails) == 1
    elsewhere = world.organization()
    world.c.db.system_sync(lambda session: tenants.join(session, elsewhere, person.id))
    course = world.course(world.person("teacher", elsewhere))
    await world.of(person).post(f"{API}/courses/{course['id']}/enroll/")
    await run_actors(world, *tellers())
    assert await told(world.of(person)) == ["course_enrollment"], "another organization is not silent"


@pytest.mark.gen_test
async def test_mails_of_keys_to_the_account_are_nobody_s_preference(world: World) -> None:
    person = world.person()
    client = world.of(person)
    await client.patch(ACCOUNT, {"email_notifications": False})
    await client.call("PUT", PATH, {"system_notifications": False, "categories": {"system": False}})
    await world.anonymous.post(f"{API}/accounts/auth/password-reset/", {"email": person.email})
    await run_actors(world, "account_mails.mail_a_reset")
    assert len(letters(world, person.email)) == 1
    assert PASSWORD not in letters(world, person.email)[0].text


def test_every_switch_and_every_tab_is_one_that_somebody_can_choose() -> None:
    for kind in KINDS.values():
        assert kind.switch is None or kind.switch in preferences.DEFAULTS
        assert kind.category in preferences.CATEGORIES
