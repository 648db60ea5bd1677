"""Conversations over HTTP: begun, listed, read, asked in; an answer within the time there is, or what there is of it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from edurise.ai import answering, flows, service
from edurise.ai.ports import Usage
from edurise.errors import Overloaded
from tests.harness.client import Answer, Client
from tests.harness.counting import statements
from tests.harness.talks import Talk, stand
from tests.harness.waiting import eventually
from tests.harness.world import Someone, World
from tests.harness.worlds import another

API = "/api/v1/ai-conversations/"


def client_of(talk: Talk) -> Client:
    return talk.world.of(talk.person)


async def send(talk: Talk, message: str = "Why?", **headers: str) -> Answer:
    return await client_of(talk).post(f"{API}{talk.id}/send_message/", {"message": message}, **headers)


@pytest.fixture
def talk(world: World) -> Talk:
    return Talk(world, world.person())


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits twelve seconds here."""
    monkeypatch.setattr(flows, "PATIENCE_S", 0.2)


class Lesson:
    """A course of a school and somebody who may open it."""

    def __init__(self, world: World, **values: Any) -> None:
        self.teacher: Someone = world.person("teacher", world.organization())
        self.course: UUID = world.course(self.teacher, **values)["id"]
        self.learner = world.person()
        stand(world, self.teacher.tenant_id, self.course, self.learner.id)


# -- beginning ---------------------------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_anybody_with_an_account_begins_a_conversation(world: World) -> None:
    person = world.person()
    client = world.of(person)
    made = await client.post(API, {"context": {"source": "landing_widget", "user_agent": "x"}})
    assert made.status == 201
    assert made.data == {
        "id": made.data["id"],
        "title": "",
        "conversation_type": "tutor",
        "context": {"source": "landing_widget", "user_agent": "x"},
        "course": None,
        "is_active": True,
        "message_count": 0,
        **{name: made.data[name] for name in ("last_activity", "created_at", "updated_at")},
    }
    found = await client.get(f"{API}{made.data['id']}/")
    assert found.data == made.data
    assert (await client.get(f"{API}{made.data['id']}/messages/")).data == []
    assert (await world.anonymous.post(API, {})).status == 401


@pytest.mark.gen_test
@pytest.mark.parametrize("field", ["course", "context"])
async def test_about_a_course_only_for_who_may_open_it(world: World, field: str) -> None:
    here = Lesson(world)
    draft = world.course(here.teacher, is_public=False)["id"]

    def about(course: UUID) -> dict[str, Any]:
        return {"course": str(course)} if field == "course" else {"context": {"course_id": str(course), "page": "x"}}

    for person in (here.learner, here.teacher, world.person("admin", here.teacher.tenant_id)):
        made = await world.of(person).post(API, about(here.course))
        assert (made.status, made.data["course"]) == (201, str(here.course))
    for person in (world.person(), world.person(tenant_id=here.teacher.tenant_id), world.person("teacher")):
        assert (await world.of(person).post(API, about(here.course))).status == 403
        assert (await world.of(person).post(API, about(draft))).status == 404
        assert (await world.of(person).post(API, about(uuid4()))).status == 404
        assert (await world.of(person).get(API)).data == []
    assert (await world.anonymous.post(API, about(here.course))).status == 401


@pytest.mark.gen_test
async def test_what_names_no_course_is_refused_or_none(world: World) -> None:
    client = world.of(world.person())
    for context in ({"course_id": None}, {"course_id": ""}, {}):
        assert (await client.post(API, {"context": context, "course": None})).data["course"] is None
    for wrong in ("x", 7, ["x"], {"id": "x"}, True):
        refused = await client.post(API, {"context": {"course_id": wrong}})
        assert (refused.status, list(refused.body["errors"])) == (400, ["context.course_id"])
    for body in ({"conversation_type": "x"}, {"context": []}, {"course": "x"}, {"title": "x" * 201}, {"user": "x"}):
        assert (await client.post(API, body)).status == 400, body


@pytest.mark.gen_test
async def test_the_course_counts_and_not_what_the_context_names(world: World) -> None:
    here, other = Lesson(world), Lesson(world)
    body = {"course": str(here.course), "context": {"course_id": str(other.course)}}
    made = await world.of(here.learner).post(API, body)
    assert (made.status, made.data["course"]) == (201, str(here.course))
    assert made.data["context"] == {"course_id": str(other.course)}, "kept as it came, and never read"


# -- reading -----------------------------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_the_list_is_a_bare_array_by_activity_and_a_page_where_one_is_asked_for(world: World) -> None:
    person = world.person()
    client = world.of(person)
    talks = []
    for _ in range(3):
        talks.append(Talk(world, person))
        world.clock.advance(timedelta(seconds=1))
    talks[0].ask()
    listed = (await client.get(API)).data
    assert [row["id"] for row in listed] == [str(talks[number].id) for number in (0, 2, 1)]
    page = (await client.get(f"{API}?page=1&page_size=2")).data
    assert (page["count"], [row["id"] for row in page["results"]]) == (3, [row["id"] for row in listed[:2]])
    assert "page=2" in page["next"]
    oldest = (await client.get(f"{API}?ordering=last_activity")).data
    assert oldest == listed[::-1]


@pytest.mark.gen_test
async def test_a_list_costs_the_same_whatever_its_length(world: World) -> None:
    one, many = world.person(), world.person()
    Talk(world, one).answered()
    for _ in range(5):
        talk = Talk(world, many)
        for _ in range(3):
            talk.answered()
    counts = []
    for person in (one, many):
        with statements(world) as sent:
            listed = (await world.of(person).get(API)).data
            await world.of(person).get(f"{API}{listed[0]['id']}/messages/")
        counts.append(len(sent))
    assert counts[0] == counts[1] <= 6


@pytest.mark.gen_test
async def test_messages_are_a_bare_array_oldest_first(talk: Talk) -> None:
    talk.answered("One?", "One.")
    talk.answered("Two?", "Two.")
    found = (await client_of(talk).get(f"{API}{talk.id}/messages/")).data
    assert [(row["role"], row["content"]) for row in found] == [
        ("user", "One?"),
        ("assistant", "One."),
        ("user", "Two?"),
        ("assistant", "Two."),
    ]
    assert {row["state"] for row in found} == {"complete"}


@pytest.mark.gen_test
async def test_nobody_else_reads_or_asks(world: World) -> None:
    here = Lesson(world)
    talk = Talk(world, here.learner, here.course)
    talk.answered()
    at = here.teacher.tenant_id
    for other in (here.teacher, world.person("admin", at), world.person(platform=True), world.person()):
        client = world.of(other, X_Tenant_ID=str(other.tenant_id))
        for answer in (
            await client.get(f"{API}{talk.id}/"),
            await client.get(f"{API}{talk.id}/messages/"),
            await client.post(f"{API}{talk.id}/send_message/", {"message": "Why?"}),
        ):
            assert answer.status in (403, 404)
            assert b"Because" not in answer.content
        assert (await client.get(API)).data == []
    assert len(talk.messages()) == 2


# -- asking ------------------------------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_a_question_is_answered_as_soon_as_the_answer_ends(talk: Talk) -> None:
    answer, question = await asyncio.gather(send(talk), talk.answer_soon("Because.", usage=Usage(10, 5)))
    assert (answer.status, answer.data["success"], answer.data["ai_response"]) == (200, True, "Because.")
    messages = talk.messages()
    assert answer.data["metadata"] == {
        "conversation_id": str(talk.id),
        "question_id": str(question),
        "user_message_id": str(messages[0]["id"]),
        "ai_message_id": str(messages[1]["id"]),
        "state": "done",
        "tokens_used": 15,
        "response_time_ms": messages[1]["response_time_ms"],
        "remaining_quota": 99,
    }


@pytest.mark.gen_test
async def test_an_end_that_was_not_heard_is_found_in_the_database(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis may be away: then the answer comes with the next look."""
    monkeypatch.setattr(flows, "_LOOK_S", 0.05)
    asked = asyncio.ensure_future(send(talk))
    claimed = await eventually(talk.taken, "a question")
    talk.finish(claimed)
    assert (await asked).data["ai_response"] == "Because."


@pytest.mark.gen_test
async def test_after_the_patience_there_is_what_there_is(talk: Talk, hasty: None) -> None:
    nothing = await send(talk)
    assert nothing.status == 200
    assert (nothing.data["ai_response"], nothing.data["metadata"]["state"]) == ("", "waiting")
    assert (nothing.data["metadata"]["ai_message_id"], nothing.data["metadata"]["tokens_used"]) == (None, None)
    claimed = talk.claim()
    channel, told = service.channel_of(talk.id), {"question_id": str(claimed.question_id)}
    begun = await talk.world.c.streams.append(channel, "answer_started", told)
    assert begun is not None
    talk.begin(claimed, position=(begun.offset, begun.epoch))
    await talk.world.c.streams.append(channel, "token", told | {"text": "Be"})
    await talk.world.c.streams.append(channel, "token", {"question_id": str(uuid4()), "text": "another's"})
    await talk.world.c.streams.append(channel, "token", told | {"text": "cau"})
    some = await send(talk)
    assert (some.data["ai_response"], some.data["metadata"]["state"]) == ("Becau", "streaming")
    assert some.data["metadata"]["question_id"] == nothing.data["metadata"]["question_id"]
    await talk.world.c.streams.append(channel, "token", told | {"text": "Because", "replace": True}, renew=True)
    assert (await send(talk)).data["ai_response"] == "Because"
    talk.finish(claimed, "Because.")
    later = await send(talk, "And?")
    assert later.data["metadata"]["state"] == "waiting"


@pytest.mark.gen_test
async def test_without_the_channel_there_is_what_was_stored_last(
    talk: Talk, hasty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk.ask()
    claimed = talk.claim()
    talk.begin(claimed)
    talk.world.c.db.system_sync(answering.beat, "worker", {claimed.question_id: "Beca"})

    async def away(*_: object) -> None:
        raise Overloaded("STREAMS_UNAVAILABLE")

    assert (await send(talk)).data["ai_response"] == "Beca", "its position is of a numbering that is gone"
    monkeypatch.setattr(talk.world.c.streams, "read", away)
    assert (await send(talk)).data["ai_response"] == "Beca"


@pytest.mark.gen_test
async def test_a_repeat_gets_the_answer_that_runs(talk: Talk) -> None:
    first, again, _ = await asyncio.gather(send(talk), send(talk), talk.answer_soon())
    assert first.data == again.data
    assert [row["role"] for row in talk.messages()] == ["user", "assistant"]


@pytest.mark.gen_test
async def test_an_idempotency_key_finds_its_answer_later(talk: Talk) -> None:
    first, _ = await asyncio.gather(send(talk, Idempotency_Key="k"), talk.answer_soon())
    again = await send(talk, **{"Idempotency-Key": "k"})
    assert again.data == first.data
    refused = await send(talk, "How?", **{"Idempotency-Key": "k"})
    assert (refused.status, refused.code) == (409, "IDEMPOTENCY_KEY_REUSED")
    assert len(talk.messages()) == 2


@pytest.mark.gen_test
async def test_another_question_meanwhile_is_a_conflict(talk: Talk) -> None:
    talk.ask("Why?")
    refused = await send(talk, "How?")
    assert (refused.status, refused.code) == (409, "ANSWER_RUNNING")
    assert refused.body["message"]


@pytest.mark.gen_test
async def test_a_provider_that_fails_is_424_and_never_5xx(talk: Talk) -> None:
    failed, _ = await asyncio.gather(send(talk), talk.answer_soon("", "failed", code="AI_SERVICE_UNAVAILABLE"))
    assert (failed.status, failed.code) == (424, "AI_SERVICE_UNAVAILABLE")
    assert failed.body["message"]


@pytest.mark.gen_test
@pytest.mark.parametrize("state", ["interrupted", "stopped"])
async def test_an_answer_that_ended_early_is_what_was_delivered(talk: Talk, state: Any) -> None:
    answer, _ = await asyncio.gather(send(talk), talk.answer_soon("Beca", state))
    assert (answer.status, answer.data["ai_response"], answer.data["metadata"]["state"]) == (200, "Beca", state)
    assert talk.messages()[-1]["state"] == state


@pytest.mark.gen_test
async def test_the_quota_is_429_with_the_time_to_come_back(world: World, database: Any) -> None:
    async with another(world, database, ai_questions_per_day=1) as strict:
        talk = Talk(strict, world.person())
        answer, _ = await asyncio.gather(send(talk), talk.answer_soon())
        assert answer.data["metadata"]["remaining_quota"] == 0
        refused = await send(talk, "How?")
        assert (refused.status, refused.code) == (429, "AI_QUOTA_EXCEEDED")
        assert int(refused.headers["Retry-After"]) > 23 * 3600
        assert "1 question" in refused.body["message"]


@pytest.mark.gen_test
async def test_who_may_not_open_the_course_any_more_is_told_so(world: World) -> None:
    here = Lesson(world)
    talk = Talk(world, here.learner, here.course)
    stand(world, here.teacher.tenant_id, here.course, here.learner.id, ended=True)
    refused = await send(talk)
    assert (refused.status, refused.code) == (403, "COURSE_ACCESS_ERROR")


@pytest.mark.gen_test
async def test_what_is_no_question_is_refused(talk: Talk) -> None:
    client = client_of(talk)
    path = f"{API}{talk.id}/send_message/"
    bodies: list[Any] = [{}, {"message": ""}, {"message": " \n "}, {"message": "x" * 4001}, {"message": "a\x00b"}]
    for body in [*bodies, {"message": None}, {"message": 7}, {"message": "x", "role": "system"}]:
        assert (await client.post(path, body)).status == 400, body
    assert (await client.get(path)).status == 405
    assert talk.messages() == []


@pytest.mark.gen_test
async def test_the_context_of_a_question_is_accepted_and_changes_nothing(world: World, hasty: None) -> None:
    other = Lesson(world)
    talk = Talk(world, world.person())
    body = {"message": "Why?", "context": {"course_id": str(other.course), "page": "x"}}
    assert (await client_of(talk).post(f"{API}{talk.id}/send_message/", body)).status == 200
    assert talk.view()["course"] is None
    assert talk.brief(talk.claim()).passages == ()
