"""The services that ordinary tests share, and what belongs to one test run on them.

A run creates databases called ``edurise_test_<pid>``, Redis keys and RabbitMQ queues that start with
``edurise-test-<pid>``, and touches nothing else. A missing service skips its tests, with a count in pytest's summary;
with ``CI`` set it fails them.
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg2
import pytest
import redis
from sqlalchemy import NullPool, create_engine
from sqlalchemy.engine import make_url

from edurise.adapters.provision import DatabaseUrls, provision
from tests.harness.services import find_binary

MARK = "made by the tests of EduRise; they drop it"


@dataclass(frozen=True)
class Shared:
    """A service that the machine runs."""

    variable: str
    default: str
    port: int

    @property
    def url(self) -> str:
        """Where the tests look for it."""
        return os.environ.get(self.variable, self.default)


SHARED = {
    "postgres": Shared("TEST_DATABASE_ADMIN_URL", "postgresql+psycopg2://postgres@127.0.0.1:5432/postgres", 5432),
    "redis": Shared("TEST_REDIS_URL", "redis://127.0.0.1:6379", 6379),
    "rabbitmq": Shared("TEST_AMQP_URL", "amqp://guest:guest@127.0.0.1:5672", 5672),
}

BINARIES = {
    "postgres-server": ("postgres", "usr/lib/postgresql/*/bin/postgres"),
    "redis-server": ("redis-server",),
    "rabbitmq-server": ("rabbitmq-server",),
    "nginx": ("nginx",),
    "clamd": ("clamd",),
    "node": ("node", "usr/bin/nodejs"),
    "npm": ("npm",),
    "unzip": ("unzip",),
    "openssl": ("openssl",),
    "weed": ("weed", f"{sys.prefix.lstrip('/')}/bin/weed"),
}


def require(service: str) -> str:
    """Return the URL of a shared service, or the path of a binary that a test starts itself.

    ``postgres``, ``redis`` and ``rabbitmq`` are services; ``postgres-server``, ``redis-server``,
    ``rabbitmq-server``, ``nginx``, ``clamd``, ``node``, ``npm``, ``unzip``, ``openssl`` and ``weed`` are binaries. What is missing skips the calling
    test; with ``CI`` set it fails.
    """
    found, reason = _binary(service) if service in BINARIES else _service(service)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{reason}, and CI is set", pytrace=False)
        pytest.skip(reason)
    return found


def worker_number() -> int:
    """Which of the workers of ``pytest -n`` this is, from 0: for ports of what each worker starts."""
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


def run_name() -> str:
    """Return what the names of this test process start with; workers of xdist are processes of their own."""
    return f"edurise_test_{os.getpid()}"


def redis_prefix() -> str:
    """Return the prefix of this run's Redis keys."""
    return f"edurise-test-{os.getpid()}:"


def amqp_prefix() -> str:
    """Return the prefix of this run's queues and exchanges."""
    return f"edurise-test-{os.getpid()}-"


@contextlib.contextmanager
def own_database(suffix: str = "", admin_url: str | None = None) -> Iterator[DatabaseUrls]:
    """Provision a database of this run and yield the URLs of its roles; drop it after."""
    admin = admin_url or require("postgres")
    name = run_name() + (f"_{suffix}" if suffix else "")
    drop_database(name, admin)
    urls = provision(admin, name, None)
    _execute(admin, f"COMMENT ON DATABASE {name} IS '{MARK}'")
    try:
        yield urls
    finally:
        drop_database(name, admin)


def drop_database(name: str, admin_url: str | None = None) -> None:
    """Drop a database that bears the tests' mark, with its sessions; any other of that name is refused."""
    admin = admin_url or require("postgres")
    engine = create_engine(admin, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        question = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s"
        found = connection.exec_driver_sql(question, (name,)).first()
        if found is None:
            return
        if not name.startswith("edurise_test_") or found[0] not in (MARK, None):
            raise RuntimeError(f"database {name} was not made by these tests")
        connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def forget_keys(prefix: str) -> int:
    """Delete this run's Redis keys and return how many there were."""
    if not prefix.startswith("edurise-test-"):
        raise RuntimeError(f"{prefix!r} is no prefix of these tests")
    client = redis.Redis.from_url(require("redis"))
    try:
        keys = list(client.scan_iter(match=f"{prefix}*", count=1000))
        return int(client.delete(*keys)) if keys else 0
    finally:
        client.close()


def _execute(admin_url: str, statement: str) -> None:
    engine = create_engine(admin_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)


@functools.cache
def _service(name: str) -> tuple[str | None, str]:
    shared = SHARED[name]
    if answers(name):
        return shared.url, ""
    return None, f"no {name} answers at {make_url(shared.url).render_as_string()} (set {shared.variable})"


@functools.cache
def _binary(name: str) -> tuple[str | None, str]:
    found = find_binary(*BINARIES[name])
    return found, "" if found else f"{name} is not installed"


def answers(name: str) -> bool:
    """Return whether a shared service itself, not only its port, answers."""
    shared = SHARED[name]
    if name == "postgres":
        with contextlib.suppress(psycopg2.OperationalError):
            psycopg2.connect(make_url(shared.url).set(drivername="postgresql").render_as_string(False)).close()
            return True
        return False
    if name == "redis":
        client = redis.Redis.from_url(shared.url, socket_timeout=5)
        try:
            return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False
        finally:
            client.close()
    address = make_url(shared.url)
    try:
        with socket.create_connection((address.host or "127.0.0.1", address.port or shared.port), timeout=5) as probe:
            probe.sendall(b"AMQP\x00\x00\x09\x01")
            return b"RabbitMQ" in probe.recv(4096)
    except OSError:
        return False
