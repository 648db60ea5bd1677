"""The offline tutor: quotes the course, says what it is, in the person's language, word by word."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from edurise.adapters.embedded_tutor import LONGEST_QUOTE, MOST_QUOTES, PACE_S, EmbeddedTutor, written
from edurise.ai.ports import Brief, Passage, Text
from edurise.texts import text as sentence


def brief(*texts: str, course: str | None = "Knots", language: str = "en") -> Brief:
    passages = tuple(Passage(uuid4(), f"Lesson {number}", "Basics", text) for number, text in enumerate(texts, 1))
    return Brief(uuid4(), uuid4(), "What is a bowline?", course, passages, (), language)


def answer(tutor: EmbeddedTutor, asked: Brief) -> list[str]:
    async def collect() -> list[str]:
        parts = []
        async for piece in tutor.answer(asked):
            assert isinstance(piece, Text), "nobody counts tokens, so there is no usage"
            parts.append(piece.text)
        return parts

    return asyncio.run(collect())


@pytest.mark.parametrize("language", ["en", "de", "ar", "fr"])
def test_the_first_sentence_says_what_it_is(language: str) -> None:
    for asked in (
        brief("A knot.", language=language),
        brief(language=language),
        brief(course=None, language=language),
    ):
        found = "".join(answer(EmbeddedTutor(pace_s=0), asked))
        assert found.split("\n\n")[0] == sentence("TUTOR_OFFLINE", language)
        assert found == written(asked)


def test_it_quotes_passages_with_their_module_and_lesson() -> None:
    found = written(brief("A bowline is a knot.", "So is a hitch."))
    assert "In the course “Knots” I found this:" in found
    assert "“A bowline is a knot.” (Basics, lesson “Lesson 1”)" in found
    assert found.index("Lesson 1") < found.index("Lesson 2")


def test_it_says_that_it_found_nothing_and_that_there_is_no_course() -> None:
    assert written(brief()).endswith("In the course “Knots” I found nothing about your question.")
    assert "not about a course" in written(brief(course=None))


def test_quotations_are_few_and_short() -> None:
    found = written(brief(*["long " * 1000] * 9))
    assert found.count("(Basics, lesson") == MOST_QUOTES
    assert len(found) < MOST_QUOTES * (LONGEST_QUOTE + 100) + 500


@pytest.mark.parametrize("said", ["{quote} {lesson} %s", "“{language.__class__}”", "{0} {} {{", "\\n {course!r}"])
def test_what_a_lesson_says_is_no_template(said: str) -> None:
    assert said in written(brief(said))
    assert said in written(brief(course=said))


def test_it_streams_word_by_word_at_its_pace() -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    parts = answer(EmbeddedTutor(sleep=sleep), brief("A bowline is a knot."))
    assert len(parts) == len(written(brief("A bowline is a knot.")).split())
    assert all(len(part.split()) == 1 for part in parts)
    assert waits == [PACE_S] * (len(parts) - 1)
    assert PACE_S == 0.02


def test_it_is_what_a_container_without_a_key_has_and_can_be_closed() -> None:
    tutor = EmbeddedTutor(pace_s=0)
    assert (tutor.name, tutor.model) == ("embedded", "quotations")
    asyncio.run(tutor.close())
