"""``/ws/session/``: subscriptions, renewal of the token, closes that a browser can read."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from edurise.adapters.clock import SetClock
from edurise.db import Database
from tests.ws.conftest import Client, Connect, Site, clients_of, run, running_site

SESSION = "/ws/session/"


async def opened(connect: Connect, site: Site, person: UUID, **issue: object) -> Client:
    client = await connect(SESSION, token=site.c.tokens.issue(person, **issue))
    await client.receive_type("connection_established")
    return client


def test_subscribe_receive_resume_unsubscribe(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            channel = f"notifications:{person}"
            client = await opened(connect, site, person)
            client.send(type="subscribe", channel=channel)
            answer = await client.receive_type("subscribed")
            assert (answer["recovered"], answer["offset"], answer["channel"]) == (False, 0, channel)
            await site.tell(person, 1)
            frame = await client.receive_type("notification")
            assert set(frame) == {"type", "data", "channel", "offset", "epoch", "timestamp"}
            client.send(type="unsubscribe", channel=channel)
            await client.receive_type("unsubscribed")
            await site.tell(person, 2)
            await client.nothing()
            assert site.hub.topics == 0
            client.send(type="resume", channel=channel, offset=1, epoch=frame["epoch"])
            answer = await client.receive_type("subscribed")
            assert (answer["recovered"], answer["offset"]) == (True, 1)
            assert await client.notifications(1) == [(2, 2)]

    run(scenario)


def test_subscribing_again_does_not_double(database: Database, clock: SetClock, redis_url: str, person: UUID) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            client = await opened(connect, site, person)
            for _ in range(3):
                client.send(type="subscribe", channel=f"notifications:{person}")
                await client.receive_type("subscribed")
            await site.tell(person, 1)
            assert await client.notifications(1) == [(1, 1)]
            await client.nothing()

    run(scenario)


def test_frames_of_one_socket_are_worked_on_in_order(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            client = await opened(connect, site, person)
            for _ in range(4):
                client.send(type="subscribe", channel=f"notifications:{person}")
                client.send(type="unsubscribe", channel=f"notifications:{person}")
            kinds = [(await client.receive() or {})["type"] for _ in range(8)]
            assert kinds == ["subscribed", "unsubscribed"] * 4

    run(scenario)


@pytest.mark.parametrize(
    "channel",
    ["notifications:{other}", "notifications:x", "notifications:", "unknown:{own}", "", None, 7, "notifications:{OWN}"],
)
def test_a_channel_that_is_not_ones_own_is_not_found(
    database: Database, clock: SetClock, redis_url: str, person: UUID, channel: object
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            client = await opened(connect, site, person)
            name = (
                channel.format(other=uuid7(), own=person, OWN=str(person).upper())
                if isinstance(channel, str)
                else channel
            )
            client.send(type="subscribe", channel=name, ref="a1")
            error = await client.receive_type("error")
            assert error["data"] == {"code": "CHANNEL_NOT_FOUND", "ref": "a1"}
            assert site.hub.topics == 0

    run(scenario)


@pytest.mark.parametrize(
    "position",
    [
        {"offset": -1},
        {"offset": "1"},
        {"offset": 1.0},
        {"offset": True},
        {"offset": 2**63},
        {"epoch": 5},
        {"epoch": "x"},
    ],
)
def test_a_position_of_the_wrong_type_is_an_error(
    database: Database, clock: SetClock, redis_url: str, person: UUID, position: dict[str, object]
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            client = await opened(connect, site, person)
            client.send(type="subscribe", channel=f"notifications:{person}", **position)
            assert (await client.receive_type("error"))["data"]["code"] == "FRAME_INVALID"
            client.send(type="resume", channel=f"notifications:{person}")
            assert (await client.receive_type("error"))["data"]["code"] == "FRAME_INVALID"
            await client.nothing()

    run(scenario)


def test_unknown_types_and_channels_not_followed_are_errors(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            client = await opened(connect, site, person)
            client.send(type="dance", ref=3)
            assert (await client.receive_type("error"))["data"] == {"code": "FRAME_UNKNOWN", "ref": 3}
            client.send(type="unsubscribe", channel=f"notifications:{person}")
            assert (await client.receive_type("error"))["data"]["code"] == "SUBSCRIPTION_NOT_FOUND"

    run(scenario)


def test_it_ends_with_its_token_unless_it_is_renewed(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            session_id = uuid7()
            client = await opened(connect, site, person, session_id=session_id, expires_s=60)
            client.send(type="renew", token=site.c.tokens.issue(person, session_id=session_id, expires_s=120))
            assert (await client.receive_type("renewed"))["data"]["expires_at"] == "2026-03-01T12:02:00Z"
            clock.advance(timedelta(seconds=90))
            site.hub.tick()
            await client.nothing()
            clock.advance(timedelta(seconds=30))
            site.hub.tick()
            assert await client.closed() == 4401

    run(scenario)


@pytest.mark.parametrize("token", ["of another session", "forged", "none"])
def test_a_token_that_does_not_renew_ends_it(
    database: Database, clock: SetClock, redis_url: str, person: UUID, token: str
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            client = await opened(connect, site, person)
            given = {"of another session": site.c.tokens.issue(person), "forged": "x", "none": None}[token]
            client.send(type="renew", token=given)
            assert await client.closed() == 4401

    run(scenario)


@pytest.mark.parametrize("token", ["", "forged", "expired"])
def test_a_refusal_is_upgraded_and_closed_with_a_code(
    database: Database, clock: SetClock, redis_url: str, person: UUID, token: str
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            given = site.c.tokens.issue(person, expires_s=0) if token == "expired" else token
            client = await connect(SESSION, token=given)
            assert await client.closed() == 4401

    run(scenario)


def test_a_revoked_session_is_closed_by_the_next_tick(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            session_id = uuid7()
            client = await opened(connect, site, person, session_id=session_id)
            other = await opened(connect, site, person)
            site.c.tokens.revoked.add(session_id)
            site.hub.tick()
            assert await client.closed() == 4401
            await other.nothing()

    run(scenario)


def test_a_restart_says_when_to_come_back_and_closes_with_1012(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            client = await opened(connect, site, person)
            await site.hub.drain(5)
            told = await client.receive_type("reconnect")
            assert 0 <= told["data"]["delay_ms"] < 5000
            assert await client.closed() == 1012
            late = await connect(SESSION, token=site.c.tokens.issue(person))
            assert await late.closed() == 1012

    run(scenario)
