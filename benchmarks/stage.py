"""Where figures are measured: a database, Redis keys and queues of the run's own, web process and load generator."""

from __future__ import annotations

import asyncio
import contextlib
import re
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import aio_pika
import orjson
from argon2 import PasswordHasher
from sqlalchemy import NullPool, create_engine, make_url, text
from sqlalchemy.orm import Session

from benchmarks.load import Plan, Seen
from benchmarks.processes import ROOT, Child, database_cpu_s, free_ports
from edurise.adapters.clock import SystemClock
from edurise.adapters.migrations import migrate
from edurise.adapters.provision import DatabaseUrls
from edurise.db import Database, Urls
from edurise.identity import keys, sessions
from edurise.identity.tokens import Tokens
from edurise.platform.school import Bulk, seed_bulk
from edurise.platform.sheets import Person as Known
from tests.harness.machine import SHARED, amqp_prefix, answers, forget_keys, own_database, redis_prefix

CLIENTS = 32
RUNS, WARM_S, RUN_S = 3, 0.5, 4.0
SECRET = "benchmarks-only-secret-0123456789abcdef"  # noqa: S105 - of a database that lives for minutes
TOKEN_S = 7_200
CORE = "0"
"""The core of the measured process, as docs/operations.md advises; database, generator and the rest may use any."""
_NEVER = str(10**9)

HASHING = {
    "EDU_ARGON2_MEMORY_KIB": "65536",
    "EDU_ARGON2_TIME_COST": "3",
    "EDU_ARGON2_PARALLELISM": "4",
    "EDU_HASH_WORKERS": "2",
}
"""Argon2id as in production."""


class ServiceMissing(RuntimeError):
    """A service that the benchmarks need does not answer."""


@dataclass(frozen=True)
class Sample:
    """One run: requests a second, latencies in ms, bytes of an answer, and microseconds of processor time a request."""

    rate: float
    p50_ms: float
    p99_ms: float
    bytes: int
    closed: int
    load_us: float
    server_us: float
    database_us: float


@dataclass(frozen=True)
class Person:
    """Somebody who is logged in."""

    id: UUID
    email: str
    token: str


class Stage:
    """Everything that a figure may use. Children are started when they are first asked for and stay until the end."""

    def __init__(
        self, urls: DatabaseUrls, bulk: Bulk, directory: Path, first_port: int, profile_to: Path | None = None
    ) -> None:
        self.profile_to = profile_to
        self.urls, self.bulk, self.directory = urls, bulk, directory
        self.database = str(make_url(urls.owner).database)
        self._ports = free_ports(first_port)
        self._children: dict[str, Child] = {}

    def close(self) -> None:
        """End every child."""
        for child in reversed(self._children.values()):
            child.stop()

    def settings(self, **more: str) -> dict[str, str]:
        """The environment of a process of the product: production's parts, no limits, a sandbox for payments."""
        return {
            "EDU_MODE": "test",
            "DATABASE_URL": self.urls.application,
            "DATABASE_OWNER_URL": self.urls.owner,
            "DATABASE_SYSTEM_URL": self.urls.system,
            "REDIS_URL": SHARED["redis"].url,
            "AMQP_URL": SHARED["rabbitmq"].url,
            "EDU_REDIS_PREFIX": redis_prefix(),
            "EDU_AMQP_PREFIX": amqp_prefix(),
            "EDU_SECRET_KEY": SECRET,
            "EDU_DATA_DIR": str(self.directory),
            "EDU_ACCESS_TOKEN_S": str(TOKEN_S),
            "EDU_PUBLIC_READS_PER_MIN": _NEVER,
            "EDU_USERS": f"basic={_NEVER}",
            "EDU_SOCKETS": f"basic={_NEVER}",
            "EDU_SOCKETS_PER_PERSON": _NEVER,
            "EDU_COURSES": f"basic={_NEVER}",
            "EDU_PLAN_AI_QUESTIONS": f"basic={_NEVER}",
            "EDU_SENSITIVE_CALLS_PER_MIN": _NEVER,
            **HASHING,
            **more,
        }

    def hello(self) -> Child:
        """The bare Tornado process."""
        port = str(next(self._ports)) if "hello" not in self._children else ""
        return self._child("hello", ["-m", "benchmarks.hello", port], {"PORT": port})

    def web(self, **settings: str) -> Child:
        """The web process with these settings on top."""
        name = " ".join(["web", *(f"{key}={value}" for key, value in sorted(settings.items()))])
        if name in self._children:
            return self._children[name]
        port = str(next(self._ports))
        return self._child(
            name,
            ["run.py", "web"],
            self.settings(PORT=port, EDU_PUBLIC_URL=f"http://127.0.0.1:{port}", EDU_CPU=CORE, **settings),
        )

    def probed_web(self, **settings: str) -> tuple[Child, int]:
        """A new web process with a probe in its loop, and the probe's port; the caller stops it."""
        port, probe = str(next(self._ports)), str(next(self._ports))
        environment = self.settings(PORT=port, EDU_PUBLIC_URL=f"http://127.0.0.1:{port}", EDU_CPU=CORE, **settings)
        return self._child(f"probed web {port}", ["-m", "benchmarks.probe", probe], environment), int(probe)

    def bare_sockets(self) -> tuple[Child, int]:
        """The same of the bare WebSocketHandler, on the core of the measured process."""
        port, probe = str(next(self._ports)), str(next(self._ports))
        arguments = ["-m", "benchmarks.bare_sockets", port, CORE, probe]
        return self._child(f"bare sockets {port}", arguments, {"PORT": port}), int(probe)

    def part(self, verb: str, **settings: str) -> Child:
        """A worker, relay or scheduler."""
        return self.spawn(verb, ["run.py", verb], self.settings(**settings), ready=f"EduRise {verb}")

    def spawn(
        self, name: str, arguments: Sequence[str], settings: Mapping[str, str], *, ready: str | None = None
    ) -> Child:
        """A new child, which the caller may stop; ``ready`` is what it says when it is up."""
        child = self._children[name] = Child(name, arguments, settings, self._log(name))
        if ready is not None:
            child.wait_for_line(ready)
        return child

    def port(self) -> int:
        """A free port for a child that the figure starts itself."""
        return next(self._ports)

    def forget_events(self) -> None:
        """Let nobody react to what earlier figures recorded, so that a relay begins with an empty table."""
        engine = create_engine(self.urls.owner, poolclass=NullPool)
        with engine.begin() as connection:
            connection.execute(text("UPDATE outbox SET spread_at = now() WHERE spread_at IS NULL"))

    def counted(self) -> tuple[Child, Path]:
        """A web process without its cache that writes each statement to a file."""
        port, statements = str(next(self._ports)), self.directory / "statements"
        settings = self.settings(PORT=port, EDU_PUBLIC_URL=f"http://127.0.0.1:{port}", EDU_CACHE_S="0")
        return self._child("counted", ["-m", "benchmarks.counted", str(statements)], settings), statements

    def log_in(self, count: int) -> list[Person]:
        """The first students of the school (the one with all the notifications apart), with access tokens."""
        return self.log_in_as(self.bulk.students[1 : count + 1])

    def log_in_as(self, people: Sequence[Known]) -> list[Person]:
        """These people, each with an access token of a new session in the first organization."""
        clock = SystemClock()
        db = Database(Urls(self.urls.application, self.urls.system), clock)
        tokens = Tokens(db.system_sync(keys.load, SECRET), clock, TOKEN_S)
        life = sessions.Lifetimes(TOKEN_S, TOKEN_S, 30)

        def opened(session: Session) -> list[sessions.Opened]:
            return [
                sessions.open_session(session, one.id, self.bulk.tenants[0], ("benchmarks", ""), life) for one in people
            ]

        try:
            found: list[sessions.Opened] = db.system_sync(opened)
        finally:
            db.close()
        return [Person(person.id, person.email, _token(tokens, one)) for person, one in zip(people, found, strict=True)]

    def load(
        self, child: Child, requests: Sequence[str], *, expect: int = 200, once: bool = False, seconds: float = RUN_S
    ) -> Sample:
        """Load a child and return what was seen. Raises RuntimeError for an answer of another status than expected."""
        plan = Plan(child.port, list(requests), CLIENTS, WARM_S, seconds, once)
        with subprocess.Popen(
            [sys.executable, "-m", "benchmarks.load"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as generator:
            if generator.stdin is None or generator.stdout is None:
                raise RuntimeError("the load generator has no pipes")
            generator.stdin.write(orjson.dumps(asdict(plan)))
            generator.stdin.close()
            generator.stdout.readline()  # the warm-up is over
            server, database = child.cpu_s(), database_cpu_s(self.database)
            told = generator.stdout.read()
            server, database = child.cpu_s() - server, database_cpu_s(self.database) - database
        child.check()
        seen = Seen(**orjson.loads(told))
        if set(seen.statuses) != {str(expect)}:
            raise RuntimeError(f"{child.name} answered {seen.statuses} where {expect} was expected")
        each = 1e6 / seen.count
        return Sample(
            seen.count / seen.seconds,
            seen.p50_ms,
            seen.p99_ms,
            seen.bytes,
            seen.closed,
            seen.cpu_s * each,
            server * each,
            database * each,
        )

    def _child(self, name: str, arguments: Sequence[str], settings: Mapping[str, str]) -> Child:
        if name not in self._children:
            child = self._children[name] = Child(name, arguments, settings, self._log(name))
            child.wait_for_port()
        return self._children[name]

    def _log(self, name: str) -> Path:
        return self.directory / f"{re.sub(r'[^A-Za-z0-9_.]+', '-', name)}.log"


@contextlib.contextmanager
def stage(first_port: int, *, profile_to: Path | None = None) -> Iterator[Stage]:
    """Make the database and load the school; drop everything after. Raises ServiceMissing."""
    missing = [name for name in SHARED if not answers(name)]
    if missing:
        raise ServiceMissing(
            f"no {' and no '.join(missing)} answers; see tests/harness/machine.py for how they are found"
        )
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # for thousands of sockets; children inherit it
    with own_database("bench") as urls, tempfile.TemporaryDirectory(prefix="edurise-bench-") as directory:
        migrate(urls.owner)
        bulk = seed_bulk(urls.owner, "1x", PasswordHasher(time_cost=3, memory_cost=65_536, parallelism=4).hash)
        found = Stage(urls, bulk, Path(directory), first_port, profile_to)
        try:
            yield found
        finally:
            found.close()
            forget_keys(redis_prefix())
            asyncio.run(_forget_queues())


async def _forget_queues() -> None:
    """Delete the queues of this run's prefix: those of the actors, and those that figures made."""
    from actors.registry import load_actors

    names = [*load_actors().names(), "dead-letters", "benchmark", "bare"]
    connection = await aio_pika.connect(SHARED["rabbitmq"].url)
    async with connection:
        channel = await connection.channel()
        for name in names:
            await channel.queue_delete(f"{amqp_prefix()}{name}")


def _token(tokens: Tokens, one: sessions.Opened) -> str:
    return tokens.issue(
        user_id=one.person_id, session_id=one.session_id, tenant_id=one.tenant_id, pinned=False, version=one.version
    )


def request(method: str, path: str, *, token: str | None = None, body: Mapping[str, Any] | None = None) -> str:
    """The bytes of a request, as text in latin-1."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    content = ""
    if method == "POST":
        content = orjson.dumps(dict(body or {})).decode()
        lines += ["Content-Type: application/json", f"Content-Length: {len(content.encode())}"]
    return "\r\n".join(lines) + "\r\n\r\n" + content


def median(values: Sequence[float]) -> float:
    return float(statistics.median(values))


def spread(values: Sequence[float]) -> str:
    """How far runs lie apart: half the range, in percent of the median."""
    return f"±{50 * (max(values) - min(values)) / median(values):.0f} %"
