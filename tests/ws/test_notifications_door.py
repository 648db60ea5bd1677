"""The contract's door: greeting, count, notifications, flat twins, and how it ends."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text
from uuid_utils.compat import uuid7

from edurise import channels
from edurise.adapters.clock import SetClock
from edurise.authz import Principal
from edurise.db import Database
from edurise.notifications import service
from edurise.notifications.service import channel_of
from tests.ws.conftest import MAIN, NOON, clients_of, make_person, run, running_site

DOOR = "/ws/notifications/"


def test_it_greets_counts_and_passes_on(database: Database, clock: SetClock, redis_url: str, person: UUID) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            client = await connect(DOOR, token=site.c.tokens.issue(person), tenant=MAIN)
            greeting = await client.receive_type("connection_established")
            assert greeting["user_id"] == greeting["data"]["user_id"] == str(person)
            assert greeting["tenant_id"] == str(MAIN)
            assert (greeting["offset"], greeting["epoch"], greeting["recovered"]) == (0, None, False)
            count = await client.receive_type("unread_count")
            assert count["data"] == {"count": 0}
            assert count["count"] == 0
            await site.tell(person, 7)
            frame = await client.receive_type("notification")
            assert frame["data"] == {"notification": {"n": 7}}
            assert frame["notification"] == {"n": 7}
            assert frame["channel"] == channel_of(person)
            assert frame["offset"] == 1
            assert UUID(frame["epoch"])
            assert frame["timestamp"] == "2026-03-01T12:00:00Z"

    run(scenario)


def test_a_real_notification_arrives_once_and_the_next_count_holds_it(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            token = site.c.tokens.issue(person)
            client = await connect(DOOR, token=token)
            await client.receive_type("connection_established")
            await client.receive_type("unread_count")
            actor = Principal(user_id=person, wanted=MAIN, service=True)
            source = uuid7()
            for _ in range(2):
                await database.run(actor, service.notify, person, "welcome", source, {"name": "A"}, {})
            shown = (await client.receive_type("notification"))["notification"]
            assert (shown["type"], shown["is_read"], shown["created_at"]) == ("welcome", False, "2026-03-01T12:00:00Z")
            await client.nothing()
            again = await connect(DOOR, token=token)
            assert (await again.receive_type("connection_established"))["offset"] == 1
            assert (await again.receive_type("unread_count"))["count"] == 1

    run(scenario)


def test_a_ping_is_answered_with_its_timestamp(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            client = await connect(DOOR, token=site.c.tokens.issue(person))
            client.send(type="ping", data={"timestamp": 17}, timestamp="2026-03-01T12:00:00Z")
            frames = [await client.receive() for _ in range(3)]
            pong = next(frame for frame in frames if frame and frame["type"] == "pong")
            assert pong["data"] == {"timestamp": 17}

    run(scenario)


def test_nobody_hears_of_another(database: Database, clock: SetClock, redis_url: str, person: UUID) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            client = await connect(DOOR, token=site.c.tokens.issue(another_person(database)))
            await client.receive_type("connection_established")
            await client.receive_type("unread_count")
            await site.tell(person, 1)
            await site.reconciled()
            await client.nothing()

    run(scenario)


def another_person(database: Database) -> UUID:
    found: UUID = database.system_sync(make_person)
    return found


@pytest.mark.parametrize("token", ["", "forged", "%F0%9F%92%A9", "%FF", "%00"])
def test_a_bad_token_is_closed_cleanly(database: Database, clock: SetClock, redis_url: str, token: str) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            client = await connect(DOOR, token=token)
            assert await client.closed() == 4401
            assert len(site.hub.crowd) == site.hub.topics == 0

    run(scenario)


def test_a_person_who_was_deactivated_is_refused(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    database.system_sync(deactivate, person)

    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            client = await connect(DOOR, token=site.c.tokens.issue(person))
            assert await client.closed() == 4401

    run(scenario)


def deactivate(session: object, person: UUID) -> None:
    session.execute(text("UPDATE people SET is_active = false WHERE id = :id"), {"id": person})


def test_nonsense_beside_a_good_token_is_as_if_absent(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            nonsense = {"tenant": "%FF", "offset": "%FF", "epoch": "%00", "token": site.c.tokens.issue(person)}
            client = await connect(DOOR, **nonsense)
            assert (await client.receive_type("connection_established"))["tenant_id"] == str(MAIN)

    run(scenario)


@pytest.mark.parametrize(
    ("origin", "code"),
    [("https://evil.example", 4403), ("http://localhost:3000", None), (None, None)],
)
def test_only_known_pages_get_in(
    database: Database, clock: SetClock, redis_url: str, person: UUID, origin: str | None, code: int | None
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            headers = {"Origin": origin} if origin else {}
            client = await connect(DOOR, headers=headers, token=site.c.tokens.issue(person))
            if code is None:
                await client.receive_type("connection_established")
            else:
                assert await client.closed() == code

    run(scenario)


def test_a_door_outlives_its_token_while_the_session_lives(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            session_id = uuid7()
            client = await connect(DOOR, token=site.c.tokens.issue(person, session_id=session_id, expires_s=60))
            await client.receive_type("connection_established")
            await client.receive_type("unread_count")
            clock.advance(timedelta(hours=1))
            site.hub.tick()
            await client.nothing()
            site.c.tokens.revoked.add(session_id)
            site.hub.sweep()
            assert await client.closed() == 4401

    run(scenario)


@pytest.mark.parametrize(
    ("age_h", "revoked", "expected"), [(1, False, None), (23, False, None), (25, False, 4401), (1, True, 4401)]
)
def test_an_expired_token_opens_a_door_for_a_day_if_its_session_lives(
    database: Database, clock: SetClock, redis_url: str, person: UUID, age_h: int, revoked: bool, expected: int | None
) -> None:
    session_id = uuid7()
    database.system_sync(add_session, person, session_id, revoked)

    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            token = site.c.tokens.issue(person, session_id=session_id, expires_s=0)
            clock.advance(timedelta(hours=age_h))
            client = await connect(DOOR, token=token)
            if expected is None:
                await client.receive_type("connection_established")
            else:
                assert await client.closed() == expected

    run(scenario)


def test_an_expired_token_of_an_unknown_session_is_refused(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            client = await connect(DOOR, token=site.c.tokens.issue(person, expires_s=0))
            assert await client.closed() == 4401

    run(scenario)


def add_session(session: object, person: UUID, session_id: UUID, revoked: bool) -> None:
    session.execute(
        text(
            "INSERT INTO sessions (id, person_id, expires_at, revoked_at)"
            " VALUES (:id, :person, :until, CASE WHEN :revoked THEN CAST(:at AS timestamptz) END)"
        ),
        {"id": session_id, "person": person, "until": NOON + timedelta(days=30), "revoked": revoked, "at": NOON},
    )


def test_a_restart_drops_a_door_without_a_close_frame(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            client = await connect(DOOR, token=site.c.tokens.issue(person))
            await client.receive_type("connection_established")
            await site.hub.drain(5)
            assert await client.closed() is None
            late = await connect(DOOR, token=site.c.tokens.issue(person))
            assert await late.closed() is None
            assert site.hub.topics == 0

    run(scenario)


def test_a_silent_socket_is_dropped_and_one_that_answers_pings_is_not(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            client = await connect(DOOR, token=site.c.tokens.issue(person))
            await client.receive_type("connection_established")
            await client.receive_type("unread_count")
            peer = next(iter(site.hub.crowd))
            for _ in range(25):
                site.hub.crowd.ping()
            await site.until(lambda: peer.heard)  # the client's library answered
            peer.heard = False
            for _ in range(25):
                site.hub.crowd.ping()
            assert site.hub.crowd.silent == 1
            assert await client.closed() is None

    run(scenario)


def test_the_count_is_that_of_the_position(database: Database, clock: SetClock, person: UUID) -> None:
    """A commit between the two reads makes both be read again."""
    who = Principal(user_id=person, wanted=MAIN)
    rounds: list[int] = []

    def state(_session: object, _who: Principal) -> int:
        rounds.append(len(rounds))
        if len(rounds) == 1:
            database.run_sync(Principal(wanted=MAIN, service=True), told, person)
        return len(rounds)

    def told(session: object, entered: Principal, person_id: UUID) -> None:
        channels.append(session, channel_of(person_id), "notification", {}, entered.tenant)

    found, count = database.run_sync(who, channels.opening, channel_of(person), None, None, state)
    assert (found.head, count) == (1, 2)
