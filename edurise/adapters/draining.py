"""Ending what runs on a loop."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any


async def drain(running: Collection[asyncio.Task[Any]], seconds: float) -> None:
    """Wait for tasks that run, at most ``seconds``, then cancel the rest and wait until they are gone."""
    if not running:
        return
    _, late = await asyncio.wait(set(running), timeout=seconds)
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late)
