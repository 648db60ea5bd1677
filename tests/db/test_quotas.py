"""Quotas at their edge: threads on a real database that want more together than there is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from edurise.adapters.clock import SetClock
from edurise.adapters.provision import DatabaseUrls
from edurise.authz import actor_principal
from edurise.db import Database, Urls
from edurise.errors import Conflict, Limited, NotFound
from edurise.identity import service as identity
from edurise.ports import Charge
from edurise.tenants import service as tenants
from edurise.tenants.limits import UNLIMITED
from edurise.tenants.quotas import DOWNLOADS, STORAGE, PlanQuotas

THREADS = 16
LIMIT = 1000
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NUMBERS = count(1)
NOBODY = Charge()


@pytest.fixture
def clock() -> SetClock:
    return SetClock(NOW)


@pytest.fixture
def db(database: DatabaseUrls, clock: SetClock) -> Iterator[Database]:
    made = Database(
        Urls(database.application, database.system), clock, pool_size=THREADS, backlog=THREADS, quotas=quotas()
    )
    yield made
    made.close()


@pytest.fixture
def tenant(db: Database) -> UUID:
    return db.system_sync(_founded)


def _founded(session: Session) -> UUID:
    return tenants.found(session, name="Quota", subdomain=f"quota-{next(NUMBERS)}")


def quotas(organization: int = LIMIT, course: int = 10**9, person: int = 10**9, downloads: int = 7) -> PlanQuotas:
    limits = replace(
        UNLIMITED,
        storage_bytes={"basic": organization},
        course_storage_bytes={"basic": course},
        person_storage_bytes={"basic": person},
        downloads_per_day={"basic": downloads},
    )
    return PlanQuotas(limits)


def person(db: Database, tenant: UUID) -> UUID:
    new = identity.NewPerson(f"quota-{next(NUMBERS)}@example.org", "Ada", "Quota", False)
    return db.system_sync(lambda session: identity.register(session, new, "hash", tenant))


def at_once(work: Callable[[int], object], times: int = THREADS) -> list[object]:
    """The results of ``work``, called by as many threads at the same moment; an error is a result."""
    ready = threading.Barrier(times)

    def one(number: int) -> object:
        ready.wait(20)
        try:
            return work(number)
        except (Conflict, Limited, NotFound) as refused:
            return refused

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(one, range(times)))


def reserve(db: Database, tenant: UUID, asked: PlanQuotas, amount: int, charge: Charge = NOBODY) -> UUID:
    until = NOW + timedelta(hours=1)
    return db.run_sync(
        actor_principal(tenant),
        lambda session, who: asked.reserve(session, who.tenant, STORAGE, amount, charge, until),
    )


def used(db: Database, tenant: UUID, asked: PlanQuotas, charge: Charge = NOBODY) -> list[int]:
    """What is used by the organization, the course and the person, as far as they are charged."""
    found = db.run_sync(actor_principal(tenant), lambda session, who: asked.state(session, who.tenant, STORAGE, charge))
    return [one.used for one in found]


def holds(db: Database, tenant: UUID) -> int:
    query = text("SELECT count(*) FROM quota_holds WHERE tenant_id = :tenant")
    return db.system_sync(lambda session: session.execute(query, {"tenant": tenant}).scalar_one())


@pytest.mark.parametrize("amount", [100, 99, 334, 1000])
def test_many_at_once_never_pass_a_limit_and_reach_it(db: Database, tenant: UUID, amount: int) -> None:
    asked = quotas()
    found = at_once(lambda _: reserve(db, tenant, asked, amount))
    taken = [one for one in found if isinstance(one, UUID)]
    refused = [one for one in found if isinstance(one, Conflict)]
    assert (len(taken), len(refused)) == (LIMIT // amount, THREADS - LIMIT // amount)
    assert {one.code for one in refused} == {"QUOTA_EXCEEDED"}
    assert used(db, tenant, asked) == [len(taken) * amount]
    # What is left, to the byte, is still to be had; and not a byte more.
    left = LIMIT - len(taken) * amount
    reserve(db, tenant, asked, left)
    with pytest.raises(Conflict):
        reserve(db, tenant, asked, 1)
    assert used(db, tenant, asked) == [LIMIT]


def test_the_narrowest_of_the_three_decides_and_a_refusal_counts_nowhere(db: Database, tenant: UUID) -> None:
    asked = quotas(organization=5000, course=500, person=250)
    course, people = uuid7(), [person(db, tenant) for _ in range(4)]
    found = at_once(lambda number: reserve(db, tenant, asked, 50, Charge(course, people[number % 4])))
    refused = [one for one in found if isinstance(one, Conflict)]
    assert (len(refused), {one.params["scope"] for one in refused}) == (6, {"course"})
    assert used(db, tenant, asked, Charge(course)) == [500, 500]
    assert sum(used(db, tenant, asked, Charge(course, one))[2] for one in people) == 500
    # The same people in other courses: now each of them is at an end before the organization is. Twice, for who lost each
    # race in the course asks four times only.
    found = [
        one
        for _ in range(2)
        for one in at_once(lambda number: reserve(db, tenant, asked, 50, Charge(uuid7(), people[number % 4])))
    ]
    assert {one.params["scope"] for one in found if isinstance(one, Conflict)} == {"person"}
    assert [used(db, tenant, asked, Charge(course, one))[2] for one in people] == [250] * 4
    assert used(db, tenant, asked) == [1000]


def test_reservations_are_settled_and_released_once_by_however_many(db: Database, tenant: UUID) -> None:
    asked = quotas()
    one, other = reserve(db, tenant, asked, 400), reserve(db, tenant, asked, 500)

    def end(number: int) -> str:
        who = actor_principal(tenant)
        if number % 2:
            db.run_sync(who, lambda session, _who: asked.release(session, other))
        else:
            db.run_sync(who, lambda session, _who: asked.settle(session, one, 123))
        return "ended"

    found = at_once(end)
    assert len([one for one in found if isinstance(one, NotFound)]) == THREADS // 2 - 1
    assert used(db, tenant, asked) == [123]
    assert holds(db, tenant) == 0


def test_settling_more_than_was_reserved_takes_what_is_left_and_no_more(db: Database, tenant: UUID) -> None:
    asked = quotas()
    made = [reserve(db, tenant, asked, 50) for _ in range(THREADS)]

    def settle(number: int) -> str:
        db.run_sync(actor_principal(tenant), lambda session, _who: asked.settle(session, made[number], 90))
        return "settled"

    found = at_once(settle)
    settled = found.count("settled")
    assert settled == (LIMIT - THREADS * 50) // 40
    assert used(db, tenant, asked) == [THREADS * 50 + settled * 40]
    assert holds(db, tenant) == THREADS - settled  # who was refused holds still what they held


def test_expired_reservations_are_released_once_by_however_many(db: Database, clock: SetClock) -> None:
    asked = quotas()
    places = [db.system_sync(_founded) for _ in range(3)]
    charges = {one: Charge(uuid7(), person(db, one)) for one in places}
    for number in range(24):
        reserve(db, places[number % 3], asked, 100, charges[places[number % 3]])
    assert used(db, places[0], asked, charges[places[0]]) == [800] * 3
    assert db.system_sync(asked.release_expired) == 0
    clock.advance(timedelta(hours=1, seconds=1))
    expired = text("SELECT count(*) FROM quota_holds WHERE expires_at < :now")
    before = db.system_sync(lambda session: session.execute(expired, {"now": clock.now()}).scalar_one())
    released = 0
    while released < before:  # some at a time, so that the ones do not wait for the others
        found = at_once(lambda _: db.system_sync(asked.release_expired, 3))
        released += sum(found)
    assert released == before
    assert [used(db, one, asked, charges[one]) for one in places] == [[0] * 3] * 3
    assert [holds(db, one) for one in places] == [0] * 3


def test_an_upload_that_ends_as_its_reservation_expires_is_counted_or_refused(
    db: Database, tenant: UUID, clock: SetClock
) -> None:
    asked = quotas()
    for _ in range(5):
        made = [reserve(db, tenant, asked, 100) for _ in range(THREADS // 2)]
        clock.advance(timedelta(hours=2))

        def end(number: int, made: list[UUID] = made) -> str:
            if number % 2:
                db.system_sync(asked.release_expired)
            else:
                hold_id = made[number // 2]
                db.run_sync(actor_principal(tenant), lambda session, _who: asked.settle(session, hold_id, 100))
                return "settled"
            return "released"

        settled = at_once(end).count("settled")
        assert used(db, tenant, asked) == [100 * settled]
        assert holds(db, tenant) == 0
        db.run_sync(
            actor_principal(tenant),
            lambda session, who, amount=100 * settled: asked.give_back(session, who.tenant, STORAGE, amount, Charge()),
        )
        clock.advance(timedelta(hours=-2))


def test_what_moves_between_courses_is_charged_where_it_is(db: Database, tenant: UUID) -> None:
    asked = quotas(course=500)
    old, new, owner = uuid7(), uuid7(), person(db, tenant)
    for _ in range(5):
        hold_id = reserve(db, tenant, asked, 100, Charge(old, owner))
        db.run_sync(actor_principal(tenant), lambda session, _who, made=hold_id: asked.settle(session, made, 100))

    def move(before: UUID, after: UUID) -> str:
        db.run_sync(
            actor_principal(tenant),
            lambda session, who: asked.transfer(
                session, who.tenant, STORAGE, 100, Charge(before, owner), Charge(after, owner)
            ),
        )
        return "moved"

    # The new course has room for three; there and back in each other's way neither course is ever wrong.
    reserve(db, tenant, asked, 200, Charge(new, owner))
    found = at_once(lambda _: move(old, new), 5)
    assert (found.count("moved"), len([one for one in found if isinstance(one, Conflict)])) == (3, 2)
    assert (used(db, tenant, asked, Charge(old, owner)), used(db, tenant, asked, Charge(new))) == (
        [700, 200, 700], [700, 500],
    )  # fmt: skip
    at_once(lambda number: move(old, new) if number % 2 else move(new, old))
    both = used(db, tenant, asked, Charge(old))[1], used(db, tenant, asked, Charge(new))[1]
    assert sum(both) == 700
    assert max(both) <= 500
    assert used(db, tenant, asked, Charge(None, owner)) == [700, 700]


def test_downloads_of_a_day_end_exactly_at_the_limit_and_begin_again(
    db: Database, tenant: UUID, clock: SetClock
) -> None:
    asked = quotas(downloads=7)

    def spend(_: int) -> str:
        db.run_sync(actor_principal(tenant), lambda session, who: asked.spend(session, who.tenant, DOWNLOADS))
        return "spent"

    found = at_once(spend)
    assert found.count("spent") == 7
    refused = [one for one in found if isinstance(one, Limited)]
    assert {(one.code, one.retry_after_s) for one in refused} == {("DAILY_LIMIT_REACHED", 12 * 3600.0)}
    clock.advance(timedelta(hours=12))
    assert at_once(spend).count("spent") == 7
