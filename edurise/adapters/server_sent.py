"""Server-sent events in the bytes of a response: https://html.spec.whatwg.org/multipage/server-sent-events.html.

Only their data is read, which is all that APIs of language models send in them. Lines end with LF or CRLF.
"""

from __future__ import annotations

LONGEST_BYTES = 2**20
"""Data of one event."""


class Oversize(Exception):
    """An event goes on and on."""


class EventReader:
    """Takes bytes as they come and gives the data of each event once the event is whole."""

    def __init__(self, longest_bytes: int = LONGEST_BYTES) -> None:
        self._longest = longest_bytes
        self._rest = b""
        self._lines: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The events that end within ``data``, each as its lines of data joined by LF. Raises Oversize."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        events = []
        for line in lines:
            bare = line[:-1] if line.endswith(b"\r") else line
            if bare.startswith(b"data:"):
                self._lines.append(bare[6:] if bare.startswith(b"data: ") else bare[5:])
                self._size += len(bare)
            elif not bare and self._lines:
                events.append(b"\n".join(self._lines))
                self._lines, self._size = [], 0
        if self._size + len(self._rest) > self._longest:
            raise Oversize
        return events
