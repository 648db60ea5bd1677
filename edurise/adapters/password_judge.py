"""Judges passwords by zxcvbn, by the list of common ones that comes with it, and by a file of breached ones."""

from __future__ import annotations

import asyncio
import hashlib
import mmap
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from zxcvbn import zxcvbn
from zxcvbn.frequency_lists import FREQUENCY_LISTS

_ENOUGH = 3  # of 0 to 4: "safely unguessable, moderate protection from an offline attack on a slow hash"
_SCORED = 64  # characters; what comes after cannot make a password weaker, and the cost grows with the square
_DIGEST = 40


class ZxcvbnJudge:
    """``breached`` is a file of upper-case SHA-1 hashes in order, one a line, with or without ``:count`` behind, as the
    Pwned Passwords list is published. It is searched where it lies."""

    def __init__(self, breached: Path | None = None) -> None:
        self._common = frozenset(FREQUENCY_LISTS["passwords"])
        self._breached = breached
        self._threads = ThreadPoolExecutor(1, "judge")

    async def fault_of(self, password: str, about: Sequence[str]) -> str | None:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._judge, password, tuple(about))

    def close(self) -> None:
        self._threads.shutdown(wait=True)

    def _judge(self, password: str, about: tuple[str, ...]) -> str | None:
        if password.lower() in self._common or self._is_breached(password):
            return "breached_password"
        words = [part for word in about for part in (word, *word.replace("@", " ").replace(".", " ").split()) if part]
        score: int = zxcvbn(password[:_SCORED], user_inputs=words)["score"]
        return "weak_password" if score < _ENOUGH else None

    def _is_breached(self, password: str) -> bool:
        if self._breached is None or self._breached.stat().st_size == 0:
            return False
        wanted = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper().encode()
        with self._breached.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as lines:
            return _holds(lines, wanted)


def _holds(lines: mmap.mmap, wanted: bytes) -> bool:
    """Whether a line begins with ``wanted``: a binary search over offsets, each moved to the start of its line."""
    low, high = 0, len(lines)
    while low < high:
        start = lines.rfind(b"\n", 0, (low + high) // 2) + 1
        found = bytes(lines[start : start + _DIGEST]).upper()
        if found == wanted:
            return True
        end = lines.find(b"\n", start)
        if found < wanted:
            low = len(lines) if end < 0 else end + 1
        else:
            high = start
    return False
