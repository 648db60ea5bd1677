"""What the other tests rely on: the simulated endpoint really is as hostile, and as regular, as it is told to be."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from tests.harness.waiting import eventually
from tests.simulators.openai import OpenAISimulator, Plan

KEY = "sk-simulated"
Run = Callable[[Coroutine[Any, Any, Any]], Any]


@asynccontextmanager
async def stage() -> AsyncIterator[tuple[OpenAISimulator, httpx2.AsyncClient]]:
    sim = OpenAISimulator(api_key=KEY)
    await sim.start()
    try:
        async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}, timeout=5) as client:
            yield sim, client
    finally:
        await sim.stop()


@pytest.fixture
def run() -> Iterator[Run]:
    with asyncio.Runner() as runner:
        yield runner.run


def asking(text: str = "Why?", **more: object) -> dict[str, object]:
    messages = [{"role": "system", "content": "You teach."}, {"role": "user", "content": text}]
    return {"model": "m", "messages": messages, "stream": True, "stream_options": {"include_usage": True}, **more}


async def events(client: httpx2.AsyncClient, sim: OpenAISimulator, **more: Any) -> list[Any]:
    """The data of every event of an answer."""
    answer = await client.post(f"{sim.url}/chat/completions", json=asking(**more))
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [line[6:] for line in answer.text.split("\n\n") if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def content(found: list[Any]) -> str:
    return "".join(one["choices"][0]["delta"].get("content", "") for one in found if one != "[DONE]" and one["choices"])


def control(sim: OpenAISimulator, what: str = "") -> str:
    return f"{sim.url.removesuffix('/v1')}/control{what}"


def test_an_answer_has_the_shape_of_the_real_one(run: Run) -> None:
    async def story() -> None:
        async with stage() as (sim, client):
            sim.plan = Plan(tokens=2)
            first, one, two, last, usage, done = await events(client, sim)
            assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
            assert [each["choices"][0]["delta"] for each in (one, two)] == [{"content": "w0 "}, {"content": "w1 "}]
            assert (last["choices"][0]["delta"], last["choices"][0]["finish_reason"]) == ({}, "stop")
            assert (usage["choices"], done) == ([], "[DONE]")
            assert usage["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
            assert {one["object"], one["model"], one["usage"]} == {"chat.completion.chunk", "m", None}
            assert one["id"] == first["id"]
            assert all("usage" not in each for each in (await events(client, sim, stream_options=None))[:-1])

    run(story())


def test_tokens_come_at_their_rate_and_carry_the_time_at_which_they_were_sent(run: Run) -> None:
    async def story() -> None:
        async with stage() as (sim, client):
            sim.plan = Plan(tokens=20, rate=100, stamps=True)
            began = time.monotonic_ns()
            stamps = [int(word[2:]) for word in content(await events(client, sim)).split()]
            assert stamps == sorted(stamps)
            assert began < stamps[0]
            # A late timer is made up for: tokens are due by the clock, not by the one before.
            assert 0.17 < (stamps[-1] - stamps[0]) / 1e9 < 1.0

    run(story())


def test_a_marker_in_the_question_plans_its_own_answer(run: Run) -> None:
    async def story() -> None:
        async with stage() as (sim, client):
            marked = [f'[[sim {{"text": "answer {number} "}}]]' for number in range(20)]
            found = await asyncio.gather(*(events(client, sim, text=text) for text in marked))
            assert [content(one) for one in found] == [f"answer {number} " for number in range(20)]
            twice = '[[sim {"fail": 2, "fail_status": 503}]]'
            statuses = [
                (await client.post(f"{sim.url}/chat/completions", json=asking(twice))).status_code for _ in range(3)
            ]
            assert statuses == [503, 503, 200]

    run(story())


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Authorization": "Bearer sk-other"}, asking(), 401),
        ({}, {"model": "m"}, 400),
        ({}, asking(stream=False), 400),
        ({}, asking('[[sim {"unheard_of": 1}]]'), 400),
    ],
)
def test_what_is_wrong_is_refused(run: Run, headers: dict[str, str], body: object, status: int) -> None:
    async def story() -> None:
        async with stage() as (sim, client):
            refused = await client.post(f"{sim.url}/chat/completions", json=body, headers=headers)
            assert refused.status_code == status
            assert refused.json()["error"]["message"]

    run(story())


def test_it_is_controlled_over_http(run: Run) -> None:
    async def story() -> None:
        async with stage() as (sim, client):
            changed = await client.post(control(sim), json={"tokens": 1, "fail": 1, "fail_status": 429})
            assert changed.json()["tokens"] == 1
            assert (await client.post(control(sim), json={"unheard_of": 1})).status_code == 400
            assert (await client.post(f"{sim.url}/chat/completions", json=asking())).status_code == 429
            assert content(await events(client, sim)) == "w0 "
            listed = (await client.get(control(sim, "/requests"))).json()["requests"]
            assert [one["ended"] for one in listed] == ["refused 429", "complete"]
            assert listed[1]["messages"][1] == {"role": "user", "content": "Why?"}
            assert (await client.post(control(sim, "/reset"))).json()["tokens"] == 20
            assert (await client.get(control(sim, "/requests"))).json() == {"requests": []}
            assert (await client.get(control(sim, "/else"))).status_code == 404

    run(story())


def test_it_stalls_breaks_off_and_notes_who_left(run: Run) -> None:
    async def story() -> None:
        async with stage() as (sim, client):
            sim.plan = Plan(tokens=5, break_after=2)
            with pytest.raises(httpx2.RemoteProtocolError):
                await events(client, sim)
            assert (sim.requests[0]["ended"], sim.requests[0]["sent"]) == ("broken", 2)
            sim.plan = Plan(tokens=5, stall_after=3)
            with pytest.raises(httpx2.ReadTimeout):
                await client.post(f"{sim.url}/chat/completions", json=asking(), timeout=0.2)
            await eventually(lambda: sim.requests[1]["ended"] == "left", "the client is gone")
            assert sim.requests[1]["sent"] == 3
            sim.plan = Plan(hang=True)
            with pytest.raises(httpx2.ReadTimeout):
                await client.post(f"{sim.url}/chat/completions", json=asking(), timeout=0.2)

    run(story())


def test_bytes_are_split_where_they_are_told_to_be(run: Run) -> None:
    async def story() -> None:
        async with stage() as (sim, client):
            sim.plan = Plan(text="Ä結🪢", split=2, comments=True)
            async with client.stream("POST", f"{sim.url}/chat/completions", json=asking()) as answer:
                chunks = [chunk async for chunk in answer.aiter_bytes()]
            assert max(map(len, chunks)) == 2
            assert "Ä結🪢" in b"".join(chunks).decode()
            assert b": keep-alive" in b"".join(chunks)

    run(story())
