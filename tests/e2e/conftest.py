"""The stacks of the end-to-end tests, and their logs in the report of a test that fails."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import pytest

from tests.e2e.story import people, purchase, taught, town  # noqa: F401 - fixtures of several chapters
from tests.harness.books import Books
from tests.harness.machine import require, worker_number
from tests.harness.processes import Stack
from tests.harness.services import scratch

STORY_PORT = 21800 + 2200 * worker_number()
FAULTS_PORT = 21900
LIVE_FAULTS_PORT = 22000
STORY_SETTINGS = {
    "EDU_REFRESH_GRACE_S": "5",
    "EDU_AI_PROMPT_USD_PER_M": "2",
    "EDU_AI_COMPLETION_USD_PER_M": "8",
}
_RUNNING: list[Stack] = []


@contextlib.contextmanager
def running_stack(first_port: int, settings: Mapping[str, str]) -> Iterator[Stack]:
    """A stack on ports from ``first_port``, gone afterwards."""
    for binary in ("postgres-server", "redis-server", "rabbitmq-server", "nginx"):
        require(binary)
    with scratch() as directory:
        stack = Stack(directory, first_port, settings)
        _RUNNING.append(stack)
        try:
            with stack:
                yield stack
        finally:
            _RUNNING.remove(stack)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The stack of the story."""
    with running_stack(STORY_PORT, STORY_SETTINGS) as made:
        yield made


@pytest.fixture(scope="session")
def books(stack: Stack) -> Books:
    """What the story's stack holds."""
    return Books(stack.postgres.port, stack.mail_folder)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if report.failed:
        report.sections += [(f"log of {name}", end) for stack in _RUNNING for name, end in stack.log_ends()]
    return report
