"""Who does not read what it is sent is ended, and costs nobody else anything."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from edurise import channels
from edurise.adapters.clock import SetClock
from edurise.authz import Principal
from edurise.db import Database
from tests.ws.conftest import MAIN, Client, Connect, Site, clients_of, run, running_site

BIG = "x" * 200_000
BOUND = {"EDU_SOCKET_BACKLOG_FRAMES": "8"}


def tell_big(session: object, who: Principal, person: UUID) -> None:
    channels.append(session, f"notifications:{person}", "notification", {"notification": BIG}, who.tenant)


async def stalled(connect: Connect, site: Site, path: str, person: UUID) -> Client:
    """A client that stops reading after its greeting."""
    client = await connect(path, token=site.c.tokens.issue(person))
    await client.receive_type("connection_established")
    if path == "/ws/session/":
        client.send(type="subscribe", channel=f"notifications:{person}")
        await client.receive_type("subscribed")
    else:
        await client.receive_type("unread_count")
    client.stream.io_loop.remove_handler(client.stream.fileno())
    return client


@pytest.mark.parametrize("path", ["/ws/session/", "/ws/notifications/"])
def test_a_slow_reader_is_ended_and_a_quick_one_gets_everything(
    database: Database, clock: SetClock, redis_url: str, person: UUID, path: str
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url, **BOUND) as site, clients_of(site) as connect:
            slow = await stalled(connect, site, path, person)
            quick = await connect("/ws/session/", token=site.c.tokens.issue(person))
            await quick.receive_type("connection_established")
            quick.send(type="subscribe", channel=f"notifications:{person}")
            await quick.receive_type("subscribed")
            peer = next(one for one in site.hub.crowd if one.manner.lasting or path == "/ws/session/")
            count = 0
            while not site.hub.crowd.slow:
                await database.run(Principal(wanted=MAIN, service=True), tell_big, person)
                count += 1
                assert (await quick.receive_type("notification"))["offset"] == count
                assert count < 200
            assert site.hub.crowd.slow == 1
            assert peer.closed
            await quick.nothing()
            stream = slow.stream
            stream._state = None
            stream._add_io_state(stream.io_loop.READ)
            code = await slow.closed()
            assert code == (4408 if path == "/ws/session/" else None)

    run(scenario)


def test_what_a_slow_reader_missed_is_there_when_it_comes_back(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            client = await connect("/ws/notifications/", token=site.c.tokens.issue(person))
            await client.receive_type("connection_established")
            await client.receive_type("unread_count")
            await site.tell(person, 1)
            frame = await client.receive_type("notification")
            next(iter(site.hub.crowd)).wire.drop()
            assert await client.closed() is None
            await site.tell(person, 2)
            back = await connect(
                "/ws/notifications/", token=site.c.tokens.issue(person), offset=frame["offset"], epoch=frame["epoch"]
            )
            assert (await back.receive_type("connection_established"))["recovered"] is True
            assert await back.notifications(1) == [(2, 2)]

    run(scenario)


def test_pings_do_not_pile_up_behind_a_backlog(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            await stalled(connect, site, "/ws/session/", person)
            peer = next(iter(site.hub.crowd))
            while not peer.wire.backlog:
                await database.run(Principal(wanted=MAIN, service=True), tell_big, person)
                await asyncio.gather(*site.announcing)
                await site.reconciled()
            waiting = peer.wire.backlog
            for _ in range(25):
                site.hub.crowd.ping()
            assert peer.wire.backlog == waiting

    run(scenario)
