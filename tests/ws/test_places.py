"""Places for sockets: exactly as many as the plan allows, over all processes, and given back whatever happens."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from uuid_utils.compat import uuid7

from edurise.adapters.clock import SetClock
from edurise.db import Database, Urls
from edurise.errors import Overloaded
from edurise.tenants.limits import UNLIMITED
from edurise.tenants.places import LASTS
from edurise.tenants.quotas import SOCKETS, PlanQuotas
from handlers.ws.frames import Close
from handlers.ws.places import RENEWED_TICKS
from tests.ws.conftest import MAIN, Client, Connect, Site, clients_of, make_person, run, running_site

SESSION = "/ws/session/"
MOST = 3


@pytest.fixture
def database(database_urls: Urls, clock: SetClock) -> Iterator[Database]:
    quotas = PlanQuotas(dataclasses.replace(UNLIMITED, sockets={"basic": MOST}))
    found = Database(database_urls, clock, pool_size=4, system_pool_size=2, quotas=quotas)
    found.system_sync(lambda session: session.execute(text("DELETE FROM quota_holds")))
    found.system_sync(lambda session: session.execute(text("DELETE FROM quota_usage")))
    yield found
    found.close()


def used(database: Database, tenant_id: UUID = MAIN) -> int:
    query = text("SELECT used FROM quota_usage WHERE tenant_id = :tenant AND resource = 'sockets'")
    found = database.system_sync(lambda session: session.scalar(query, {"tenant": tenant_id}))
    return found or 0


def held(database: Database) -> int:
    query = text("SELECT coalesce(sum(amount), 0) FROM quota_holds WHERE resource = 'sockets'")
    return int(database.system_sync(lambda session: session.scalar(query)))


async def attempt(connect: Connect, site: Site, person: UUID, path: str = SESSION) -> Client | None:
    """A socket that was let in, or None for one that was refused by the plan."""
    client = await connect(path, token=site.c.tokens.issue(person))
    frame = await client.receive()
    if frame is None:
        reason = client.connection.close_reason
        assert (client.connection.close_code, reason) == (Close.TOO_MANY, "SOCKET_LIMIT_REACHED")
        return None
    assert frame["type"] == "connection_established"
    return client


async def settled(site: Site, database: Database, count: int) -> None:
    site.hub.tick()
    await site.until(lambda: used(database) == count == held(database))


def test_processes_let_in_exactly_as_many_as_the_plan_allows_together(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        async with (
            running_site(database, clock, redis_url) as one,
            running_site(database, clock, redis_url) as two,
            clients_of(one) as to_one,
            clients_of(two) as to_two,
        ):
            asked = [attempt(to_one, one, person) for _ in range(6)] + [attempt(to_two, two, person) for _ in range(6)]
            assert sum(client is not None for client in await asyncio.gather(*asked)) == MOST
            await settled(one, database, MOST)

    run(scenario)


def test_a_place_that_becomes_free_is_somebody_else_s_within_a_tick(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        async with (
            running_site(database, clock, redis_url) as one,
            running_site(database, clock, redis_url) as two,
            clients_of(one) as to_one,
            clients_of(two) as to_two,
        ):
            clients = [await attempt(to_one, one, person) for _ in range(MOST)]
            assert await attempt(to_two, two, person) is None
            assert clients[0] is not None
            clients[0].drop()
            await one.until(lambda: len(one.hub.crowd) == MOST - 1)
            await settled(one, database, MOST - 1)
            assert await attempt(to_two, two, person) is not None
            assert await attempt(to_one, one, person) is None

    run(scenario)


def test_other_organizations_have_places_of_their_own_and_a_query_does_not_choose(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            school = database.system_sync(_make_organization)
            for _ in range(MOST):
                client = await connect(SESSION, token=site.c.tokens.issue(person), tenant=school)
                await client.receive_type("connection_established")
            assert (used(database), used(database, school)) == (MOST, 0)
            other = database.system_sync(make_person)
            token = site.c.tokens.issue(other)
            site.c.tokens.known[token] = dataclasses.replace(site.c.tokens.known[token], tenant_id=school)
            client = await connect(SESSION, token=token)
            await client.receive_type("connection_established")
            assert used(database, school) == 1

    run(scenario)


def test_what_a_killed_process_held_is_given_back_and_the_living_keep_theirs(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            assert await attempt(connect, site, person) is not None
            killed = uuid7()
            database.system_sync(lambda session: _hold(session, killed, 2))
            assert await attempt(connect, site, person) is None
            clock.advance(LASTS * 0.9)
            for _ in range(RENEWED_TICKS):
                site.hub.tick()
            await site.until(lambda: _expires_in(database, clock) == LASTS)
            clock.advance(LASTS * 0.2)
            database.system_sync(PlanQuotas(UNLIMITED).release_expired)
            assert used(database) == held(database) == 1
            assert await attempt(connect, site, person) is not None

    run(scenario)


def test_a_process_that_slept_through_its_reservation_counts_its_sockets_again(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            for _ in range(2):
                assert await attempt(connect, site, person) is not None
            clock.advance(2 * LASTS)
            database.system_sync(PlanQuotas(UNLIMITED).release_expired)
            assert used(database) == 0
            for _ in range(RENEWED_TICKS):
                site.hub.tick()
            await site.until(lambda: all(one.stored == 0 for one in site.hub.places._by_tenant.values()))
            await settled(site, database, 2)

    run(scenario)


def test_a_drained_process_holds_nothing(database: Database, clock: SetClock, redis_url: str, person: UUID) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            clients = [await attempt(connect, site, person) for _ in range(MOST)]
            draining = asyncio.create_task(site.hub.drain(5))
            for client in clients:
                assert client is not None
                await client.closed()
            await draining
            assert used(database) == held(database) == 0

    run(scenario)


class Away:
    """A database that is not there."""

    def __init__(self, failure: Exception) -> None:
        self.failure = failure

    async def run(self, *asked: object) -> int:
        raise self.failure


@pytest.mark.parametrize(
    ("failure", "code"), [(Overloaded("DATABASE_UNAVAILABLE"), Close.TOO_MANY), (RuntimeError("gone"), Close.INTERNAL)]
)
def test_who_finds_the_database_away_is_sent_away_and_let_in_later(
    database: Database, clock: SetClock, redis_url: str, person: UUID, failure: Exception, code: Close
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            there, site.hub.places._db = site.hub.places._db, Away(failure)
            client = await connect(SESSION, token=site.c.tokens.issue(person))
            assert await client.closed() == code
            site.hub.places._db = there
            assert await attempt(connect, site, person) is not None

    run(scenario)


def _hold(session: Any, hold_id: UUID, amount: int) -> None:
    PlanQuotas(UNLIMITED).occupy(session, MAIN, SOCKETS, hold_id, amount, 0, LASTS)


def _expires_in(database: Database, clock: SetClock) -> Any:
    """How long the reservation that lasts longest still lasts."""
    latest: datetime = database.system_sync(
        lambda session: session.scalar(text("SELECT max(expires_at) FROM quota_holds"))
    )
    return latest - clock.now()


def _make_organization(session: Any) -> UUID:
    found = uuid7()
    session.execute(
        text("INSERT INTO organizations (id, name, subdomain) VALUES (:id, 'School', :subdomain)"),
        {"id": found, "subdomain": f"s{found.hex[-12:]}"},
    )
    return found


def test_one_person_does_not_take_the_places_of_a_school(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        other = database.system_sync(make_person)
        async with (
            running_site(database, clock, redis_url, EDU_SOCKETS_PER_PERSON="2") as site,
            clients_of(site) as connect,
        ):
            first, second = [await attempt(connect, site, person) for _ in range(2)]
            assert first is not None
            assert second is not None
            greedy = await connect(SESSION, token=site.c.tokens.issue(person))
            assert await greedy.receive() is None
            ended = (greedy.connection.close_code, greedy.connection.close_reason)
            assert ended == (Close.TOO_MANY, "TOO_MANY_SOCKETS")
            assert await attempt(connect, site, other) is not None
            first.drop()
            await site.until(lambda: site.hub.crowd.has_room_for(person))
            await settled(site, database, 2)
            assert await attempt(connect, site, person) is not None

    run(scenario)
