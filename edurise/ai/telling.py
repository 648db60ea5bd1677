"""What the channel of a conversation is told of an answer: that it began, every part of it once and in order, its end.

The channel may vanish with Redis at any time. What is then lost left no gap in its numbers, so the next event begins
another numbering and repeats the text from its start.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol
from uuid import UUID

from edurise.ai.service import channel_of
from edurise.channels import Replay
from edurise.errors import Overloaded
from edurise.ports import ChannelEvent, Streams

LONGEST = 1_024
"""Characters in one frame, which are at most 4 KiB."""


class Kept(Protocol):
    """The reading side of the channels."""

    async def read(self, channel: str, after: int | None, epoch: UUID | None) -> Replay:
        """What followed a position. Raises Overloaded."""


class Telling:
    """One answer on its way into the channel. ``text`` is all of it that came so far."""

    def __init__(self, streams: Streams, conversation_id: UUID, question_id: UUID) -> None:
        self._streams = streams
        self._channel = channel_of(conversation_id)
        self._question_id = str(question_id)
        self._epoch: UUID | None = None
        self._told = 0
        self._lost = False
        self.text = ""

    async def start(self, message: dict[str, Any]) -> tuple[int, UUID] | None:
        """Say that the answer to this message begins; returns that event's position, None if it was not taken."""
        event = await self._append("answer_started", {"message": message})
        return None if event is None else (event.offset, event.epoch)

    async def tell(self) -> bool:
        """Tell the text that was not told yet. False if the channel did not take it: then all of it is told next time.

        What is added meanwhile is told too.
        """
        while self._told < len(self.text) or (self._lost and self.text):
            begin = 0 if self._lost else self._told
            part = self.text[begin : begin + LONGEST]
            data: dict[str, object] = {"text": part}
            if self._lost:
                data["replace"] = True
            if await self._append("token", data) is None:
                return False
            self._told = begin + len(part)
        return True

    async def end(self, ended: dict[str, Any]) -> bool:
        """Tell what is left of the text and the end, ``ended`` being what ``answering.finish`` returned. False: call it
        again."""
        if not await self.tell():
            return False
        kind, data = ending(ended)
        return await self._append(kind, data) is not None

    async def _append(self, kind: str, data: dict[str, object]) -> ChannelEvent | None:
        event = await self._streams.append(
            self._channel,
            kind,
            {"question_id": self._question_id, **data},
            renew=self._lost,
            epoch=None if self._lost else self._epoch,
        )
        self._lost = event is None
        if event is not None:
            self._epoch = event.epoch
        return event


def ending(ended: dict[str, Any]) -> tuple[str, dict[str, object]]:
    """The type and the data of the event that ends an answer, from what ``answering.finish`` returned."""
    about = {"question_id": str(ended["question_id"]), "message": ended["message"]}
    if ended["state"] in ("done", "stopped"):
        return "done", {**about, "state": ended["state"], "usage": ended["usage"]}
    return "interrupted", {**about, "code": ended["code"]}


def said(events: Iterable[ChannelEvent], question_id: UUID, *, from_start: bool) -> str:
    """The text of an answer in the events of its channel, as far as it can be told.

    ``from_start`` says that they begin where the answer does; else only what follows a repetition of its text counts.
    """
    text: str | None = "" if from_start else None
    for event in events:
        if event.type == "token" and str(event.data["question_id"]) == str(question_id):
            if event.data.get("replace"):
                text = ""
            if text is not None:
                text += str(event.data["text"])
    return text or ""


async def delivered(streams: Kept, conversation_id: UUID, question_id: UUID, position: tuple[int, UUID] | None) -> str:
    """What the channel holds of an answer that began after ``position``, None where it had none.

    After a loss of Redis that is what was told again from the start, if it was; nothing while Redis is away.
    """
    channel = channel_of(conversation_id)
    try:
        if position is not None:
            kept = await streams.read(channel, *position)
            if kept.recovered:
                return said(kept.events, question_id, from_start=True)
        anew = await streams.read(channel, 0, None)
    except Overloaded:
        return ""
    return said(anew.events, question_id, from_start=False)
