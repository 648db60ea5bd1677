"""Fixtures for all tests: one event loop and one migrated database for each test process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop
from tornado.ioloop import IOLoop

from edurise.adapters.migrations import migrate
from edurise.adapters.provision import DatabaseUrls
from edurise.config import Settings, read_settings
from tests.harness.machine import amqp_prefix, own_database, redis_prefix, require, worker_number
from tests.harness.object_storage import OwnSeaweed
from tests.harness.services import scratch
from tests.harness.world import World
from tests.harness.worlds import running
from tests.simulators.oidc import OidcSimulator, Plan

OBJECT_STORAGE_PORT = 23000


@pytest.fixture(scope="session")
def io_loop() -> Iterator[IOLoop]:
    """In the place of pytest-tornado's, which uses a deprecated call; one loop for all, as in a process."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        asyncio.set_event_loop(runner.get_loop())
        yield IOLoop.current()
        asyncio.set_event_loop(None)


@pytest.fixture(autouse=True)
def _current_loop(request: pytest.FixtureRequest) -> None:
    """The session's loop is the current one in every test that runs on it, whatever loop a test before it ran on."""
    if "io_loop" in request.fixturenames:
        asyncio.set_event_loop(request.getfixturevalue("io_loop").asyncio_loop)


@pytest.fixture(scope="session")
def database() -> Iterator[DatabaseUrls]:
    """A database of this test process, built by the migrations."""
    with own_database("main") as urls:
        migrate(urls.owner)
        yield urls


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a test process: cheap hashes, wide limits, a sandbox gateway and mail to a folder."""
    folder: Path = tmp_path_factory.mktemp("data")
    return read_settings(
        {
            "EDU_MODE": "test",
            "EDU_DATA_DIR": str(folder),
            "EDU_REDIS_PREFIX": redis_prefix(),
            "EDU_AMQP_PREFIX": amqp_prefix(),
            "EDU_ARGON2_MEMORY_KIB": "8",
            "EDU_ARGON2_TIME_COST": "1",
            "EDU_ARGON2_PARALLELISM": "1",
            "EDU_PUBLIC_READS_PER_MIN": "1000000",
            "EDU_SENSITIVE_CALLS_PER_MIN": "1000000",
            "EDU_CACHE_S": "0",
            "EDU_OIDC_PRIVATE_HOSTS": "true",
            "EDU_USERS": "basic=500,pro=10000,enterprise=1000000,main=1000000",  # where a whole run's people gather
        }
    )


@pytest.fixture(scope="session")
def object_storage() -> Iterator[OwnSeaweed]:
    """A real S3, one for each test process."""
    require("weed")
    with scratch() as directory, OwnSeaweed(directory, OBJECT_STORAGE_PORT + 10 * worker_number()) as running:
        yield running


@pytest.fixture(scope="session")
def world(io_loop: IOLoop, database: DatabaseUrls, settings: Settings) -> Iterator[World]:
    """A running web process inside this one."""
    with running(io_loop, database, settings) as found:
        yield found


@pytest.fixture(scope="session")
def identity_provider(io_loop: IOLoop, world: World) -> Iterator[OidcSimulator]:
    """A provider of OpenID Connect, on a free port."""
    found = OidcSimulator(world.clock)
    io_loop.run_sync(found.start)
    yield found
    io_loop.run_sync(found.stop)


@pytest.fixture
def sim(identity_provider: OidcSimulator, world: World) -> OidcSimulator:
    """An identity provider that does nothing wrong until ``plan`` says so, and of which nothing is remembered."""
    identity_provider.plan = Plan()
    world.c.openid._issuers.clear()
    return identity_provider
