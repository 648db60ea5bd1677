"""What the tutor needs from the outside: somebody who answers, and word that an answer has ended."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Literal, Protocol
from uuid import UUID

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Message:
    """One message of a finished prompt, in the order in which the provider reads them."""

    role: Role
    content: str


@dataclass(frozen=True)
class Passage:
    """Plain text, without markup, quoted from one lesson of the course that the question is about."""

    lesson_id: UUID
    lesson: str
    module: str
    text: str


@dataclass(frozen=True)
class Brief:
    """Everything that an answer is made from. ``messages`` is the whole prompt: nothing else may reach a provider.

    ``question`` is the person's own text, ``course`` the title of the course or None outside of one, ``passages`` what
    was found in it (best first), ``language`` the person's, a BCP 47 tag.
    """

    question_id: UUID
    conversation_id: UUID
    question: str
    course: str | None
    passages: tuple[Passage, ...]
    messages: tuple[Message, ...]
    language: str


@dataclass(frozen=True)
class Text:
    """The next part of the answer, never empty."""

    text: str


@dataclass(frozen=True)
class Usage:
    """What the provider counted. A number that it does not tell is None, never a guess."""

    prompt_tokens: int | None
    completion_tokens: int | None


Piece = Text | Usage


class Broken(Exception):
    """The stream ended before the answer did, after its first part: what came stays delivered. ``reason`` is a word for
    the log."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Tutor(Protocol):
    """Answers questions, one part after the other."""

    @property
    def name(self) -> str:
        """The provider's word that is stored with an answer, for example ``openai`` or ``embedded``."""

    @property
    def model(self) -> str:
        """The model that is stored with an answer."""

    def answer(self, brief: Brief) -> AsyncGenerator[Piece]:
        """Yield ``Text`` parts, and at most one ``Usage``. Closing the generator ends the call at the provider.

        Raises Upstream("AI_SERVICE_UNAVAILABLE") before the first part, when the tutor's own attempts are used up, and
        Broken after it. An answer without any text is Upstream too.
        """

    async def close(self) -> None:
        """Close the connections of the running loop."""


class Answers(Protocol):
    """Word that an answer has ended. It may come late or never: whoever waits asks the database in the end."""

    async def wait(self, channel: str, question_id: UUID, seconds: float) -> bool:
        """Return True as soon as the answer has ended, False after ``seconds`` or when its end may have been missed.

        Never raises for a server that is away.
        """
