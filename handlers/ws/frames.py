"""What a frame holds: the envelope, its flat twin, and the codes by which a socket is closed. See docs/protocol.md."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import IntEnum

import orjson

from edurise.errors import Kind
from edurise.ports import ChannelEvent
from handlers.ws.wire import text_frame


class Close(IntEnum):
    """Codes of a clean close. 44xx is the HTTP status of the same refusal, where there is one."""

    INTERNAL = 1011
    RESTART = 1012
    BAD_FRAME = 4400
    UNAUTHENTICATED = 4401
    FORBIDDEN = 4403
    NOT_FOUND = 4404
    SLOW = 4408
    TOO_BIG = 4413
    TOO_MANY = 4429


CLOSE_OF: Mapping[Kind, Close] = {
    Kind.INVALID: Close.BAD_FRAME,
    Kind.UNAUTHENTICATED: Close.UNAUTHENTICATED,
    Kind.FORBIDDEN: Close.FORBIDDEN,
    Kind.NOT_FOUND: Close.NOT_FOUND,
    Kind.CONFLICT: Close.BAD_FRAME,
    Kind.PRECONDITION: Close.BAD_FRAME,
    Kind.CHECKSUM: Close.BAD_FRAME,
    Kind.RANGE: Close.BAD_FRAME,
    Kind.OVERSIZE: Close.TOO_BIG,
    Kind.MEDIA_TYPE: Close.BAD_FRAME,
    Kind.LIMITED: Close.TOO_MANY,
    Kind.OVERLOADED: Close.TOO_MANY,
    Kind.UPSTREAM: Close.INTERNAL,
}
"""How the sockets' edge maps the kinds of the error tree."""


class Message:
    """A stored event on its way to sockets; each form of its frame is built once, for all of them."""

    __slots__ = ("_flat", "_plain", "event")

    def __init__(self, event: ChannelEvent) -> None:
        self.event = event
        self._plain: bytes | None = None
        self._flat: bytes | None = None

    def frame(self, flat: bool) -> bytes:
        """The frame's bytes, with the event's fields at the top level too for the doors."""
        if flat:
            if self._flat is None:
                self._flat = _encode({**self.event.data, **self._envelope()})
            return self._flat
        if self._plain is None:
            self._plain = _encode(self._envelope())
        return self._plain

    def _envelope(self) -> dict[str, object]:
        event = self.event
        return {
            "type": event.type,
            "data": event.data,
            "channel": event.channel,
            "offset": event.offset,
            "epoch": event.epoch,
            "timestamp": event.at,
        }


def control_frame(
    type: str,  # noqa: A002 - the frame's own word
    data: Mapping[str, object],
    at: datetime,
    *,
    flat: bool = False,
    **position: object,
) -> bytes:
    """A frame that is no stored event: an answer, a greeting, an error. ``position`` is channel, offset, epoch."""
    envelope = {"type": type, "data": dict(data), **position, "timestamp": at}
    return _encode({**data, **envelope} if flat else envelope)


def _encode(content: Mapping[str, object]) -> bytes:
    return text_frame(orjson.dumps(content, option=orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC))
