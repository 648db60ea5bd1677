"""Resuming at every position: before the first event, in the middle, at the end, past a trim, in another numbering."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from edurise import channels
from edurise.adapters.clock import SetClock
from edurise.authz import Principal
from edurise.db import Database
from tests.ws.conftest import MAIN, Client, Connect, Site, clients_of, run, running_site, tell

EVENTS = 6


def epoch_of(database: Database, person: UUID) -> str:
    name = f"notifications:{person}"
    return str(database.system_sync(channels.heads, [name])[name][1])


async def door(connect: Connect, site: Site, person: UUID, **position: object) -> tuple[dict[str, Any], Client]:
    client = await connect("/ws/notifications/", token=site.c.tokens.issue(person), **position)
    return await client.receive_type("connection_established"), client


@pytest.mark.parametrize("after", range(EVENTS + 1))
def test_the_door_gives_exactly_what_was_missed(
    database: Database, clock: SetClock, redis_url: str, person: UUID, after: int
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            for number in range(1, EVENTS + 1):
                await site.tell(person, number)
            greeting, client = await door(connect, site, person, offset=after, epoch=epoch_of(database, person))
            assert (greeting["recovered"], greeting["offset"]) == (True, after)
            missed = [(number, number) for number in range(after + 1, EVENTS + 1)]
            assert await client.notifications(EVENTS - after) == missed
            await client.receive_type("unread_count")
            await site.tell(person, 100)
            assert await client.notifications(1) == [(EVENTS + 1, 100)]
            await client.nothing()

    run(scenario)


@pytest.mark.parametrize("position", ["past the head", "new epoch", "no epoch", "no position", "nonsense"])
def test_a_position_that_does_not_continue_is_told_to_reload(
    database: Database, clock: SetClock, redis_url: str, person: UUID, position: str
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            for number in range(1, EVENTS + 1):
                await site.tell(person, number)
            epoch = epoch_of(database, person)
            query: dict[str, dict[str, object]] = {
                "past the head": {"offset": EVENTS + 1, "epoch": epoch},
                "new epoch": {"offset": 3, "epoch": uuid4()},
                "no epoch": {"offset": 3},
                "no position": {},
                "nonsense": {"offset": "-1", "epoch": "x"},
            }
            greeting, client = await door(connect, site, person, **query[position])
            assert (greeting["recovered"], greeting["offset"], greeting["epoch"]) == (False, EVENTS, epoch)
            await client.receive_type("unread_count")
            await site.tell(person, 100)
            assert await client.notifications(1) == [(EVENTS + 1, 100)]

    run(scenario)


def test_the_position_before_the_first_event_ever_continues(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            greeting, client = await door(connect, site, person)
            assert (greeting["offset"], greeting["epoch"]) == (0, None)
            client.close()
            await site.tell(person, 1)
            greeting, client = await door(connect, site, person, offset=0)
            assert greeting["recovered"] is True
            assert await client.notifications(1) == [(1, 1)]

    run(scenario)


def test_a_position_past_a_trim_is_not_resumed_silently(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            for number in range(1, 4):
                await site.tell(person, number)
            clock.advance(timedelta(days=31))
            for number in range(4, EVENTS + 1):
                await site.tell(person, number)
            epoch = epoch_of(database, person)
            assert await database.system(channels.trim, 30) >= 3
            for after, recovered in ((0, False), (2, False), (3, True), (5, True)):
                greeting, client = await door(connect, site, person, offset=after, epoch=epoch)
                assert greeting["recovered"] is recovered, after
                if recovered:
                    await client.notifications(EVENTS - after)
                await client.receive_type("unread_count")
                await client.nothing()
            clock.advance(timedelta(days=31))
            await database.system(channels.trim, 30)
            greeting, _ = await door(connect, site, person, offset=EVENTS, epoch=epoch)
            assert greeting["recovered"] is True  # nothing is stored, and nothing was missed
            greeting, _ = await door(connect, site, person, offset=EVENTS - 1, epoch=epoch)
            assert greeting["recovered"] is False

    run(scenario)


def test_too_far_behind_is_told_to_reload(database: Database, clock: SetClock, person: UUID) -> None:
    actor, who = Principal(wanted=MAIN, service=True), Principal(user_id=person, wanted=MAIN)
    for number in range(5):
        database.run_sync(actor, tell, person, number)
    name, epoch = f"notifications:{person}", UUID(epoch_of(database, person))
    assert database.run_sync(who, channels.read, name, 1, epoch, 4).recovered is True
    assert database.run_sync(who, channels.read, name, 0, epoch, 4).recovered is False
    page = database.system_sync(channels.replay, name, 0, epoch, 4)
    assert (page.recovered, [event.offset for event in page.events], page.head) == (True, [1, 2, 3, 4], 5)


def renumber(session: Any, person: UUID) -> None:
    session.execute(
        text("UPDATE channels SET epoch = gen_random_uuid() WHERE name = :name"), {"name": f"notifications:{person}"}
    )


def test_a_new_numbering_reaches_sockets_that_are_open(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            await site.tell(person, 1)
            _, client = await door(connect, site, person)
            session = await connect("/ws/session/", token=site.c.tokens.issue(person))
            await session.receive_type("connection_established")
            session.send(type="subscribe", channel=f"notifications:{person}")
            old = (await session.receive_type("subscribed"))["epoch"]
            await database.system(renumber, person)
            await site.hub.reconcile()
            assert await client.closed() is None  # the door comes back by itself
            told = await session.receive_type("subscribed")
            assert told["recovered"] is False
            assert told["epoch"] == epoch_of(database, person) != old
            await site.tell(person, 2)
            assert await session.notifications(1) == [(2, 2)]

    run(scenario)
