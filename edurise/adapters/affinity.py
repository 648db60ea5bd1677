"""Keeping a process on one core.

The threads of one interpreter run one at a time. Spread over several cores they hand its lock from core to core, which
costs a fifth to a third of a list request; on one core of its own a process serves more, and the database gets the
others. Password hashes are made outside the lock and are let out again.
"""

from __future__ import annotations

import os
import sys


class CannotPin(ValueError):
    """The core does not exist, is not ours, or the platform cannot pin."""


class Affinity:
    """The cores that this process was given at its start, and the one that it stays on."""

    def __init__(self) -> None:
        self._given: set[int] | None = None

    def pin(self, cpu: int) -> None:
        """Keep the calling thread, and those that it starts from now on, on one core. Raises CannotPin."""
        if sys.platform != "linux":
            raise CannotPin(f"this platform ({sys.platform}) cannot keep a process on a core")
        given = os.sched_getaffinity(0)
        if cpu not in given:
            raise CannotPin(f"core {cpu} is not among those of this process ({', '.join(map(str, sorted(given)))})")
        os.sched_setaffinity(0, {cpu})
        self._given = given

    def release(self) -> None:
        """Let the calling thread use every core that the process was given."""
        if self._given is not None and sys.platform == "linux":
            os.sched_setaffinity(0, self._given)


AFFINITY = Affinity()
"""Of this process: threads inherit what their starter has, so there is one."""
