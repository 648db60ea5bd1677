"""Places of sockets: as many as the plan has, over all processes, and none that nobody uses for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import count
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from edurise.adapters.clock import SetClock
from edurise.authz import actor_principal
from edurise.db import Database, Urls, quotas
from edurise.tenants import places
from edurise.tenants import service as tenants
from edurise.tenants.limits import UNLIMITED
from edurise.tenants.quotas import PlanQuotas
from handlers.ws.frames import Close
from handlers.ws.places import SPARE, Places
from tests.ws.conftest import MAIN, Client, Connect, Site, clients_of, run, running_site

SESSION = "/ws/session/"
NUMBERS = count(1)
LIMIT = 10


@pytest.fixture
def database(database_urls: Urls, clock: SetClock) -> Iterator[Database]:
    """A plan of few sockets, but for one organization."""
    limits = replace(UNLIMITED, sockets={"basic": LIMIT, "wide": 1000})
    found = Database(database_urls, clock, pool_size=8, system_pool_size=2, quotas=PlanQuotas(limits))
    found.system_sync(_forget)
    yield found
    found.close()


def _forget(session: Session) -> None:
    for table in ("quota_holds", "quota_usage"):
        session.execute(text(f"DELETE FROM {table}"))


def school(database: Database, subdomain: str = "") -> UUID:
    name = subdomain or f"places-{next(NUMBERS)}"
    return database.system_sync(lambda session: tenants.found(session, name="Places", subdomain=name))


def used(database: Database, tenant_id: UUID) -> int:
    query = text("SELECT coalesce(sum(used), 0) FROM quota_usage WHERE resource = 'sockets' AND tenant_id = :tenant")
    return database.system_sync(lambda session: session.execute(query, {"tenant": tenant_id}).scalar_one())


def reserved(database: Database, tenant_id: UUID) -> int:
    query = text("SELECT coalesce(sum(amount), 0) FROM quota_holds WHERE resource = 'sockets' AND tenant_id = :tenant")
    return database.system_sync(lambda session: session.execute(query, {"tenant": tenant_id}).scalar_one())


@asynccontextmanager
async def sites(database: Database, clock: SetClock, redis_url: str, number: int) -> AsyncIterator[list[Site]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(running_site(database, clock, redis_url)) for _ in range(number)]


async def came(connect: Connect, site: Site, person: UUID, **query: object) -> Client | None:
    """A socket that was let in, or None for one that was closed because the plan has no place."""
    client = await connect(SESSION, token=site.c.tokens.issue(person), **query)
    if (frame := await client.receive()) is not None:
        assert frame["type"] == "connection_established"
        return client
    assert (client.connection.close_code, client.connection.close_reason) == (Close.TOO_MANY, "PLAN_LIMIT_REACHED")
    return None


def test_processes_that_ask_at_once_never_hold_more_than_the_plan_has(database: Database) -> None:
    """Threads as processes: each grows and shrinks its own reservation, and the sum is right at every end."""
    tenant_id = school(database)
    ids = [uuid7() for _ in range(6)]

    def ask(number: int) -> int:
        held = 0
        for least, spare in ((1, SPARE), (4, SPARE), (2, 0), (5, SPARE)):
            held = database.run_sync(actor_principal(tenant_id), places.hold, ids[number], least, spare)
        return held

    with ThreadPoolExecutor(6) as threads:
        held = list(threads.map(ask, range(6)))
    assert sum(held) == used(database, tenant_id) == reserved(database, tenant_id) <= LIMIT
    assert max(held) <= 5 + LIMIT // 4
    database.system_sync(places.release, ids)
    assert used(database, tenant_id) == reserved(database, tenant_id) == 0


def test_little_is_held_in_advance_near_the_limit_and_more_where_much_is_left(database: Database) -> None:
    narrow, wide = school(database), school(database, "wide")
    held = [database.run_sync(actor_principal(one), places.hold, uuid7(), 1, SPARE) for one in (narrow, wide)]
    assert held == [LIMIT // 4, SPARE]


def test_so_many_sockets_over_all_processes_and_no_more(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        async with sites(database, clock, redis_url, 3) as three, AsyncExitStack() as stack:
            connects = [await stack.enter_async_context(clients_of(site)) for site in three]
            for connect, site in zip(connects, three, strict=True):  # each process holds some
                assert await came(connect, site, person) is not None
            rest = [came(connects[n % 3], three[n % 3], person) for n in range(24)]
            let_in = [client for client in await asyncio.gather(*rest) if client is not None]
            assert len(let_in) == LIMIT - 3
            assert used(database, MAIN) == LIMIT

    run(scenario)


def test_a_place_is_free_when_its_socket_ends_however_it_ends(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        async with sites(database, clock, redis_url, 1) as (site,), clients_of(site) as connect:
            clients = [await came(connect, site, person) for _ in range(LIMIT)]
            assert await came(connect, site, person) is None
            for number, end in enumerate((Client.close, Client.drop)):
                leaving = clients[number]
                assert leaving is not None
                end(leaving)
                await site.until(lambda: site.hub.places.held(MAIN)[0] == LIMIT - 1)
                assert await came(connect, site, person) is not None
                assert await came(connect, site, person) is None

    run(scenario)


def test_what_one_process_does_not_use_another_gets(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        async with (
            sites(database, clock, redis_url, 2) as (one, other),
            clients_of(one) as connect,
            clients_of(other) as connect_other,
        ):
            clients = [await came(connect, one, person) for _ in range(LIMIT)]
            assert await came(connect_other, other, person) is None
            for client in clients[:4]:
                assert client is not None
                client.close()
            await one.until(lambda: one.hub.places.held(MAIN)[0] == LIMIT - 4)
            assert await came(connect_other, other, person) is None, "not known there yet"
            await one.hub.places.renew()
            assert one.hub.places.held(MAIN) == (LIMIT - 4, LIMIT - 4)
            await other.hub.places.renew()
            let_in = [await came(connect_other, other, person) for _ in range(5)]
            assert [client is not None for client in let_in] == [True] * 4 + [False]

    run(scenario)


def test_the_timer_renews_and_gives_back_what_nobody_uses(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        async with sites(database, clock, redis_url, 1) as (site,), clients_of(site) as connect:
            client = await came(connect, site, person)
            assert client is not None
            clock.advance(timedelta(seconds=80))
            await site.hub.places.renew()
            clock.advance(timedelta(seconds=80))
            assert database.system_sync(lambda session: quotas(session).release_expired(session)) == 0
            client.close()
            await site.until(lambda: site.hub.places.held(MAIN)[0] == 0)
            for _ in range(10):
                site.hub.places.tick()
            await site.until(lambda: site.hub.places.held(MAIN) == (0, 0) and not site.hub._tasks)
            assert used(database, MAIN) == reserved(database, MAIN) == 0

    run(scenario)


def test_places_of_a_process_that_died_expire_and_one_that_slept_takes_its_own_up_again(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        dead = uuid7()
        assert database.run_sync(actor_principal(MAIN), places.hold, dead, LIMIT - 3, 0) == LIMIT - 3
        async with sites(database, clock, redis_url, 1) as (site,), clients_of(site) as connect:
            let_in = [await came(connect, site, person) for _ in range(4)]
            assert [client is not None for client in let_in] == [True] * 3 + [False]
            clock.advance(timedelta(seconds=91))
            assert database.system_sync(lambda session: quotas(session).release_expired(session)) == 2
            await site.hub.places.renew()
            assert used(database, MAIN) == reserved(database, MAIN) == 3, "what is open here counts on"
            more = [await came(connect, site, person) for _ in range(8)]
            assert sum(client is not None for client in more) == LIMIT - 3

    run(scenario)


def test_a_process_that_ends_gives_everything_back(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        async with sites(database, clock, redis_url, 1) as (site,), clients_of(site) as connect:
            assert await came(connect, site, person) is not None
            assert used(database, MAIN) > 0
        assert used(database, MAIN) == reserved(database, MAIN) == 0

    run(scenario)


def test_a_socket_counts_for_its_token_s_organization_whatever_it_names(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    """Else anybody could use up the places of an organization that they do not belong to."""
    victim = school(database)

    async def scenario() -> None:
        async with sites(database, clock, redis_url, 1) as (site,), clients_of(site) as connect:
            let_in = [await came(connect, site, person, tenant=victim) for _ in range(LIMIT + 1)]
            assert sum(client is not None for client in let_in) == LIMIT
            assert used(database, victim) == 0

    run(scenario)


def test_most_sockets_ask_the_database_for_no_place(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    wide = school(database, "wide")

    async def scenario() -> None:
        asked: list[int] = []
        spawned: set[asyncio.Task[None]] = set()
        found = Places(database, lambda work: spawned.add(asyncio.ensure_future(work)))
        hold = found._hold

        async def counted(*args: object) -> int:
            asked.append(1)
            return await hold(*args)

        found._hold = counted
        peers = [_Paper() for _ in range(200)]
        assert all(await asyncio.gather(*(found.take(peer, wide) for peer in peers)))
        assert found.held(wide)[0] == 200
        assert len(asked) == 2, "the first for itself, then one for all that came meanwhile"
        for _ in range(SPARE):
            assert await found.take(_Paper(), wide)
        assert len(asked) == 3
        await found.close()

    run(scenario)


class _Paper:
    """What a place asks of a peer."""

    closed = False
    place = None
