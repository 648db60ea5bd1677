"""The producer of answers, on a real database and a real Redis: every part once and in order, one end, whoever dies."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from actors import answering as answers
from actors.schedule import load_jobs
from actors.tutor import SILENT_S
from edurise.adapters.openai_tutor import OpenAITutor
from edurise.adapters.provision import DatabaseUrls
from edurise.ai import answering
from edurise.ai.ports import Broken, Usage
from edurise.errors import Upstream
from tests.actors.hall import Script, hall, text_of, words
from tests.actors.workshop import run
from tests.harness.waiting import eventually
from tests.simulators.openai import OpenAISimulator, Plan


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "PAUSES_S", (0.02,))
    monkeypatch.setattr(answers, "TELLING_PAUSES_S", (0.02,) * 200)
    monkeypatch.setattr(answers, "RENEW_S", 0.05)


def test_an_answer_is_told_part_by_part_and_stored_once(actors_database: DatabaseUrls) -> None:
    async def story() -> None:
        async with hall(actors_database) as at:
            gates = [asyncio.Event() for _ in range(3)]
            teacher = Script("A ", gates[0], "loop ", gates[1], "holds.", gates[2], Usage(1000, 50))
            at.start(teacher)
            talk = at.talk()
            _, asked = talk.ask("What is a bowline?")
            for number, gate in enumerate(gates):
                await at.heard(talk, number + 2)
                gate.set()
            row = await at.ended(talk, asked["id"])
            started, *tokens, done = await at.told(talk)
            assert (started.type, [one.type for one in tokens], done.type) == ("answer_started", ["token"] * 3, "done")
            assert [one.data["text"] for one in tokens] == ["A ", "loop ", "holds."]
            assert [one.offset for one in (started, *tokens, done)] == [1, 2, 3, 4, 5]
            assert (row["stream_offset"], row["stream_epoch"]) == (started.offset, started.epoch)
            assert {one.data["question_id"] for one in (started, *tokens, done)} == {str(asked["id"])}
            assert started.data["message"]["content"] == "What is a bowline?"
            (question, answer) = talk.messages()
            assert (answer["content"], answer["state"], answer["tokens_used"]) == ("A loop holds.", "complete", 1050)
            assert done.data["state"] == "done"
            assert done.data["message"]["id"] == str(answer["id"])
            assert done.data["message"]["content"] == "A loop holds."
            assert done.data["usage"] == {"prompt_tokens": 1000, "completion_tokens": 50, "cost_usd": 0.0025}
            assert (row["state"], row["provider"], row["model"]) == ("done", "script", "script-1")
            assert row["cost_micros"] == 2500
            assert teacher.asked[0].question == question["content"]

    run(story())


def test_what_comes_together_is_one_frame_and_no_frame_is_large(actors_database: DatabaseUrls) -> None:
    async def story() -> None:
        async with hall(actors_database) as at:
            many, long = words(300).split(" "), "結び目🪢" * 3_000
            at.start(Script(*(f"{word} " for word in many[:-1]), long))
            talk = at.talk()
            _, asked = talk.ask()
            await at.ended(talk, asked["id"])
            tokens = [one for one in await at.told(talk) if one.type == "token"]
            assert text_of(tokens) == talk.messages()[1]["content"] == words(300) + long
            sizes = [len(str(one.data["text"]).encode()) for one in tokens]
            assert max(sizes) <= 4096
            assert len(tokens) < 30

    run(story())


def test_a_question_counts_as_begun_before_its_first_token_is_told(actors_database: DatabaseUrls) -> None:
    async def story() -> None:
        async with hall(actors_database) as at:
            talk = at.talk()
            seen: dict[str, str] = {}

            def look(kind: str, data: Mapping[str, object]) -> None:
                seen.setdefault(kind, at.row(asked["id"])["state"])

            at.streams.before.append(look)
            _, asked = talk.ask()
            at.start(Script("Because."))
            await at.ended(talk, asked["id"])
            assert seen == {"answer_started": "claimed", "token": "streaming", "done": "done"}

    run(story())


def test_a_stop_ends_the_tutors_stream_at_once(actors_database: DatabaseUrls) -> None:
    async def story() -> None:
        async with hall(actors_database) as at:
            teacher = Script("One, ", "two, ", asyncio.Event(), "three.")
            at.start(teacher)
            talk = at.talk()
            _, asked = talk.ask()
            await at.heard(talk, 2)
            talk.stop()
            row = await at.ended(talk, asked["id"])
            assert (row["state"], teacher.left) == ("stopped", 1)
            *_, done = found = await at.told(talk)
            assert (done.type, done.data["state"]) == ("done", "stopped")
            answer = talk.messages()[1]
            assert (answer["content"], answer["state"]) == ("One, two, ", "stopped")
            assert text_of(found) == "One, two, "

    run(story())


def test_a_stop_before_the_first_token_leaves_no_message(actors_database: DatabaseUrls) -> None:
    async def story() -> None:
        async with hall(actors_database) as at:
            teacher = Script(asyncio.Event(), "Never.")
            at.start(teacher)
            talk = at.talk()
            _, asked = talk.ask()
            await eventually(lambda: teacher.asked, "the tutor is asked")
            talk.stop()
            assert (await at.ended(talk, asked["id"]))["state"] == "stopped"
            (done,) = await at.told(talk)
            assert (done.type, done.data["state"], done.data["message"]) == ("done", "stopped", None)
            assert len(talk.messages()) == 1

    run(story())


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (Upstream("AI_SERVICE_UNAVAILABLE"), "AI_SERVICE_UNAVAILABLE"),
        (Upstream("AI_EMPTY_ANSWER"), "AI_EMPTY_ANSWER"),
        (RuntimeError("a bug"), "AI_SERVICE_UNAVAILABLE"),
        (None, "AI_EMPTY_ANSWER"),
    ],
)
def test_without_a_first_token_a_question_has_failed(
    actors_database: DatabaseUrls, failure: Exception | None, code: str
) -> None:
    async def story() -> None:
        async with hall(actors_database) as at:
            at.start(Script(*([failure] if failure else [])))
            talk = at.talk()
            _, asked = talk.ask()
            row = await at.ended(talk, asked["id"])
            assert (row["state"], row["error_code"]) == ("failed", code)
            (told,) = await at.told(talk)
            assert (told.type, told.data["code"], told.data["message"]) == ("interrupted", code, None)
            assert len(talk.messages()) == 1

    run(story())


@pytest.mark.parametrize("failure", [Broken("stall"), RuntimeError("a bug"), Upstream("AI_SERVICE_UNAVAILABLE")])
def test_an_answer_that_breaks_off_keeps_what_came(actors_database: DatabaseUrls, failure: Exception) -> None:
    async def story() -> None:
        async with hall(actors_database) as at:
            at.start(Script("One, ", "two", failure))
            talk = at.talk()
            _, asked = talk.ask()
            row = await at.ended(talk, asked["id"])
            assert (row["state"], row["error_code"]) == ("interrupted", "AI_INTERRUPTED")
            *_, told = found = await at.told(talk)
            assert (told.type, told.data["code"]) == ("interrupted", "AI_INTERRUPTED")
            assert told.data["message"]["content"] == text_of(found) == "One, two"
            assert talk.messages()[1]["state"] == "interrupted"

    run(story())


def test_two_producers_never_answer_the_same_question(actors_database: DatabaseUrls) -> None:
    async def story() -> None:
        async with hall(actors_database) as at:
            teachers = [Script("Because ", "it ", "is."), Script("Because ", "it ", "is.")]
            talks = [at.talk() for _ in range(30)]
            asked = [talk.ask()[1]["id"] for talk in talks[:15]]
            for teacher in teachers:
                at.start(teacher, ai_streams=4)
            asked += [talk.ask()[1]["id"] for talk in talks[15:]]
            for talk, question in zip(talks, asked, strict=True):
                assert (await at.ended(talk, question))["state"] == "done"
                assert [one.type for one in await at.told(talk)].count("answer_started") == 1
                assert [one["content"] for one in talk.messages()] == ["Why?", "Because it is."]
            answered = [brief.question_id for teacher in teachers for brief in teacher.asked]
            assert sorted(answered) == sorted(asked)
            assert all(teacher.asked for teacher in teachers), "they share the work"
            assert max(teacher.most for teacher in teachers) <= 4, "and take no more than they may"

    run(story())


def test_a_claim_that_was_lost_is_dropped_without_a_word(actors_database: DatabaseUrls) -> None:
    async def story() -> None:
        async with hall(actors_database) as at:
            gate = asyncio.Event()
            slow, quick = Script(gate, "Too late."), Script("In time.")
            one = at.start(slow, ai_streams=1)  # it has its hands full, and does not get the question again
            talk = at.talk()
            _, asked = talk.ask()
            await eventually(lambda: slow.asked, "the first one is asked")
            await at.overdue()
            other = at.producer(quick)
            await other.claim()
            await other.idle()
            gate.set()
            await one.idle()
            assert at.row(asked["id"])["state"] == "done"
            assert [event.type for event in await at.told(talk)].count("done") == 1
            assert [message["content"] for message in talk.messages()] == ["Why?", "In time."]

    run(story())


def test_a_producer_that_is_told_of_its_loss_by_a_beat_stops(actors_database: DatabaseUrls) -> None:
    async def story() -> None:
        async with hall(actors_database) as at:
            teacher = Script("One, ", asyncio.Event(), "two.")
            producer = at.producer(teacher)
            talk = at.talk()
            _, asked = talk.ask()
            await producer.claim()
            await at.heard(talk, 2)
            await at.overdue()
            before = await at.told(talk)
            await producer.beat()
            await producer.idle()
            assert teacher.left == 1
            assert await at.told(talk) == before
            assert at.row(asked["id"])["state"] == "interrupted"

    run(story())


def test_beats_keep_a_claim_and_store_what_was_delivered(actors_database: DatabaseUrls) -> None:
    async def story() -> None:
        async with hall(actors_database) as at:
            gate = asyncio.Event()
            producer = at.producer(Script("One, ", gate, "two."))
            talk = at.talk()
            _, asked = talk.ask()
            await producer.claim()
            await at.heard(talk, 2)
            for _ in range(3):
                await producer.beat()
                await at.overdue(SILENT_S - 1)
            row = at.row(asked["id"])
            assert (row["state"], row["partial"]) == ("streaming", "One, ")
            gate.set()
            assert (await at.ended(talk, asked["id"]))["state"] == "done"
            await producer.idle()

    run(story())


def test_a_producer_that_is_killed_in_mid_answer_leaves_it_interrupted(actors_database: DatabaseUrls) -> None:
    async def story() -> None:
        async with hall(actors_database) as at:
            producer = at.start(Script("One, ", "two, ", asyncio.Event(), "three."))
            talk = at.talk()
            _, asked = talk.ask()
            await at.heard(talk, 2)
            await at.kill(producer)
            await at.overdue(SILENT_S - 1)
            assert at.row(asked["id"])["state"] == "streaming", "it may yet beat"
            other = Script("Again.")
            at.start(other)
            await at.overdue(2)
            row = await at.ended(talk, asked["id"])
            assert (row["state"], row["error_code"]) == ("interrupted", "AI_INTERRUPTED")
            *_, told = found = await at.told(talk)
            assert (told.type, told.data["code"]) == ("interrupted", "AI_INTERRUPTED")
            assert told.data["message"]["content"] == text_of(found) == "One, two, "
            assert [(one["content"], one["state"]) for one in talk.messages()][1:] == [("One, two, ", "interrupted")]
            await at.overdue()
            assert other.asked == [], "after the first token nobody is asked again"
            assert len(await at.told(talk)) == len(found), "and its end is told once"

    run(story())


def test_a_producer_that_is_killed_before_the_first_token_is_replaced(actors_database: DatabaseUrls) -> None:
    async def story() -> None:
        async with hall(actors_database) as at:
            dead = Script(asyncio.Event())
            producer = at.start(dead)
            talk = at.talk()
            _, asked = talk.ask()
            await eventually(lambda: dead.asked, "the first one is asked")
            await at.kill(producer)
            at.start(Script("Because."))
            await at.overdue()
            row = await at.ended(talk, asked["id"])
            assert (row["state"], row["attempts"]) == ("done", 1)
            assert [one.type for one in await at.told(talk)] == ["answer_started", "token", "done"]

    run(story())


def test_a_question_that_kills_whoever_takes_it_fails_in_the_end(actors_database: DatabaseUrls) -> None:
    async def story() -> None:
        async with hall(actors_database) as at:
            talk = at.talk()
            _, asked = talk.ask()
            for _ in range(answering.ATTEMPTS):
                deadly = Script(asyncio.Event())
                producer = at.start(deadly)
                await eventually(lambda one=deadly: one.asked, "it is asked")
                await at.kill(producer)
                await at.overdue()
            row = await at.ended(talk, asked["id"])
            assert (row["state"], row["error_code"]) == ("failed", "AI_SERVICE_UNAVAILABLE")
            (told,) = await at.told(talk)
            assert (told.type, told.data["code"], told.data["message"]) == (
                "interrupted",
                "AI_SERVICE_UNAVAILABLE",
                None,
            )

    run(story())


def test_a_flush_of_redis_in_mid_answer_begins_a_new_numbering(actors_database: DatabaseUrls) -> None:
    async def story() -> None:
        async with hall(actors_database) as at:
            gate = asyncio.Event()
            at.start(Script("One, ", "two, ", gate, "three."))
            talk = at.talk()
            _, asked = talk.ask()
            before = await at.heard(talk, 2)
            await at.forget(talk)
            gate.set()
            row = await at.ended(talk, asked["id"])
            first, *rest = after = await at.told(talk)
            assert (first.type, first.offset, first.data["replace"]) == ("token", 1, True)
            assert first.epoch != before[0].epoch
            assert [one.offset for one in after] == list(range(1, len(after) + 1))
            assert text_of(after) == talk.messages()[1]["content"] == "One, two, three."
            assert rest[-1].type == "done"
            assert row["state"] == "done"

    run(story())


def test_an_end_after_a_flush_is_told_with_all_of_the_text(actors_database: DatabaseUrls) -> None:
    async def story() -> None:
        async with hall(actors_database) as at:
            gate = asyncio.Event()
            at.start(Script("One, ", "two.", gate))
            talk = at.talk()
            _, asked = talk.ask()
            await at.heard(talk, 2)
            await at.forget(talk)
            gate.set()
            await at.ended(talk, asked["id"])
            again, done = await at.told(talk)
            assert (again.data["text"], again.data["replace"], done.type) == ("One, two.", True, "done")

    run(story())


def test_while_redis_is_away_the_answer_is_collected_and_told_afterwards(actors_database: DatabaseUrls) -> None:
    async def story() -> None:
        async with hall(actors_database) as at:
            at.streams.away = True
            gates = [asyncio.Event() for _ in range(2)]
            teacher = Script("One, ", gates[0], "two, ", gates[1], "three.")
            at.start(teacher)
            talk = at.talk()
            _, asked = talk.ask()
            await eventually(lambda: at.row(asked["id"])["state"] == "streaming", "it begins without a channel")
            assert at.row(asked["id"])["stream_offset"] is None
            gates[0].set()
            at.streams.away = False
            await at.heard(talk, 1)  # nothing new has come from the tutor since
            at.streams.away = True
            gates[1].set()
            await eventually(lambda: at.row(asked["id"])["state"] == "done", "it is stored all the same")
            at.streams.away = False
            await at.ended(talk, asked["id"])
            found = await at.told(talk)
            assert text_of(found) == talk.messages()[1]["content"] == "One, two, three."

    run(story())


@pytest.mark.parametrize("renewed", [True, False])
def test_after_a_flush_and_a_kill_what_is_known_is_kept(actors_database: DatabaseUrls, renewed: bool) -> None:
    async def story() -> None:
        async with hall(actors_database) as at:
            gate = asyncio.Event()
            producer = at.start(Script("One, ", gate, "two, ", asyncio.Event()))
            talk = at.talk()
            _, asked = talk.ask()
            await at.heard(talk, 2)
            await producer.beat()
            await at.forget(talk)
            if renewed:
                gate.set()
                await at.heard(talk, 1)
            await at.kill(producer)
            await at.overdue()
            await at.ended(talk, asked["id"])
            assert talk.messages()[1]["content"] == ("One, two, " if renewed else "One, ")

    run(story())


def test_a_database_that_is_away_at_the_end_costs_no_text(actors_database: DatabaseUrls) -> None:
    async def story() -> None:
        async with hall(actors_database) as at:
            at.db.away.update({"_finished", "beat"})
            at.start(Script("Because."))
            talk = at.talk()
            _, asked = talk.ask()
            await eventually(lambda: at.db.refused > 3, "it is tried again")
            assert at.row(asked["id"])["state"] == "streaming"
            at.db.away.clear()
            await at.ended(talk, asked["id"])
            assert [one["content"] for one in talk.messages()] == ["Why?", "Because."]
            assert [one.type for one in await at.told(talk)] == ["answer_started", "token", "done"]

    run(story())


@pytest.mark.parametrize("step", ["_begun", "_finished"])
def test_a_commit_that_nobody_heard_of_is_recognized(actors_database: DatabaseUrls, step: str) -> None:
    async def story() -> None:
        async with hall(actors_database) as at:
            at.db.unheard.add(step)
            at.start(Script("Because."))
            talk = at.talk()
            _, asked = talk.ask()
            assert (await at.ended(talk, asked["id"]))["state"] == "done"
            assert at.db.refused == 1
            assert [one["content"] for one in talk.messages()] == ["Why?", "Because."]
            assert [one.type for one in await at.told(talk)] == ["answer_started", "token", "done"]

    run(story())


def test_a_worker_that_is_stopped_lets_answers_finish(actors_database: DatabaseUrls) -> None:
    async def story() -> None:
        async with hall(actors_database) as at:
            gate = asyncio.Event()
            producer = at.start(Script("One, ", gate, "two."))
            talk, late = at.talk(), at.talk()
            _, asked = talk.ask()
            await at.heard(talk, 2)
            ending = asyncio.ensure_future(at.end(producer))
            await asyncio.sleep(0)
            _, waits = late.ask()
            gate.set()
            await ending
            assert at.row(asked["id"])["state"] == "done"
            assert at.row(waits["id"])["state"] == "waiting", "nothing new is taken"

    run(story())


def test_what_does_not_finish_in_time_is_interrupted(actors_database: DatabaseUrls) -> None:
    async def story() -> None:
        async with hall(actors_database) as at:
            producer = at.start(Script("One, ", asyncio.Event(), "two."), drain_s=0.2)
            talk = at.talk()
            _, asked = talk.ask()
            await at.heard(talk, 2)
            await at.end(producer)
            assert at.row(asked["id"])["state"] == "interrupted"
            assert talk.messages()[1]["content"] == "One, "
            assert (await at.told(talk))[-1].type == "interrupted"

    run(story())


def test_a_claim_without_a_token_is_given_back_at_once(actors_database: DatabaseUrls) -> None:
    async def story() -> None:
        async with hall(actors_database) as at:
            silent = Script(asyncio.Event())
            producer = at.start(silent)
            talk = at.talk()
            _, asked = talk.ask()
            await eventually(lambda: silent.asked, "it is asked")
            await at.end(producer)
            row = at.row(asked["id"])
            assert (row["state"], row["holder"], row["attempts"], silent.left) == ("waiting", None, 0, 1)
            at.start(Script("Because."))
            assert (await at.ended(talk, asked["id"]))["state"] == "done"

    run(story())


def test_answers_of_the_real_adapter_with_everything_that_goes_wrong_at_once(actors_database: DatabaseUrls) -> None:
    plans = {
        '{"tokens": 30, "rate": 100}': ("done", words(30)),
        '{"tokens": 10, "fail": 1, "fail_status": 503}': ("done", words(10)),
        '{"tokens": 9, "rate": 50, "break_after": 4}': ("interrupted", words(4)),
        '{"tokens": 9, "malformed_after": 5}': ("interrupted", words(5)),
        '{"fail": 1, "fail_status": 400}': ("failed", None),
        '{"tokens": 0}': ("failed", None),
        '{"text": "Ä 結び目 🪢 ", "split": 9}': ("done", "Ä 結び目 🪢 "),
    }

    async def story() -> None:
        sim = OpenAISimulator(plan=Plan())
        await sim.start()
        teacher = OpenAITutor(api_key=sim.api_key, model="m", base_url=sim.url)
        try:
            async with hall(actors_database) as at:
                for _ in range(2):
                    at.start(teacher)
                talks = [(at.talk(), plan) for plan in plans for _ in range(3)]
                asked = [talk.ask(f"{number} [[sim {plan}]]")[1]["id"] for number, (talk, plan) in enumerate(talks)]
                for (talk, plan), question in zip(talks, asked, strict=True):
                    state, text = plans[plan]
                    assert (await at.ended(talk, question))["state"] == state
                    found = await at.told(talk)
                    assert text_of(found) == (text or "")
                    assert [one.offset for one in found] == list(range(1, len(found) + 1))
                    assert [one["content"] for one in talk.messages()[1:]] == ([text] if text else [])
        finally:
            await teacher.close()
            await sim.stop()

    run(story())


def test_the_reaper_is_a_job() -> None:
    assert [one.every_s for one in load_jobs() if one.name == "tutor.end_overdue"] == [1]
