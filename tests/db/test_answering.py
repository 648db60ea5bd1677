"""Questions and answers in the database: what two who come at once may do, and that everything is stored once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest

from edurise.ai import answering, queries, service
from edurise.ai.answering import Prices
from edurise.ai.permissions import Ai
from edurise.ai.ports import Usage
from edurise.errors import Conflict, DomainError, Forbidden, Invalid, Limited, NotFound
from edurise.paging import Window
from tests.harness.talks import PER_DAY, Talk, stand, stored
from tests.harness.world import World

ROUNDS = 8


def together(*works: Callable[[], Any]) -> list[Any]:
    """What each of them returns or raises, begun at one moment on threads of their own."""
    ready = threading.Barrier(len(works))

    def run(work: Callable[[], Any]) -> Any:
        ready.wait()
        try:
            return work()
        except DomainError as refused:
            return refused.code

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


@pytest.fixture
def talk(world: World) -> Talk:
    return Talk(world, world.person())


def overdue(world: World, holder: str = "sweeper", only: Sequence[UUID] = ()) -> dict[UUID, answering.Overdue]:
    found = world.c.db.system_sync(answering.overdue, holder, 10.0)
    return {one.question_id: one for one in found if not only or one.question_id in only}


# -- asking ------------------------------------------------------------------------------------------------------------


def test_a_question_is_a_message_and_makes_the_title(talk: Talk) -> None:
    is_new, asked = talk.ask("  What is\n a bowline?  ")
    assert is_new
    assert (asked["state"], asked["stream"], asked["conversation_id"]) == ("waiting", None, talk.id)
    assert [(row["role"], row["content"]) for row in talk.messages()] == [("user", "  What is\n a bowline?  ")]
    assert talk.messages()[0] == asked["message"]
    assert (talk.view()["title"], talk.view()["message_count"]) == ("What is a bowline?", 1)
    talk.finish(talk.claim())
    talk.ask("And a hitch?")
    assert talk.view()["title"] == "What is a bowline?", "the first question's"


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("word " * 40, "word " * 14 + "word…"),
        ("x" * 200, "x" * 79 + "…"),
        ("y" * 80, "y" * 80),
        ("a " + "b" * 100, "a " + "b" * 77 + "…"),
    ],
)
def test_a_title_is_cut_between_words(question: str, title: str) -> None:
    assert service.title_of(question) == title.strip()
    assert len(service.title_of(question)) <= service.LONGEST_TITLE


def test_a_given_title_stays(world: World) -> None:
    talk = Talk(world, world.person(), title="Knots", conversation_type="general", context={"page": "/"})
    talk.ask("What?")
    view = talk.view()
    assert (view["title"], view["conversation_type"], view["context"]) == ("Knots", "general", {"page": "/"})


@pytest.mark.parametrize("text", ["", "  \n ", "x" * (service.LONGEST_QUESTION + 1)])
def test_what_is_no_question_is_refused(talk: Talk, text: str) -> None:
    with pytest.raises(Invalid):
        talk.ask(text)
    assert talk.messages() == []


def test_while_an_answer_runs_the_same_text_is_that_question_and_another_is_refused(talk: Talk) -> None:
    _, asked = talk.ask("Why?")

    def repeated(state: str) -> None:
        is_new, again = talk.ask("Why?")
        assert (is_new, again["id"], again["message"], again["state"]) == (False, asked["id"], asked["message"], state)
        assert (again["stream"] is not None) == (state == "streaming")
        with pytest.raises(Conflict, match="ANSWER_RUNNING"):
            talk.ask("What else?")

    repeated("waiting")
    claimed = talk.claim()
    repeated("claimed")
    talk.begin(claimed)
    repeated("streaming")
    talk.finish(claimed)
    is_new, later = talk.ask("Why?")
    assert is_new
    assert later["id"] != asked["id"]


def test_an_ask_key_finds_its_question_whatever_became_of_it(talk: Talk) -> None:
    _, asked = talk.ask("Why?", key="7")
    assert talk.ask("Why?", key="7")[1]["id"] == asked["id"]
    claimed = talk.claim()
    talk.finish(claimed, "", "failed", code="AI_SERVICE_UNAVAILABLE")
    is_new, again = talk.ask("Why?", key="7")
    assert (is_new, again["id"], again["state"]) == (False, asked["id"], "failed")
    with pytest.raises(Conflict, match="IDEMPOTENCY_KEY_REUSED"):
        talk.ask("What?", key="7")
    talk.ask("What?", key="8")
    assert talk.ask("Why?", key="7")[1]["id"] == asked["id"], "even while another answer runs"
    other = Talk(talk.world, talk.person)
    assert other.ask("Why?", key="7")[0], "a key belongs to its conversation"


def test_two_who_ask_the_same_at_once_ask_one_question(world: World) -> None:
    for keys in ((None, None), ("k", "k"), ("k", "l"), (None, "k")):
        for _ in range(ROUNDS):
            talk = Talk(world, world.person())
            found = together(*(partial(talk.ask, "Why?", key) for key in keys for _ in range(2)))
            assert sorted(is_new for is_new, _ in found) == [False, False, False, True]
            assert len({asked["id"] for _, asked in found}) == 1
            assert talk.view()["message_count"] == len(talk.messages()) == 1


def test_of_two_different_questions_at_once_one_is_asked(world: World) -> None:
    for _ in range(ROUNDS):
        talk = Talk(world, world.person())
        found = together(partial(talk.ask, "Why?"), partial(talk.ask, "How?"))
        assert found.count("ANSWER_RUNNING") == 1, found
        assert len(talk.messages()) == 1


# -- quota -------------------------------------------------------------------------------------------------------------


def test_the_quota_is_of_the_last_24_hours_and_over_all_conversations(world: World) -> None:
    person = world.person()
    for _ in range(2):
        Talk(world, person).answered()
        world.clock.advance(timedelta(hours=1))
    third = Talk(world, person)
    assert third.hop(queries.remaining, 2) == 0
    with pytest.raises(Limited, match="AI_QUOTA_EXCEEDED") as refused:
        third.ask(per_day=2)
    assert refused.value.retry_after_s == pytest.approx(22 * 3600)
    assert third.messages() == []
    Talk(world, world.person()).ask(per_day=1)  # another person's is another quota
    world.clock.advance(timedelta(hours=22, seconds=1))
    assert third.hop(queries.remaining, 2) == 1
    assert third.ask(per_day=2)[0]


def test_what_the_provider_did_not_answer_is_not_counted(talk: Talk) -> None:
    talk.ask(per_day=1)
    talk.finish(talk.claim(), "", "failed", code="AI_SERVICE_UNAVAILABLE")
    assert talk.hop(queries.remaining, 1) == 1
    assert talk.ask(per_day=1)[0]
    assert talk.ask(per_day=1)[0] is False, "a repeat needs no quota"


def test_two_conversations_at_once_do_not_pass_the_quota(world: World) -> None:
    for _ in range(ROUNDS):
        person = world.person()
        talks = [Talk(world, person) for _ in range(4)]
        found = together(*(partial(talk.ask, per_day=2) for talk in talks))
        assert found.count("AI_QUOTA_EXCEEDED") == 2, found


# -- claims ------------------------------------------------------------------------------------------------------------


def test_two_workers_never_claim_the_same_question(world: World) -> None:
    talks = [Talk(world, world.person()) for _ in range(24)]
    asked = {talk.ask()[1]["id"] for talk in talks}
    claims = together(
        *(partial(world.c.db.system_sync, answering.claim, f"w{name}", 6) for name in range(4)),
        *(partial(world.c.db.system_sync, answering.claim, f"w{name}", 100) for name in range(4, 6)),
    )
    left = world.c.db.system_sync(answering.claim, "last", 1000)
    taken = Counter(one.question_id for found in (*claims, left) for one in found)
    assert set(taken.values()) == {1}
    assert asked <= set(taken)
    for name, found in enumerate(claims):
        assert all(stored(world, one.question_id)["holder"] == f"w{name}" for one in found)


def test_the_oldest_question_is_claimed_first(world: World) -> None:
    world.c.db.system_sync(answering.claim, "earlier tests", 1000)
    talks = [Talk(world, world.person()) for _ in range(3)]
    for talk in talks:
        talk.ask()
        world.clock.advance(timedelta(seconds=1))
    first = world.c.db.system_sync(answering.claim, "w", 2)
    assert [one.conversation_id for one in first] == [talk.id for talk in talks[:2]]
    assert [one.user_id for one in first] == [talk.person.id for talk in talks[:2]]


def test_a_claim_begins_once_and_only_for_its_holder(talk: Talk) -> None:
    talk.ask()
    claimed = talk.claim("one")
    epoch = uuid4()
    assert talk.begin(claimed, "two") is False
    assert talk.begin(claimed, "one", (7, epoch)) is True
    assert talk.begin(claimed, "one", (9, epoch)) is False
    found = talk.question(claimed.question_id)
    assert (found["state"], found["stream"]) == ("streaming", {"offset": 7, "epoch": epoch})
    assert talk.hop(queries.running, talk.id) == {
        "question_id": claimed.question_id,
        "state": "streaming",
        "offset": 7,
        "epoch": epoch,
    }


def test_a_beat_stores_what_was_delivered_and_brings_back_stops_and_losses(world: World) -> None:
    talks = [Talk(world, world.person()) for _ in range(4)]
    for talk in talks:
        talk.ask()
    claims = [talk.claim() for talk in talks]
    for talk, claimed in zip(talks[:3], claims[:3], strict=True):
        talk.begin(claimed)
    talks[1].stop()
    talks[2].finish(claims[2])
    world.c.db.system_sync(answering.release, "worker", [claims[3].question_id])
    strange = uuid4()
    partials = {one.question_id: "so \x08far" for one in claims} | {strange: ""}
    found = world.c.db.system_sync(answering.beat, "worker", partials)
    assert found.stop == {claims[1].question_id}
    assert found.lost == {claims[2].question_id, claims[3].question_id, strange}
    assert talks[0].question(claims[0].question_id)["text"] == "so \x08far"
    assert talks[2].question(claims[2].question_id)["text"] == "Because.", "an ended answer keeps its text"
    assert world.c.db.system_sync(answering.beat, "worker", {}) == answering.Beat(frozenset(), frozenset())


def test_what_was_released_is_claimed_again_without_losing_an_attempt(talk: Talk) -> None:
    talk.ask()
    first = talk.claim("one")
    assert talk.world.c.db.system_sync(answering.release, "two", [first.question_id]) == 0
    assert talk.world.c.db.system_sync(answering.release, "one", [first.question_id]) == 1
    second = talk.claim("two")
    assert (second.question_id, second.attempts) == (first.question_id, 0)
    assert talk.begin(first, "one") is False
    assert talk.begin(second, "two") is True
    assert talk.world.c.db.system_sync(answering.release, "two", [first.question_id]) == 0, "it has a token"


# -- stopping ----------------------------------------------------------------------------------------------------------


def test_a_question_that_nobody_took_is_stopped_at_once(talk: Talk) -> None:
    assert talk.stop() is None
    _, asked = talk.ask()
    assert talk.stop()["state"] == "stopped"
    assert talk.stop() is None
    assert asked["id"] not in {one.question_id for one in talk.world.c.db.system_sync(answering.claim, "w", 1000)}
    assert talk.ask()[0]


def test_a_stop_is_kept_for_whoever_answers(talk: Talk) -> None:
    talk.ask()
    claimed = talk.claim()
    talk.begin(claimed)
    assert talk.stop()["state"] == "streaming"
    assert talk.world.c.db.system_sync(answering.beat, "worker", {claimed.question_id: "Be"}).stop
    ended = talk.finish(claimed, "Be", "stopped")
    assert (ended["state"], ended["message"]["state"], ended["message"]["content"]) == ("stopped", "stopped", "Be")
    assert talk.messages()[-1] == ended["message"]


def test_stop_against_claim_is_decided_once(world: World) -> None:
    seen = Counter()
    for _ in range(3 * ROUNDS):
        talk = Talk(world, world.person())
        _, asked = talk.ask()
        stopped, taken = together(talk.stop, partial(world.c.db.system_sync, answering.claim, "w", 1000))
        mine = [one for one in taken if one.question_id == asked["id"]]
        assert stopped is not None
        if mine:
            assert stopped["state"] == "claimed"
            assert world.c.db.system_sync(answering.beat, "w", {asked["id"]: ""}).stop == {asked["id"]}
        else:
            assert stopped["state"] == "stopped"
        seen[stopped["state"]] += 1
    assert sum(seen.values()) == 3 * ROUNDS


def test_ask_against_stop_leaves_a_question_that_is_one_or_the_other(world: World) -> None:
    for _ in range(ROUNDS):
        talk = Talk(world, world.person())
        (is_new, asked), stopped = together(talk.ask, talk.stop)
        assert is_new
        state = talk.question(asked["id"])["state"]
        assert state == ("waiting" if stopped is None else "stopped")


# -- finishing ---------------------------------------------------------------------------------------------------------


def test_an_answer_is_stored_once_with_its_usage_and_cost(talk: Talk) -> None:
    _, asked = talk.ask()
    claimed = talk.claim()
    talk.begin(claimed)
    talk.world.clock.advance(timedelta(milliseconds=1500))
    ended = talk.finish(claimed, usage=Usage(1000, 201), prices=Prices(0.15, 0.6))
    message = ended["message"]
    assert (message["role"], message["content"], message["state"]) == ("assistant", "Because.", "complete")
    assert (message["tokens_used"], message["response_time_ms"]) == (1201, 1500)
    usage = {"prompt_tokens": 1000, "completion_tokens": 201, "cost_usd": 0.000271}
    assert ended == {
        "question_id": asked["id"],
        "conversation_id": talk.id,
        "state": "done",
        "message": message,
        "usage": usage,
        "code": None,
    }
    assert talk.finish(claimed) is None
    found = talk.question(asked["id"])
    assert (found["state"], found["text"], found["message"], found["usage"]) == ("done", "Because.", message, usage)
    assert found["asked"] == asked["message"]
    assert [row["role"] for row in talk.messages()] == ["user", "assistant"]
    view = talk.view()
    assert (view["message_count"], view["last_activity"]) == (2, talk.world.clock.now())
    row = stored(talk.world, asked["id"])
    assert (row["cost_micros"], row["partial"], row["model"], row["provider"]) == (271, "", "model", "provider")


@pytest.mark.parametrize(
    ("usage", "prices", "cost"),
    [
        (Usage(1, 0), Prices(0.5, 1.0), 0),  # 0.5 rounds to the even neighbour
        (Usage(3, 0), Prices(0.5, 1.0), 2),
        (Usage(1, 1), Prices(0.15, 0.35), 0),  # added before it is rounded, and in decimals
        (Usage(3, 3), Prices(0.15, 0.35), 2),
        (Usage(1_000_000, 1_000_000), Prices(2.5, 10.0), 12_500_000),
        (Usage(0, 0), Prices(0.15, 0.6), 0),
        (Usage(10, 10), Prices(0.0, 0.0), 0),
        (Usage(10, 10), Prices(None, 0.6), None),
        (Usage(10, 10), Prices(0.15, None), None),
        (Usage(10, None), Prices(0.15, 0.6), None),
        (Usage(None, 10), Prices(0.15, 0.6), None),
        (Usage(10, 10), None, None),
    ],
)
def test_the_cost_is_rounded_once_and_null_where_a_number_is_missing(
    usage: Usage, prices: Prices | None, cost: int | None
) -> None:
    assert answering.cost_micros(usage, prices) == cost


def test_an_answer_without_usage_measures_nothing(talk: Talk) -> None:
    talk.ask()
    ended = talk.finish(talk.claim(), prices=Prices(0.15, 0.6))
    assert ended["usage"] == {"prompt_tokens": None, "completion_tokens": None, "cost_usd": None}
    assert ended["message"]["tokens_used"] is None


def test_nothing_that_a_provider_says_keeps_an_answer_from_being_stored(talk: Talk) -> None:
    talk.ask()
    claimed = talk.claim()
    talk.begin(claimed)
    talk.world.c.db.system_sync(answering.beat, "worker", {claimed.question_id: "a\x00b\ud800c"})
    assert talk.question(claimed.question_id)["text"] == "ab?c"
    ended = talk.finish(claimed, "a\x00b\ud800c", usage=Usage(10**12, -1), prices=Prices(1.0, 1.0))
    assert ended["message"]["content"] == "ab?c"
    assert ended["usage"] == {"prompt_tokens": None, "completion_tokens": None, "cost_usd": None}


def test_two_who_finish_at_once_store_one_answer(world: World) -> None:
    for _ in range(ROUNDS):
        talk = Talk(world, world.person())
        talk.ask()
        claimed = talk.claim()
        talk.begin(claimed)
        found = together(*(partial(talk.finish, claimed, f"Answer {number}") for number in range(4)))
        ended = [one for one in found if one is not None]
        assert len(ended) == 1
        assert talk.messages()[1:] == [ended[0]["message"]]
        assert talk.view()["message_count"] == 2


def test_finish_against_ask_keeps_order_and_count(world: World) -> None:
    for _ in range(ROUNDS):
        talk = Talk(world, world.person())
        talk.ask("Why?")
        claimed = talk.claim()
        talk.begin(claimed)
        ended, asked = together(partial(talk.finish, claimed), partial(talk.ask, "How?"))
        assert ended is not None
        messages = [row["content"] for row in talk.messages()]
        assert messages == (["Why?", "Because."] if asked == "ANSWER_RUNNING" else ["Why?", "Because.", "How?"])
        assert talk.view()["message_count"] == len(messages)


def test_the_order_of_messages_does_not_hang_on_clocks(talk: Talk) -> None:
    talk.ask("Why?")
    claimed = talk.claim()
    talk.world.clock.advance(timedelta(seconds=-5))
    try:
        ended = talk.finish(claimed)
    finally:
        talk.world.clock.advance(timedelta(seconds=5))
    assert [row["content"] for row in talk.messages()] == ["Why?", "Because."]
    assert ended["message"]["response_time_ms"] == 0


# -- a holder that fell silent -----------------------------------------------------------------------------------------


def test_without_a_token_a_question_waits_again_and_fails_after_three_claims(talk: Talk) -> None:
    _, asked = talk.ask()
    for attempt in range(3):
        claimed = talk.claim(f"w{attempt}")
        assert claimed.attempts == attempt
        assert overdue(talk.world, only=[asked["id"]]) == {}
        talk.world.clock.advance(timedelta(seconds=10.5))
        taken = overdue(talk.world)[asked["id"]]
        assert taken.state == ("waiting" if attempt < 2 else "failed")
        assert talk.begin(claimed, f"w{attempt}") is False
        assert talk.finish(claimed, holder=f"w{attempt}") is None
    found = talk.question(asked["id"])
    assert (found["state"], found["error_code"], found["message"]) == ("failed", "AI_SERVICE_UNAVAILABLE", None)
    assert talk.ask()[0]


def test_a_stopped_claim_whose_holder_died_ends_stopped(talk: Talk) -> None:
    _, asked = talk.ask()
    talk.claim()
    talk.stop()
    talk.world.clock.advance(timedelta(seconds=11))
    assert overdue(talk.world)[asked["id"]].state == "stopped"


def test_with_a_token_it_is_the_caller_s_to_finish_and_keeps_what_was_delivered(talk: Talk) -> None:
    _, asked = talk.ask()
    claimed = talk.claim()
    epoch = uuid4()
    talk.begin(claimed, position=(3, epoch))
    talk.world.c.db.system_sync(answering.beat, "worker", {asked["id"]: "Bec"})
    talk.world.clock.advance(timedelta(seconds=11))
    taken = overdue(talk.world)[asked["id"]]
    assert (taken.state, taken.partial, taken.stream) == ("streaming", "Bec", (3, epoch))
    assert overdue(talk.world, "another", only=[asked["id"]]) == {}, "it was taken a moment ago"
    assert talk.finish(claimed) is None, "the old holder has lost it"
    assert talk.world.c.db.system_sync(answering.beat, "worker", {asked["id"]: "Because"}).lost == {asked["id"]}
    ended = talk.finish(claimed, "Beca", "interrupted", holder="sweeper", code="AI_SERVICE_UNAVAILABLE")
    assert (ended["state"], ended["code"]) == ("interrupted", "AI_SERVICE_UNAVAILABLE")
    assert (ended["message"]["content"], ended["message"]["state"]) == ("Beca", "interrupted")


def test_a_sweeper_that_died_is_swept_too(talk: Talk) -> None:
    _, asked = talk.ask()
    talk.begin(talk.claim())
    for sweeper in ("one", "two"):
        talk.world.clock.advance(timedelta(seconds=11))
        assert overdue(talk.world, sweeper)[asked["id"]].state == "streaming"
    assert stored(talk.world, asked["id"])["holder"] == "two"


def test_finish_against_overdue_is_decided_once(world: World) -> None:
    seen = Counter()
    for _ in range(2 * ROUNDS):
        talk = Talk(world, world.person())
        _, asked = talk.ask()
        claimed = talk.claim()
        talk.begin(claimed)
        world.clock.advance(timedelta(seconds=11))
        ended, taken = together(partial(talk.finish, claimed, "All of it"), partial(overdue, world))
        if ended is None:
            assert taken[asked["id"]].state == "streaming"
            ended = talk.finish(claimed, "Some", "interrupted", holder="sweeper")
        assert talk.finish(claimed, "Some", "interrupted", holder="sweeper") is None
        assert talk.messages()[1:] == [ended["message"]]
        seen[ended["state"]] += 1
    assert sum(seen.values()) == 2 * ROUNDS


def test_beat_against_overdue_is_decided_once(world: World) -> None:
    for _ in range(ROUNDS):
        talk = Talk(world, world.person())
        _, asked = talk.ask()
        talk.begin(talk.claim())
        world.clock.advance(timedelta(seconds=11))
        beat, taken = together(
            partial(world.c.db.system_sync, answering.beat, "worker", {asked["id"]: "So"}), partial(overdue, world)
        )
        assert (asked["id"] in taken) == (stored(world, asked["id"])["holder"] == "sweeper")
        assert beat.lost <= set(taken)


# -- whose it is -------------------------------------------------------------------------------------------------------


def test_nobody_but_the_owner_reads_or_asks(world: World) -> None:
    school = world.organization()
    teacher = world.person("teacher", school)
    course = world.course(teacher)["id"]
    talks = [Talk(world, world.person("teacher", school)), Talk(world, world.person("admin", school), course)]
    claims = [talk.answered() for talk in talks]
    others = [teacher, world.person(tenant_id=school), world.person("admin", school), world.person(platform=True)]
    others += [world.person("teacher", world.organization()), world.person("admin", world.organization())]
    commands: list[tuple[Any, tuple[Any, ...]]] = [
        (queries.conversation, ()),
        (queries.messages, ()),
        (queries.running, ()),
        (service.stop, ()),
        (service.ask, ("Why?", None, PER_DAY)),
    ]
    for other in others:
        for talk, claimed in zip(talks, claims, strict=True):
            for fn, args in commands:
                with pytest.raises((NotFound, Forbidden)):
                    talk.hop(fn, talk.id, *args, by=other)
            # Row-level security holds even where the permission would not: in a hop that is about nothing.
            hop = other.principal.needing(Ai.MINE)
            assert world.c.db.run_sync(hop, queries.question, claimed.question_id) is None
            for fn, args in commands[:2]:
                with pytest.raises(NotFound):
                    world.c.db.run_sync(hop, fn, talk.id, *args)
            assert world.c.db.run_sync(hop, queries.conversations, Window()).rows == []
    assert [len(talk.messages()) for talk in talks] == [2, 2]


def test_whoever_lost_the_course_asks_no_further_and_still_reads(world: World) -> None:
    teacher = world.person("teacher", world.organization())
    course = world.course(teacher)["id"]
    learner = world.person()
    stand(world, teacher.tenant_id, course, learner.id)
    talk = Talk(world, learner, course)
    talk.answered()
    _, asked = talk.ask("And then?", key="k")
    stand(world, teacher.tenant_id, course, learner.id, ended=True)
    assert talk.ask("And then?", key="k") == (False, asked), "a repeat asks nothing new"
    talk.finish(talk.claim())
    with pytest.raises(Forbidden, match="COURSE_ACCESS_ERROR"):
        talk.ask("One more?")
    assert len(talk.messages()) == 4
    with pytest.raises(Forbidden):
        Talk(world, learner, course)
