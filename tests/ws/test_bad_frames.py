"""What must not come in: each gets the documented close, and the process goes on."""

from __future__ import annotations

import json
from uuid import UUID

import pytest

from edurise.adapters.clock import SetClock
from edurise.db import Database
from handlers.ws.base import exceeds, parse
from tests.ws.conftest import clients_of, run, running_site

DOOR, SESSION = "/ws/notifications/", "/ws/session/"
DEEP = "[" * 100_000

BAD = {
    "not json": "hello",
    "empty": "",
    "array": "[]",
    "number": "10",
    "null": "null",
    "no type": "{}",
    "type is no string": '{"type": 1}',
    "lone surrogate": '{"type": "\\ud800"}',
    "nan": '{"type": "x", "n": NaN}',
    "deep": '{"type": "x", "a": ' + "[" * 30_000 + "]" * 30_000 + "}",
    "truncated": '{"type": "ping"',
    "two": '{"type":"ping"}{"type":"ping"}',
    "ref": '{"type": "subscribe", "ref": {"a": 1}}',
    "long ref": json.dumps({"type": "subscribe", "ref": "x" * 65}),
}


@pytest.mark.parametrize("path", [DOOR, SESSION])
@pytest.mark.parametrize("name", BAD)
def test_what_is_no_frame_closes_with_4400(
    database: Database, clock: SetClock, redis_url: str, person: UUID, path: str, name: str
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            client = await connect(path, token=site.c.tokens.issue(person))
            client.connection.write_message(BAD[name])
            assert await client.closed() == 4400

    run(scenario)


@pytest.mark.parametrize("path", [DOOR, SESSION])
def test_a_binary_frame_closes_with_4400(
    database: Database, clock: SetClock, redis_url: str, person: UUID, path: str
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            client = await connect(path, token=site.c.tokens.issue(person))
            client.connection.write_message(b'{"type": "ping"}', binary=True)
            assert await client.closed() == 4400

    run(scenario)


@pytest.mark.parametrize(("size", "code"), [(65_536, None), (65_537, 4413), (200_000, 4413)])
def test_a_frame_over_the_limit_closes_with_4413(
    database: Database, clock: SetClock, redis_url: str, person: UUID, size: int, code: int | None
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            client = await connect(SESSION, token=site.c.tokens.issue(person))
            await client.receive_type("connection_established")
            frame = json.dumps({"type": "ping", "pad": ""})
            client.connection.write_message(frame[:-2] + "x" * (size - len(frame)) + '"}')
            if code is None:
                await client.receive_type("pong")
            else:
                assert await client.closed() == code

    run(scenario)


def test_a_frame_far_over_the_limit_is_not_read(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            client = await connect(SESSION, token=site.c.tokens.issue(person))
            await client.receive_type("connection_established")
            client.connection.write_message("x" * 3_000_000)
            assert await client.closed() in (1009, None)
            await site.until(lambda: len(site.hub.crowd) == 0)

    run(scenario)


@pytest.mark.parametrize("path", [DOOR, SESSION])
def test_too_many_frames_a_second_close_with_4429(
    database: Database, clock: SetClock, redis_url: str, person: UUID, path: str
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url, EDU_FRAMES_PER_S="5") as site, clients_of(site) as connect:
            client = await connect(path, token=site.c.tokens.issue(person))
            for _ in range(50):
                client.send(type="ping")
            assert await client.closed() == 4429

    run(scenario)


def test_frames_within_the_rate_are_all_answered(
    database: Database, clock: SetClock, redis_url: str, person: UUID
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            client = await connect(SESSION, token=site.c.tokens.issue(person))
            await client.receive_type("connection_established")
            for _ in range(20):
                client.send(type="ping")
            for _ in range(20):
                await client.receive_type("pong")

    run(scenario)


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "subscribe"},
        {"type": "subscribe", "channel": "notifications:\x00"},
        {"type": "subscribe", "channel": "x" * 10_000},
        {"type": "subscribe", "channel": {"a": []}},
        {"type": "unsubscribe", "channel": ["a"]},
        {"type": "\x00"},
        {"type": "__init__"},
        {"type": "opened"},
    ],
)
def test_a_frame_of_the_right_form_and_wrong_content_is_answered_and_the_socket_lives(
    database: Database, clock: SetClock, redis_url: str, person: UUID, frame: dict[str, object]
) -> None:
    async def scenario() -> None:
        async with running_site(database, clock, redis_url) as site, clients_of(site) as connect:
            client = await connect(SESSION, token=site.c.tokens.issue(person))
            await client.receive_type("connection_established")
            client.send(**frame)
            assert (await client.receive_type("error"))["data"]["code"] in ("CHANNEL_NOT_FOUND", "FRAME_UNKNOWN")
            await client.nothing()

    run(scenario)


def test_what_cannot_be_parsed_is_none_and_never_raises() -> None:
    assert parse('{"type": "a"}') == {"type": "a"}
    for text in (*BAD.values(), DEEP):
        found = parse(text)
        assert found is None or "ref" in found


@pytest.mark.parametrize(
    ("message", "over"),
    [("x" * 8, False), ("x" * 9, True), ("é" * 4, False), ("é" * 5, True), (b"x" * 9, True), ("💥" * 3, True)],
)
def test_the_limit_counts_bytes(message: str | bytes, over: bool) -> None:
    assert exceeds(message, 8) is over
