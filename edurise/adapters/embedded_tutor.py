"""The stand-in for a language model in embedded mode: it quotes what the course says, and says that it does no more.

The settings refuse it in production.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Callable

from edurise.ai.ports import Brief, Passage, Piece, Text
from edurise.ai.prompting import cut
from edurise.texts import catalogue as texts

PACE_S = 0.02
"""Seconds between two words."""
MOST_QUOTES = 3
LONGEST_QUOTE = 600
"""Characters."""
_WORDS = re.compile(r"\s*\S+\s*")
_log = logging.getLogger(__name__)


class EmbeddedTutor:
    """The port ``Tutor`` without a model. It counts no tokens, so there is no usage."""

    name = "embedded"
    model = "quotations"
    description = "Offline tutor: no language model is connected, answers are quotations from the course."

    def __init__(self, pace_s: float = PACE_S, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        self._pace_s = pace_s
        self._sleep = sleep
        _log.warning(self.description)

    async def answer(self, brief: Brief) -> AsyncGenerator[Piece]:
        """Yield the answer word by word, in the person's language; its first sentence says what it is."""
        for number, word in enumerate(_WORDS.findall(written(brief))):
            if number:
                await self._sleep(self._pace_s)
            yield Text(word)

    async def close(self) -> None:
        """There is nothing to close."""


def written(brief: Brief) -> str:
    """The whole answer: what this is, then quotations with their module and lesson, or that there are none."""
    language = brief.language
    parts = [texts.text("TUTOR_OFFLINE", language)]
    if brief.course is None:
        parts.append(texts.text("TUTOR_WITHOUT_COURSE", language))
    elif not brief.passages:
        parts.append(texts.text("TUTOR_FOUND_NOTHING", language, {"course": brief.course}))
    else:
        parts.append(texts.text("TUTOR_FOUND", language, {"course": brief.course}))
        parts += [_quoted(one, language) for one in brief.passages[:MOST_QUOTES]]
    return "\n\n".join(parts)


def _quoted(passage: Passage, language: str) -> str:
    told = {"quote": cut(passage.text, LONGEST_QUOTE), "module": passage.module, "lesson": passage.lesson}
    return texts.text("TUTOR_QUOTE", language, told)
