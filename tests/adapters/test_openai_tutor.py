"""The real OpenAI library against an endpoint that misbehaves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest

from edurise.adapters import openai_tutor
from edurise.adapters.openai_tutor import OpenAITutor
from edurise.adapters.resilience import CircuitBreaker, RetryBudget
from edurise.ai.ports import Brief, Broken, Message, Text, Tutor, Usage
from edurise.errors import Upstream
from tests.harness.waiting import eventually
from tests.simulators.openai import OpenAISimulator, Plan

KEY = "sk-of-the-school-itself"
LESSON = "The bowline is a loop."
QUESTION = "How do I tie a bowline?"
Run = Callable[[Coroutine[Any, Any, Any]], Any]


def brief(question: str = QUESTION) -> Brief:
    return Brief(
        question_id=UUID(int=1),
        conversation_id=UUID(int=2),
        question=question,
        course="Knots",
        passages=(),
        messages=(Message("system", LESSON), Message("assistant", "Hello."), Message("user", question)),
        language="en",
    )


@dataclass
class Bench:
    """A simulator, a tutor that asks it, and the time by which the breaker goes; pauses are noted, not made."""

    sim: OpenAISimulator
    now: float = 0.0
    pauses: list[float] = field(default_factory=list)

    async def begin(self) -> None:
        await self.sim.start()
        self.tutor: Tutor = OpenAITutor(
            api_key=KEY,
            model="tutor-1",
            base_url=self.sim.url,
            first_s=0.5,
            stall_s=0.3,
            breaker=CircuitBreaker("openai", failures=6, open_s=20.0, now=lambda: self.now),
            budget=RetryBudget(now=lambda: self.now),
            sleep=self.pause,
        )

    async def end(self) -> None:
        await self.tutor.close()
        await self.sim.stop()

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def answer(self, question: str = QUESTION) -> tuple[str, Usage | None]:
        """All of an answer."""
        texts, usage = [], None
        async with aclosing(self.tutor.answer(brief(question))) as pieces:
            async for piece in pieces:
                assert usage is None, "nothing follows the usage"
                if isinstance(piece, Text):
                    assert piece.text
                    texts.append(piece.text)
                else:
                    usage = piece
        return "".join(texts), usage

    async def delivered(self) -> tuple[str, str]:
        """What came before the answer broke off, and why it did."""
        texts: list[str] = []

        async def listen() -> None:
            async with aclosing(self.tutor.answer(brief())) as pieces:
                async for piece in pieces:
                    assert isinstance(piece, Text)
                    texts.append(piece.text)

        with pytest.raises(Broken) as broken:
            await listen()
        assert broken.value.__suppress_context__, "a traceback would quote the library's error"
        return "".join(texts), broken.value.reason

    async def refusal(self) -> Upstream:
        with pytest.raises(Upstream) as refused:
            await self.answer()
        hidden = refused.value.__context__ is None or refused.value.__suppress_context__
        assert hidden, "a traceback would quote the library's error"
        return refused.value


@pytest.fixture
def run() -> Iterator[Run]:
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture
def bench(run: Run) -> Iterator[Bench]:
    made = Bench(OpenAISimulator(api_key=KEY))
    run(made.begin())
    yield made
    run(made.end())


def words(count: int) -> str:
    return "".join(f"w{number} " for number in range(count))


def test_an_answer_comes_in_parts_with_its_usage(run: Run, bench: Bench) -> None:
    bench.sim.plan = Plan(tokens=30, rate=400)
    assert run(bench.answer()) == (words(30), Usage(12, 30))
    (asked,) = bench.sim.requests
    assert asked["model"] == "tutor-1"
    assert asked["messages"] == [
        {"role": "system", "content": LESSON},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": QUESTION},
    ]
    assert asked["options"] == {"stream": True, "stream_options": {"include_usage": True}}
    assert asked["ended"] == "complete"


def test_parts_are_yielded_as_they_come(run: Run, bench: Bench) -> None:
    bench.sim.plan = Plan(tokens=3, stall_after=1)

    async def first_of() -> str:
        async with aclosing(bench.tutor.answer(brief())) as pieces:
            piece = await anext(pieces)
        assert isinstance(piece, Text)
        return piece.text

    assert run(first_of()) == "w0 "


def test_an_endpoint_that_does_not_count_leaves_the_usage_unknown(run: Run, bench: Bench) -> None:
    bench.sim.plan = Plan(tokens=2, usage=False)
    assert run(bench.answer()) == (words(2), None)


@pytest.mark.parametrize("split", [3, 7, 64])
def test_characters_that_are_split_over_segments_are_whole(run: Run, bench: Bench, split: int) -> None:
    text = "Knoten: Ä ذ 結び目 🪢 \u0000 «fin» "
    bench.sim.plan = Plan(text=text, split=split, comments=True)
    bench.tutor._first_s = bench.tutor._stall_s = 20.0  # type: ignore[attr-defined]  # a segment a turn takes its time
    assert run(bench.answer())[0] == text.replace("\u0000", ""), "PostgreSQL stores no NUL"


def test_an_answer_that_just_ends_is_not_whole(run: Run, bench: Bench) -> None:
    bench.sim.plan = Plan(tokens=2, finish=False)
    assert run(bench.delivered()) == (words(2), "it ended without an end")


@pytest.mark.parametrize("status", [429, 500, 503, 408])
def test_failures_are_repeated(run: Run, bench: Bench, status: int) -> None:
    bench.sim.plan = Plan(tokens=3, fail=2, fail_status=status)
    assert run(bench.answer())[0] == words(3)
    assert len(bench.pauses) == 2
    assert len(bench.sim.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_refusals_are_not_repeated(run: Run, bench: Bench, status: int) -> None:
    bench.sim.plan = Plan(fail=1, fail_status=status)
    assert run(bench.refusal()).code == "AI_SERVICE_UNAVAILABLE"
    assert len(bench.sim.requests) == 1


def test_a_wrong_key_is_not_repeated(run: Run, bench: Bench) -> None:
    bench.sim.api_key = "sk-other"
    assert run(bench.refusal()).code == "AI_SERVICE_UNAVAILABLE"
    assert bench.pauses == []


def test_retry_after_is_waited_for(run: Run, bench: Bench) -> None:
    bench.sim.plan = Plan(tokens=1, fail=1, fail_status=429, retry_after="3")
    run(bench.answer())
    assert bench.pauses == [3.0]


def test_a_long_retry_after_is_told_instead(run: Run, bench: Bench) -> None:
    bench.sim.plan = Plan(fail=1, fail_status=429, retry_after="60")
    assert run(bench.refusal()).retry_after_s == 60.0
    assert len(bench.sim.requests) == 1


@pytest.mark.parametrize("nonsense", ["-1", "nan", "inf", "Wed, 21 Oct 2026 07:28:00 GMT", "soon"])
def test_a_retry_after_that_is_no_number_of_seconds_is_ignored(run: Run, bench: Bench, nonsense: str) -> None:
    bench.sim.plan = Plan(tokens=1, fail=1, fail_status=429, retry_after=nonsense)
    run(bench.answer())
    assert bench.pauses == [pytest.approx(0.15, abs=0.051)]


def test_silence_before_the_first_token_is_repeated_and_then_told(run: Run, bench: Bench) -> None:
    bench.tutor._first_s = 0.1  # type: ignore[attr-defined]  # the test waits for it three times
    bench.sim.plan = Plan(hang=True)
    assert run(bench.refusal()).code == "AI_SERVICE_UNAVAILABLE"
    assert len(bench.sim.requests) == 3


def test_an_answer_that_begins_and_brings_no_token_in_time_is_repeated(run: Run, bench: Bench) -> None:
    bench.tutor._first_s = 0.1  # type: ignore[attr-defined]  # the test waits for it three times
    bench.sim.plan = Plan(first_s=30)
    assert run(bench.refusal()).code == "AI_SERVICE_UNAVAILABLE"
    assert [one["ended"] for one in bench.sim.requests][:2] == ["left", "left"]


@pytest.mark.parametrize("malformed", ["json", "shape", "list", "no_choices", "utf8", "error", "endless"])
def test_nonsense_before_the_first_token_is_repeated(run: Run, bench: Bench, malformed: str) -> None:
    bench.sim.plan = Plan(malformed_after=0, malformed=malformed)
    assert run(bench.refusal()).code == "AI_SERVICE_UNAVAILABLE"
    assert len(bench.sim.requests) == 3


def test_a_connection_that_ends_before_the_first_token_is_repeated(run: Run, bench: Bench) -> None:
    bench.sim.plan = Plan(break_after=0)
    assert run(bench.refusal()).code == "AI_SERVICE_UNAVAILABLE"
    assert len(bench.sim.requests) == 3


def test_nobody_there_is_upstream(run: Run, bench: Bench) -> None:
    run(bench.sim.stop())
    assert run(bench.refusal()).code == "AI_SERVICE_UNAVAILABLE"
    assert len(bench.pauses) == 2


def test_an_empty_answer_is_told_as_such(run: Run, bench: Bench) -> None:
    bench.sim.plan = Plan(tokens=0)
    assert run(bench.refusal()).code == "AI_EMPTY_ANSWER"
    assert len(bench.sim.requests) == 1


def test_an_outage_opens_the_circuit_and_a_probe_closes_it(run: Run, bench: Bench) -> None:
    bench.sim.plan = Plan(tokens=1, fail=6)
    for _ in range(2):
        run(bench.refusal())
    assert len(bench.sim.requests) == 6
    bench.now += 5.0
    assert run(bench.refusal()).retry_after_s == pytest.approx(15.0)
    assert len(bench.sim.requests) == 6, "an open circuit asks nobody"
    bench.now += 15.0
    assert run(bench.answer())[0] == words(1)


def test_a_connection_that_breaks_off_keeps_what_came(run: Run, bench: Bench) -> None:
    bench.sim.plan = Plan(tokens=9, break_after=4, rate=100)
    text, reason = run(bench.delivered())
    assert (text, reason) == (words(4), "RemoteProtocolError")
    assert len(bench.sim.requests) == 1, "after the first token nothing is repeated"


def test_a_stall_keeps_what_came_and_lets_the_endpoint_go(run: Run, bench: Bench) -> None:
    bench.sim.plan = Plan(tokens=9, stall_after=4)
    assert run(bench.delivered()) == (words(4), "TimeoutError")
    run(eventually(lambda: bench.sim.requests[0]["ended"] == "left", "the connection is closed"))


def test_slow_tokens_are_no_stall(run: Run, bench: Bench) -> None:
    bench.sim.plan = Plan(tokens=4, rate=5)
    assert run(bench.answer())[0] == words(4)


@pytest.mark.parametrize("malformed", ["json", "shape", "list", "no_choices", "utf8", "error", "endless"])
def test_nonsense_after_the_first_token_keeps_what_came(run: Run, bench: Bench, malformed: str) -> None:
    bench.sim.plan = Plan(tokens=9, malformed_after=4, malformed=malformed)
    text, _ = run(bench.delivered())
    assert text == words(4)
    assert len(bench.sim.requests) == 1


def test_an_answer_without_end_is_broken_off(run: Run, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_tutor, "LONGEST_BYTES", 50_000)
    bench.sim.plan = Plan(tokens=10_000)
    text, reason = run(bench.delivered())
    assert reason == "it is too long"
    assert text == words(10_000)[: len(text)]


def test_whoever_stops_listening_ends_the_call_at_once(run: Run, bench: Bench) -> None:
    bench.sim.plan = Plan(tokens=10_000, rate=200)

    async def story() -> None:
        pieces = bench.tutor.answer(brief())
        await anext(pieces)
        await pieces.aclose()
        await eventually(lambda: not bench.sim.open_answers(), "the call is ended")
        assert bench.sim.requests[0]["ended"] == "left"

        reading = asyncio.ensure_future(bench.answer())
        await eventually(bench.sim.open_answers, "the call has begun")
        reading.cancel()
        await asyncio.wait({reading})
        await eventually(lambda: not bench.sim.open_answers(), "the call is ended")

    run(story())


def test_a_connection_is_used_again(run: Run, bench: Bench) -> None:
    async def story() -> int:
        for _ in range(5):
            await bench.answer()
        return len(bench.sim._connections)

    assert run(story()) == 1


def test_many_answers_at_a_time_do_not_mix(run: Run, bench: Bench) -> None:
    bench.sim.plan = Plan(rate=300)

    async def story() -> list[tuple[str, Usage | None]]:
        marked = (f'[[sim {{"tokens": {count}}}]] {count}' for count in range(1, 41))
        return await asyncio.gather(*(bench.answer(question) for question in marked))

    assert [text for text, _ in run(story())] == [words(count) for count in range(1, 41)]


def test_each_loop_has_a_client_of_its_own(bench: Bench) -> None:
    tutor = OpenAITutor(api_key=KEY, model="m", base_url="http://127.0.0.1:9/v1", attempts=1)

    async def ask() -> None:
        with pytest.raises(Upstream):
            await anext(tutor.answer(brief()))

    for _ in range(2):
        with asyncio.Runner() as runner:
            runner.run(ask())
            runner.run(tutor.close())
            runner.run(tutor.close())


def test_nothing_of_key_lesson_question_or_answer_is_ever_logged(
    run: Run, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    bench.sim.plan = Plan(tokens=2, fail=2)
    run(bench.answer())
    for plan in (
        Plan(fail=9, fail_status=400),
        Plan(tokens=3, malformed_after=2, malformed="error"),
        Plan(tokens=3, break_after=2),
        Plan(tokens=0),
    ):
        bench.sim.reset()
        bench.sim.plan = plan
        with pytest.raises((Upstream, Broken)):
            run(bench.answer())
    bench.sim.api_key = "sk-other"
    run(bench.refusal())
    assert "status 400" in caplog.text
    assert "status 401" in caplog.text
    for secret in (KEY, KEY[:10], LESSON, "bowline", "w0", "Simulated failure"):
        assert secret not in caplog.text
