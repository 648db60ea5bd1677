"""Erasing once the grace is over: asked for by a job, done by an actor in one transaction, told to the old address."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, NullPool, create_engine, select, text
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from actors import privacy as jobs
from edurise import personal
from edurise.adapters.provision import DatabaseUrls
from edurise.audit import AuditEntry
from edurise.authz import actor_principal
from edurise.errors import NotFound
from edurise.files.models import File
from edurise.files.ports import ObjectMissing
from edurise.identity import leaving
from edurise.identity.models import Person
from edurise.notifications import service as notifications
from edurise.outbox import OutboxEvent
from edurise.privacy import erasing, exports
from edurise.privacy.events import AccountErased, AccountErasureDue
from edurise.tenants.models import QuotaUsage
from tests.harness.errands import run_actors
from tests.harness.filing import TEXT, kept
from tests.harness.letters import letters
from tests.harness.lives import holding
from tests.harness.world import PASSWORD, Someone, World

DELETE = "/api/v1/users/delete-account/"
AUTH = "/api/v1/accounts/auth"


@pytest.fixture
def owner(database: DatabaseUrls) -> Iterator[Connection]:
    engine = create_engine(database.owner, poolclass=NullPool)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield connection
    engine.dispose()


async def leaves(world: World, person: Someone) -> None:
    assert (await world.of(person).post(DELETE, {"password": PASSWORD})).status == 200


async def erased(world: World, person: Someone) -> None:
    """The whole way: deleted, the grace over, the job, the actor."""
    await leaves(world, person)
    world.clock.advance(timedelta(days=world.c.settings.deletion_grace_days))
    await jobs.ask_for_erasures(world.c)
    await run_actors(world, "privacy.erase", times=2)


def person_of(world: World, person: Someone) -> Person:
    return world.c.db.system_sync(lambda session: session.get_one(Person, person.id))


def events(world: World, topic: str, person_id: UUID) -> list[OutboxEvent]:
    query = select(OutboxEvent).where(
        OutboxEvent.topic == topic, OutboxEvent.payload["person_id"].astext == str(person_id)
    )
    return list(world.c.db.system_sync(lambda session: session.scalars(query).all()))


def used(world: World, tenant_id: UUID, resource: str) -> int:
    query = select(QuotaUsage.used).where(
        QuotaUsage.tenant_id == tenant_id, QuotaUsage.resource == resource, QuotaUsage.scope == "organization"
    )
    return world.c.db.system_sync(lambda session: session.scalar(query)) or 0


@pytest.mark.gen_test
async def test_an_account_is_erased_when_its_grace_is_over_and_not_before(world: World) -> None:
    person = world.person(tenant_id=world.organization())
    places = used(world, person.tenant_id, "users")
    await leaves(world, person)
    world.clock.advance(timedelta(days=world.c.settings.deletion_grace_days, seconds=-1))
    await jobs.ask_for_erasures(world.c)
    assert events(world, AccountErasureDue.topic, person.id) == []
    world.clock.advance(timedelta(seconds=1))
    await jobs.ask_for_erasures(world.c)
    await run_actors(world, "privacy.erase", times=2)
    found = person_of(world, person)
    assert (found.email, found.is_active) == (f"erased-{person.id}@erased.invalid", False)
    assert used(world, person.tenant_id, "users") == places - 1
    refused = await world.anonymous.post(f"{AUTH}/login/", {"email": person.email, "password": PASSWORD})
    assert (refused.status, refused.code) == (400, "INVALID_CREDENTIALS")
    assert (await world.of(person).get("/api/v1/users/me/")).status == 401
    await jobs.ask_for_erasures(world.c)
    assert len(events(world, AccountErasureDue.topic, person.id)) == 1


@pytest.mark.gen_test
async def test_the_report_is_audited_by_counts(world: World) -> None:
    person = world.person()
    await erased(world, person)
    query = select(AuditEntry).where(AuditEntry.object_id == person.id, AuditEntry.action == "account.erased")
    entry = world.c.db.system_sync(lambda session: session.scalars(query).one())
    told = {one["table"]: one for one in entry.details["tables"]}
    assert told.keys() == personal.declared().keys()
    assert told["credentials"] == {"table": "credentials", "fate": "deleted", "rows": 1}
    assert told["payments"] == {"table": "payments", "fate": "kept", "rows": 0}
    assert person.email not in str(entry.details)


@pytest.mark.gen_test
async def test_the_old_address_is_told_once_and_then_known_nowhere(world: World, owner: Connection) -> None:
    person = world.person()
    first_name = person_of(world, person).first_name
    await erased(world, person)
    (event,) = events(world, AccountErased.topic, person.id)
    assert event.payload["sealed_letter"]
    assert holding(owner, person.email) == {}, "it is sealed"
    await run_actors(world, "privacy.mail_a_farewell", times=2)
    (letter,) = letters(world, person.email, "was erased")
    assert first_name in letter.text
    (event,) = events(world, AccountErased.topic, person.id)
    assert event.payload["sealed_letter"] == ""


@pytest.mark.gen_test
async def test_a_letter_that_nobody_takes_is_forgotten(world: World, owner: Connection) -> None:
    person = world.person()
    await erased(world, person)
    (event,) = events(world, AccountErased.topic, person.id)
    dead = """INSERT INTO deliveries (event_id, actor, topic, attempts, next_at, dead_at)
              VALUES (:e, 'privacy.mail_a_farewell', :topic, 5, :at, :at)
              ON CONFLICT ON CONSTRAINT pk_deliveries DO UPDATE SET dead_at = :at"""
    values = {"e": event.id, "topic": AccountErased.topic, "at": world.clock.now()}
    owner.execute(text(dead), values)
    assert world.c.db.system_sync(erasing.forget_letters) == 0
    world.clock.advance(erasing.TELL_WITHIN + timedelta(seconds=1))
    await jobs.ask_for_erasures(world.c)
    (event,) = events(world, AccountErased.topic, person.id)
    assert event.payload["sealed_letter"] == ""
    assert world.c.db.system_sync(erasing.forget_letters) == 0


@pytest.mark.gen_test
async def test_who_came_back_in_time_is_not_erased(world: World) -> None:
    """Also not by an event that was recorded before."""
    person = world.person()
    await leaves(world, person)
    assert (await world.anonymous.post(f"{AUTH}/login/", {"email": person.email, "password": PASSWORD})).status == 200
    due = AccountErasureDue(person_id=person.id)
    assert world.c.db.system_sync(erasing.erase, due.person_id, world.c.vault) == []
    assert person_of(world, person).email == person.email


@pytest.mark.gen_test
async def test_bytes_of_one_s_own_files_go_and_those_of_a_course_stay(world: World) -> None:
    teacher = world.person("teacher", world.organization())
    course = world.course(teacher)["id"]
    own = await kept(world, teacher, name="diary.txt")
    material = await kept(world, teacher, category="course-materials", course_id=course, access_level="enrolled")
    keys = {
        file_id: world.c.db.system_sync(lambda session, one=file_id: session.get_one(File, one).key)
        for file_id in (own, material)
    }
    before = used(world, teacher.tenant_id, "storage_bytes")
    await erased(world, teacher)
    await run_actors(world, "files.forsake")
    store = world.c.stores["local"]
    assert await store.size(keys[material]) == len(TEXT)
    with pytest.raises(ObjectMissing):
        await store.size(keys[own])
    assert used(world, teacher.tenant_id, "storage_bytes") == before - len(TEXT)


@pytest.mark.gen_test
async def test_what_breaks_in_the_middle_leaves_everything(
    world: World, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a process that is killed does: the last eraser never ends."""
    person = world.person()
    await leaves(world, person)
    world.clock.advance(timedelta(days=world.c.settings.deletion_grace_days))
    before = holding(owner, str(person.id))

    def break_off(*_: Any) -> int:
        raise RuntimeError("killed")

    broken = replace(personal.declared()["people"], erase=break_off)
    monkeypatch.setitem(personal._REGISTRY, "people", broken)
    with pytest.raises(RuntimeError, match="killed"):
        world.c.db.system_sync(erasing.erase, person.id, world.c.vault)
    assert holding(owner, str(person.id)) == before
    monkeypatch.undo()
    assert world.c.db.system_sync(erasing.erase, person.id, world.c.vault) != []


def test_many_are_asked_for_in_batches(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    people = [world.person() for _ in range(5)]

    def let_all_go(session: Session) -> None:
        for one in people:
            session.get_one(Person, one.id).erase_after = world.clock.now()

    world.c.db.system_sync(let_all_go)
    monkeypatch.setattr(erasing, "BATCH", 2)
    after, rounds = world.c.db.system_sync(erasing.ask, None), 1
    while after is not None:
        after, rounds = world.c.db.system_sync(erasing.ask, after), rounds + 1
    assert rounds >= 3
    for one in people:
        assert len(events(world, AccountErasureDue.topic, one.id)) == 1
        assert world.c.db.system_sync(erasing.erase, one.id, world.c.vault)


def test_who_is_being_erased_is_not_asked_for_again(world: World, owner: Connection) -> None:
    person = world.person()
    world.c.db.system_sync(leaving.end_at_once, person.email)
    owner.execute(text("BEGIN"))
    owner.execute(text("SELECT 1 FROM people WHERE id = :p FOR UPDATE"), {"p": person.id})
    assert person.id not in world.c.db.system_sync(leaving.due, None, 1000)
    owner.execute(text("ROLLBACK"))
    assert person.id in world.c.db.system_sync(leaving.due, None, 1000)
    assert world.c.db.system_sync(erasing.erase, person.id, world.c.vault)
    assert world.c.db.system_sync(erasing.erase, uuid7(), world.c.vault) == []


def test_an_operator_exports_and_erases_by_address(world: World) -> None:
    person = world.person()
    told = world.c.db.system_sync(exports.of_address, person.email.upper())
    assert str(person.id) in told
    report = world.c.db.system_sync(erasing.of_address, person.email, world.c.vault)
    assert {one.table for one in report} == personal.declared().keys()
    assert world.c.db.system_sync(exports.of_address, person.email) is None
    assert world.c.db.system_sync(erasing.of_address, person.email, world.c.vault) is None


def test_who_was_erased_is_told_nothing(world: World) -> None:
    person = world.person()
    assert world.c.db.system_sync(erasing.of_address, person.email, world.c.vault)
    actor = replace(actor_principal(person.tenant_id), user_id=person.id)
    with pytest.raises(NotFound):
        world.c.db.run_sync(actor, notifications.notify, person.id, "welcome", uuid7(), {}, {})
