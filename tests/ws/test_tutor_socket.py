"""The tutor's socket: who may open it, and resuming at every position, on a real database and a real Redis."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from edurise.ai import answering, flows
from edurise.ai.permissions import Ai
from edurise.ai.service import channel_of
from edurise.ports import ChannelEvent
from tests.harness.world import Someone, World
from tests.ws.conftest import Client

pytestmark = pytest.mark.gen_test(timeout=30)
HOLDER = "a worker of the tests"


class Talk:
    """A conversation, and the worker's side of it by hand."""

    def __init__(self, world: World, owner: Someone, conversation_id: UUID) -> None:
        self.world, self.owner, self.id = world, owner, conversation_id
        self.channel = channel_of(conversation_id)
        self.epoch: UUID | None = None

    async def say(self, kind: str, **data: object) -> ChannelEvent:
        made = await self.world.c.streams.append(self.channel, kind, data)
        assert made is not None
        self.epoch = made.epoch
        return made

    async def tokens(self, first: int, count: int) -> None:
        for number in range(first, first + count):
            await self.say("token", question_id=None, text=f"{number} ")

    async def begun(self, text: str) -> UUID:
        """Ask, claim and begin to answer; returns the question's id."""
        _, asked = await flows.ask(self.world.c, self.owner.principal, self.id, text)
        claimed = await self.world.c.db.system(answering.claim, HOLDER, 100)
        (mine,) = [one for one in claimed if one.question_id == asked["id"]]
        started = await self.say("answer_started", question_id=asked["id"], message=asked["message"])
        position = (started.offset - 1, started.epoch)
        who = answering.principal(mine)
        assert await self.world.c.db.run(who, answering.begin, mine.question_id, HOLDER, position, "model", "provider")
        return mine.question_id


async def talk(world: World) -> Talk:
    owner = world.person()
    made = await flows.create(world.c, owner.principal.needing(Ai.MINE), {})
    return Talk(world, owner, made["id"])


@asynccontextmanager
async def opened(world: World, who: Someone, conversation_id: object, **query: object) -> AsyncIterator[Client]:
    told = "&".join(f"{name}={value}" for name, value in {"token": who.access, **query}.items())
    url = f"{world.base_url.replace('http', 'ws', 1)}/ws/ai/{conversation_id}/?{told}"
    client = Client(await websocket_connect(HTTPRequest(url)))
    try:
        yield client
    finally:
        client.close()
        client.drop()


async def greeted(client: Client) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what runs, the position) of the greeting."""
    return (await client.receive_type("connection_established"))["data"], await client.receive_type("subscribed")


async def said(client: Client, count: int) -> list[str]:
    return [(await client.receive_type("token"))["data"]["text"].strip() for _ in range(count)]


async def test_a_question_is_asked_stored_and_answered_on_the_socket(world: World) -> None:
    one = await talk(world)
    async with opened(world, one.owner, one.id) as client:
        greeting, stands = await greeted(client)
        assert (greeting["running"], stands["offset"], stands["recovered"]) == (None, 0, True)
        client.send(type="ask", id="q-1", message="What is a swell?")
        asked = await client.receive_type("asked")
        assert (asked["data"]["id"], asked["data"]["is_new"]) == ("q-1", True)
        assert asked["data"]["question"]["state"] == "waiting"
        client.send(type="ask", id="q-1", message="What is a swell?")
        again = await client.receive_type("asked")
        assert (again["data"]["is_new"], again["data"]["question"]["id"]) == (False, asked["data"]["question"]["id"])
        client.send(type="ask", id="q-2", message="Something else", ref=7)
        refused = await client.receive_type("error")
        assert (refused["data"]["code"], refused["data"]["ref"]) == ("ANSWER_RUNNING", 7)
        await one.tokens(1, 3)
        assert await said(client, 3) == ["1", "2", "3"]


@pytest.mark.parametrize("after", range(7))
async def test_resuming_at_every_position_gives_exactly_what_was_missed(world: World, after: int) -> None:
    one = await talk(world)
    await one.tokens(1, 6)
    async with opened(world, one.owner, one.id, offset=after, epoch=one.epoch) as client:
        _, stands = await greeted(client)
        assert (stands["recovered"], stands["offset"]) == (True, after)
        await one.tokens(7, 2)
        assert await said(client, 8 - after) == [str(number) for number in range(after + 1, 9)]
        client.send(type="resume", offset=after, epoch=str(one.epoch))
        assert (await client.receive_type("subscribed"))["recovered"] is True
        assert await said(client, 8 - after) == [str(number) for number in range(after + 1, 9)]


async def test_without_a_position_one_begins_before_the_first_token_of_what_runs(world: World) -> None:
    one = await talk(world)
    await one.tokens(1, 5)  # of an answer that is over
    question_id = await one.begun("What is a swell?")
    await one.tokens(6, 4)
    async with opened(world, one.owner, one.id) as client:
        greeting, stands = await greeted(client)
        assert (greeting["running"]["question_id"], greeting["running"]["state"]) == (str(question_id), "streaming")
        assert (stands["recovered"], stands["offset"]) == (True, 5)
        await client.receive_type("answer_started")
        assert await said(client, 4) == ["6", "7", "8", "9"]


@pytest.mark.parametrize("position", ["past the head", "new epoch", "trimmed", "forgotten"])
async def test_a_position_that_does_not_continue_is_told_to_reload(world: World, position: str) -> None:
    one = await talk(world)
    await one.tokens(1, 6)
    epoch, offset = one.epoch, 3
    stream, numbering = world.c.streams._keys(one.channel)
    if position == "past the head":
        offset = 7
    elif position == "new epoch":
        epoch = uuid4()
    elif position == "trimmed":
        await world.c.streams._redis.xtrim(stream, maxlen=2, approximate=False)
    else:
        await world.c.streams._redis.delete(stream, numbering)
    async with opened(world, one.owner, one.id, offset=offset, epoch=epoch) as client:
        _, stands = await greeted(client)
        # Of another numbering everything is told that it holds; of this one, what follows from here.
        start = 0 if position in ("forgotten", "new epoch") else 6
        assert (stands["recovered"], stands["offset"]) == (False, start)
        await one.tokens(7, 1)
        held = range(1, 8) if position == "new epoch" else [7]
        assert await said(client, len(held)) == [str(number) for number in held]


async def test_an_open_socket_is_told_of_a_new_numbering_and_goes_on(world: World) -> None:
    one = await talk(world)
    await one.tokens(1, 3)
    async with opened(world, one.owner, one.id, offset=0, epoch=one.epoch) as client:
        await greeted(client)
        assert await said(client, 3) == ["1", "2", "3"]
        renewed = await world.c.streams.append(one.channel, "token", {"text": "all ", "replace": True}, renew=True)
        assert renewed is not None
        again = await world.c.streams.append(one.channel, "token", {"text": "more "}, epoch=renewed.epoch)
        assert again is not None
        await world.hub.reconcile()
        told = await client.receive_type("subscribed")
        assert (told["recovered"], told["epoch"], told["offset"]) == (False, str(renewed.epoch), 0)
        frames = [await client.receive_type("token") for _ in range(2)]
        assert [(one["data"]["text"], one["offset"]) for one in frames] == [("all ", 1), ("more ", 2)]


async def test_a_question_that_nobody_took_is_stopped_at_once_for_every_socket(world: World) -> None:
    one = await talk(world)
    async with opened(world, one.owner, one.id) as asking, opened(world, one.owner, one.id) as watching:
        await greeted(asking)
        await greeted(watching)
        asking.send(type="stop", ref="early")
        refused = await asking.receive_type("error")
        assert (refused["data"]["code"], refused["data"]["ref"]) == ("ANSWER_NOT_RUNNING", "early")
        asking.send(type="ask", message="What is a swell?")
        asked = (await asking.receive_type("asked"))["data"]["question"]
        watching.send(type="stop")
        for client, kinds in ((asking, {"done"}), (watching, {"stopping", "done"})):
            frames = [await client.receive() for _ in kinds]
            assert {frame["type"] for frame in frames if frame} == kinds
            (done,) = [frame for frame in frames if frame and frame["type"] == "done"]
            assert (done["data"]["question_id"], done["data"]["state"]) == (asked["id"], "stopped")
    claimed = await world.c.db.system(answering.claim, HOLDER, 100)
    assert asked["id"] not in [str(claim.question_id) for claim in claimed]


async def test_nobody_else_opens_it_and_nothing_is_asked_there(world: World) -> None:
    one = await talk(world)
    # Who administers may know that there is a conversation, and not what is said in it.
    strangers = {4404: [world.person(), world.person("teacher")]}
    strangers[4403] = [world.person("admin"), world.person(platform=True)]
    for code, people in strangers.items():
        for stranger in people:
            async with opened(world, stranger, one.id) as client:
                assert await client.closed() == code
    for nothing in (uuid4(), "undefined", "1"):
        async with opened(world, one.owner, nothing) as client:
            assert await client.closed() == 4404


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ({"type": "ask"}, "VALIDATION_ERROR"),
        ({"type": "ask", "message": ""}, "VALIDATION_ERROR"),
        ({"type": "ask", "message": "\x00"}, "VALIDATION_ERROR"),
        ({"type": "ask", "message": ["a"]}, "VALIDATION_ERROR"),
        ({"type": "ask", "message": "x" * 20_000}, "VALIDATION_ERROR"),
        ({"type": "ask", "message": "Why?", "id": {"a": 1}}, "FRAME_INVALID"),
        ({"type": "ask", "message": "Why?", "id": "y" * 65}, "FRAME_INVALID"),
        ({"type": "resume"}, "FRAME_INVALID"),
        ({"type": "resume", "offset": -1}, "FRAME_INVALID"),
        ({"type": "resume", "offset": 1, "epoch": "no"}, "FRAME_INVALID"),
        ({"type": "token", "text": "forged"}, "FRAME_UNKNOWN"),
        ({"type": "done"}, "FRAME_UNKNOWN"),
    ],
)
async def test_what_cannot_be_read_changes_nothing(world: World, frame: dict[str, Any], code: str) -> None:
    one = await talk(world)
    async with opened(world, one.owner, one.id) as client:
        await greeted(client)
        client.connection.write_message(json.dumps(frame))
        assert (await client.receive_type("error"))["data"]["code"] == code
        await client.nothing()
    listed = await world.of(one.owner).get(f"/api/v1/ai-conversations/{one.id}/messages/")
    assert listed.data == []


async def test_a_flood_of_questions_ends_the_socket(world: World) -> None:
    one = await talk(world)
    async with opened(world, one.owner, one.id) as client:
        await greeted(client)
        for _ in range(100):
            client.send(type="ask", message="What is a swell?")
        assert await client.closed() == 4429
    listed = await world.of(one.owner).get(f"/api/v1/ai-conversations/{one.id}/messages/")
    assert len(listed.data) <= 1


async def test_a_newer_token_is_taken_and_anothers_is_not(world: World) -> None:
    one, other = await talk(world), world.person()
    async with opened(world, one.owner, one.id) as client:
        await greeted(client)
        client.send(type="renew", token=one.owner.access)
        await client.receive_type("renewed")
        client.send(type="renew", token=other.access)
        assert await client.closed() == 4401


async def test_a_token_in_the_middle_of_joining_is_neither_lost_nor_doubled(world: World) -> None:
    one = await talk(world)
    await one.tokens(1, 2)

    async def speak() -> None:
        await one.tokens(3, 60)

    speaking = asyncio.create_task(speak())
    async with opened(world, one.owner, one.id, offset=0, epoch=one.epoch) as client:
        await greeted(client)
        assert await said(client, 62) == [str(number) for number in range(1, 63)]
    await speaking
