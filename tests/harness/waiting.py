"""The one place where a test waits for what another process does: by asking again, and not for ever."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

ASK_EVERY_S = 0.05


async def eventually(check: Callable[[], T | Awaitable[T]], what: str, within_s: float = 20.0) -> T:
    """Return the first true answer of ``check``; fails, with its last answer, after ``within_s`` seconds."""
    loop = asyncio.get_running_loop()
    until = loop.time() + within_s
    while True:
        answer = check()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        if loop.time() > until:
            raise AssertionError(f"{what}: not within {within_s:.0f} s; the last answer was {answer!r}")
        await asyncio.sleep(ASK_EVERY_S)
