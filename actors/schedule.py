"""The scheduler: one process of many leads, by a lease row, and starts the jobs that are due.

A job is repeatable: a leader that dies in the middle leaves it to the next run. Times of runs are rows, so a restart
does not run everything.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from uuid_utils.compat import uuid7

from actors.registry import load_actors
from edurise import leases
from edurise.adapters.draining import drain

if TYPE_CHECKING:
    from edurise.container import Container

LOG = structlog.get_logger("schedule")

LEASE = "scheduler"
LEASE_S = 15.0
"""How long the jobs rest if a leader dies."""
TICK_S = 1.0
RETRY_S = 60.0
"""How soon a job that failed is due again, if its period is longer."""

JobFunction = Callable[["Container"], Awaitable[None]]


@dataclass(frozen=True)
class Job:
    """What is done every ``every_s`` seconds, by the leader, never twice at a time. ``name`` is its key in
    ``job_runs``.
    """

    name: str
    every_s: float
    run: JobFunction


class Jobs:
    """The declared jobs, by name."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}

    def add(self, one: Job) -> None:
        """Raises ValueError for a name that is taken or a period that is not positive."""
        if one.name in self._jobs:
            raise ValueError(f"job {one.name} is declared twice")
        if one.every_s <= 0:
            raise ValueError(f"job {one.name} must have a positive period, not {one.every_s} s")
        self._jobs[one.name] = one

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs.values())


JOBS = Jobs()
"""What ``@job`` declares."""


def job(*, every_s: float, name: str | None = None, jobs: Jobs = JOBS) -> Callable[[JobFunction], JobFunction]:
    """Declare the coroutine function below as a job; it stays what it is. ``name`` defaults to ``module.function``."""

    def declare(function: JobFunction) -> JobFunction:
        if not inspect.iscoroutinefunction(function) or len(inspect.signature(function).parameters) != 1:
            raise TypeError(f"{function!r} is no coroutine function that takes the container")
        default = f"{function.__module__.removeprefix('actors.')}.{function.__name__}"
        jobs.add(Job(name or default, every_s, function))
        return function

    return declare


def load_jobs() -> Jobs:
    """Import every module of this package, so that what they declare is known; returns JOBS."""
    load_actors()
    return JOBS


class Schedule:
    """Leads while it holds the lease. ``run`` ticks until cancelled; tests call ``tick`` and ``idle`` themselves."""

    def __init__(self, c: Container, jobs: Jobs, holder: str | None = None) -> None:
        self._c = c
        self._jobs = jobs
        self._holder = holder or f"{socket.gethostname()}:{uuid7()}"
        self._running: dict[str, asyncio.Task[None]] = {}
        self.is_leader = False

    async def run(self) -> None:
        """Tick every second until cancelled; then let the running jobs finish and release the lease."""
        try:
            while True:
                try:
                    await self.tick()
                except Exception:
                    LOG.exception("a tick of the scheduler failed")
                await asyncio.sleep(TICK_S)
        finally:
            await drain(set(self._running.values()), self._c.settings.drain_s)
            await self._give_up()

    async def tick(self) -> list[str]:
        """Take or keep the lease, and start what is due; returns the names of what was started."""
        led = self.is_leader
        try:
            self.is_leader = await self._c.db.system(leases.take, LEASE, self._holder, LEASE_S)
        except Exception:
            await self._rest()  # without a database nobody knows who leads
            raise
        if self.is_leader != led:
            LOG.info("scheduler leads" if self.is_leader else "scheduler follows", holder=self._holder)
        if not self.is_leader:
            await self._rest()
            return []
        return [one.name for one in self._jobs if one.name not in self._running and await self._start(one)]

    async def idle(self) -> None:
        """Wait for the running jobs."""
        while self._running:
            await asyncio.wait(set(self._running.values()))

    async def _start(self, one: Job) -> bool:
        if not await self._c.db.system(leases.start_job, one.name, one.every_s):
            return False
        task = asyncio.ensure_future(self._perform(one))
        self._running[one.name] = task
        task.add_done_callback(lambda _: self._running.pop(one.name, None))
        return True

    async def _perform(self, one: Job) -> None:
        try:
            await one.run(self._c)
        except Exception:
            LOG.exception("job failed", job=one.name)
            try:
                await self._c.db.system(leases.repeat_job, one.name, one.every_s, RETRY_S)
            except Exception:
                LOG.exception("a failed job could not be dated back", job=one.name)

    async def _rest(self) -> None:
        """Stop what runs: somebody else may lead."""
        self.is_leader = False
        await drain(set(self._running.values()), 0)

    async def _give_up(self) -> None:
        if not self.is_leader:
            return
        self.is_leader = False
        try:
            await self._c.db.system(leases.give_up, LEASE, self._holder)
        except Exception:
            LOG.exception("the lease could not be released")
