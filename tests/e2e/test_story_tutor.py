"""The story goes on: the student asks the tutor about the course, and the answer survives the web that relayed it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from tests.e2e.story import People, Purchase, Taught
from tests.harness.books import Books
from tests.harness.client import Answer
from tests.harness.listener import Listener
from tests.harness.processes import Stack
from tests.harness.waiting import eventually

pytestmark = [pytest.mark.e2e]

TOKENS = 120


def plan(question: str, **what: object) -> str:
    """A question that tells the simulated provider how to answer it."""
    return f"{question} [[sim {json.dumps(what)}]]"


def heard(listener: Listener, question_id: str) -> str:
    """The text of an answer as it arrived, token by token."""
    said = ""
    for data in listener.of_type("token"):
        if data["question_id"] == question_id:
            said = ("" if data.get("replace") else said) + data["text"]
    return said


@dataclass
class Asked:
    """An answer whose relaying web was killed in the middle."""

    conversation: Answer
    strangers: list[Answer]
    question_id: str
    listener: Listener
    messages: list[dict[str, Any]]


@pytest.fixture(scope="module")
def asked(stack: Stack, people: People, taught: Taught, purchase: Purchase, io_loop: IOLoop) -> Asked:
    """The student asks; the web at the other end of the socket is killed after some tokens and started again."""

    async def ask() -> Asked:
        student = people.student
        body = {"conversation_type": "course_help", "context": {"course_id": taught.id}}
        conversation = await student.post("/api/v1/ai-conversations/", body)
        assert conversation.status == 201, conversation.content
        path = f"/api/v1/ai-conversations/{conversation.data['id']}"
        strangers = [await client.get(f"{path}/messages/") for client in (people.teacher, people.administrator)]
        strangers.append(await people.platform.post("/api/v1/ai-conversations/", body | {"course": taught.id}))
        socket = f"/ws/ai/{conversation.data['id']}/"
        async with Listener(stack.nginx.url, student.token or "", socket).open() as listener:
            question = plan("What is a swell?", tokens=TOKENS, rate=30)
            await listener.send("ask", id="q-1", message=question)
            await eventually(lambda: len(listener.of_type("token")) >= 10, "the first tokens")
            relaying = next(web for web in stack.webs if listener.served_by[0].endswith(str(web.port)))
            await stack.meanwhile(relaying.kill)
            await eventually(lambda: len(listener.served_by) >= 2, "another web")
            await eventually(lambda: listener.of_type("done"), "the end of the answer")
            await stack.meanwhile(relaying.start)
            question_id = listener.of_type("asked")[0]["question"]["id"]
            messages = (await student.get(f"{path}/messages/")).data
        return Asked(conversation, strangers, question_id, listener, messages)

    return io_loop.run_sync(ask, timeout=90)


@pytest.mark.gen_test(timeout=60)
async def test_the_answer_arrives_once_whatever_happened_to_the_web(asked: Asked) -> None:
    listener = asked.listener
    assert len(listener.served_by) >= 2
    assert listener.offsets == list(range(1, len(listener.offsets) + 1)), "each token once, in order"
    assert all(listener.recovered)
    question, answer = asked.messages
    assert (question["role"], answer["role"]) == ("user", "assistant")
    assert heard(listener, asked.question_id) == answer["content"]
    assert len(answer["content"].split()) == TOKENS
    (done,) = listener.of_type("done")
    assert (done["message"]["id"], done["state"]) == (answer["id"], "done")


@pytest.mark.gen_test(timeout=60)
async def test_the_answer_is_stored_once_with_its_usage(stack: Stack, books: Books, asked: Asked) -> None:
    (row,) = books.rows("SELECT * FROM ai_questions WHERE conversation_id = %s", asked.conversation.data["id"])
    assert (row["state"], row["provider"], row["attempts"]) == ("done", "openai", 0)
    assert row["completion_tokens"] == TOKENS
    assert row["prompt_tokens"] > 0
    assert row["cost_micros"] == row["prompt_tokens"] * 2 + row["completion_tokens"] * 8
    assert books.number("SELECT count(*) FROM ai_messages WHERE role = 'assistant'") == 1


@pytest.mark.gen_test(timeout=60)
async def test_nobody_else_reads_it_and_only_learners_ask(asked: Asked) -> None:
    assert [one.status for one in asked.strangers] == [403, 403, 201], (
        "staff of the course may know of it and not read it"
    )


@pytest.mark.gen_test(timeout=60)
async def test_a_repeated_request_finds_the_answer_that_runs(people: People, asked: Asked) -> None:
    path = f"/api/v1/ai-conversations/{asked.conversation.data['id']}/send_message/"
    question = {"message": plan("And what is a socket?", tokens=20, rate=20)}
    first, second = await asyncio.gather(*(people.student.post(path, question) for _ in range(2)))
    assert (first.status, second.status) == (200, 200), (first.content, second.content)
    assert first.data["metadata"]["ai_message_id"] == second.data["metadata"]["ai_message_id"]
    assert first.data["ai_response"] == second.data["ai_response"]
    assert len(first.data["ai_response"].split()) == 20


@pytest.mark.gen_test(timeout=60)
async def test_a_provider_that_fails_is_no_fault_of_ours(people: People, asked: Asked) -> None:
    path = f"/api/v1/ai-conversations/{asked.conversation.data['id']}/send_message/"
    failed = await people.student.post(path, {"message": plan("Again?", fail=50, fail_status=500)})
    assert (failed.status, failed.code) == (424, "AI_SERVICE_UNAVAILABLE")
    broken = await people.student.post(path, {"message": plan("And now?", tokens=30, break_after=12)})
    assert (broken.status, broken.data["metadata"]["state"]) == (200, "interrupted")
    assert len(broken.data["ai_response"].split()) == 12
