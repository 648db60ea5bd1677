"""Sockets over a real database and a real Redis: a small container, an application with the socket routes, clients."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from tornado.httpclient import HTTPRequest
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets
from tornado.web import Application
from tornado.websocket import WebSocketClientConnection, websocket_connect
from uuid_utils.compat import uuid7

from edurise import channels
from edurise.adapters.clock import SetClock
from edurise.adapters.migrations import migrate
from edurise.adapters.provision import DatabaseUrls
from edurise.adapters.redis_announcer import RedisAnnouncer
from edurise.adapters.redis_streams import RedisStreams
from edurise.authz import Principal
from edurise.config import Settings, read_settings
from edurise.db import AfterCommit, Database, Urls
from edurise.errors import Unauthenticated
from edurise.identity.tokens import Claims
from edurise.tenants.limits import UNLIMITED
from edurise.tenants.quotas import PlanQuotas
from handlers.ws import notifications, session
from handlers.ws.hub import Hub
from tests.harness.machine import own_database, redis_prefix, require
from tests.harness.world import World
from tests.harness.worlds import running

MAIN = UUID("00000000-0000-7000-8000-000000000001")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOON = 5.0
"""Seconds within which something must happen that a test waits for."""


@dataclass
class PaperTokens:
    """Tokens by name instead of by signature."""

    clock: SetClock
    known: dict[str, Claims] = field(default_factory=dict)
    revoked: set[UUID] = field(default_factory=set)

    def issue(self, person: UUID, *, session_id: UUID | None = None, expires_s: float = 900) -> str:
        claims = Claims(person, session_id or uuid7(), MAIN, False, 1, self.clock.now() + timedelta(seconds=expires_s))
        token = f"token-{len(self.known)}"
        self.known[token] = claims
        return token

    def verify(self, token: str, leeway_s: float = 0) -> Claims:
        claims = self.known.get(token)
        if claims is None or claims.session_id in self.revoked:
            raise Unauthenticated("TOKEN_INVALID")
        if self.clock.now() >= claims.expires_at + timedelta(seconds=leeway_s):
            raise Unauthenticated("TOKEN_EXPIRED")
        return claims

    def is_revoked(self, session_id: UUID) -> bool:
        return session_id in self.revoked


@dataclass
class FakeContainer:
    settings: Settings
    clock: SetClock
    db: Database
    tokens: PaperTokens
    announcer: RedisAnnouncer
    streams: RedisStreams


@dataclass
class Site:
    """One web process: container, hub, server."""

    c: FakeContainer
    hub: Hub
    port: int
    announcing: list[asyncio.Task[None]] = field(default_factory=list)
    mute: bool = False
    """Commits are not announced, as if Redis had lost every message."""

    async def tell(self, person: UUID, number: int) -> None:
        """Commit one event on the person's channel, by an actor of the organization."""
        await self.c.db.run(Principal(wanted=MAIN, service=True), tell, person, number)

    async def reconciled(self) -> None:
        """Wait until the gaps that are known now are filled."""
        await self.hub.reconcile()
        await self.until(lambda: all(topic.complete for topic in self.hub._topics.values()))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(SOON):
            while not condition():  # noqa: ASYNC110 - facts of sockets and of Redis, which set no event
                await asyncio.sleep(0.005)


def tell(session: Any, who: Principal, person: UUID, number: int) -> None:
    channels.append(session, f"notifications:{person}", "notification", {"notification": {"n": number}}, who.tenant)


@dataclass
class Client:
    """The other end of a socket."""

    connection: WebSocketClientConnection

    def __post_init__(self) -> None:
        assert self.connection.protocol is not None
        self.stream = self.connection.protocol.stream  # the connection forgets it when it begins to close

    async def receive(self) -> dict[str, Any] | None:
        """The next frame; None when the connection has ended."""
        async with asyncio.timeout(SOON):
            message = await self.connection.read_message()
        return None if message is None else json.loads(message)

    async def receive_type(self, kind: str) -> dict[str, Any]:
        frame = await self.receive()
        assert frame is not None, f"closed with {self.connection.close_code} instead of {kind}"
        assert frame["type"] == kind, frame
        return frame

    async def notifications(self, count: int) -> list[tuple[int, int]]:
        """(offset, n) of the next ``count`` notifications."""
        frames = [await self.receive_type("notification") for _ in range(count)]
        return [(frame["offset"], frame["data"]["notification"]["n"]) for frame in frames]

    async def nothing(self) -> None:
        """Nothing but the answer to a ping is on its way."""
        self.send(type="ping")
        await self.receive_type("pong")

    async def closed(self) -> int | None:
        """Wait for the end; the close code, None if there was no close frame."""
        while await self.receive() is not None:
            pass
        return self.connection.close_code

    def send(self, **frame: Any) -> None:
        self.connection.write_message(json.dumps(frame))

    def close(self) -> None:
        self.connection.close()

    def drop(self) -> None:
        """End the connection without waiting for the other side."""
        self.stream.close()


@pytest.fixture(scope="session")
def database_urls() -> Iterator[Urls]:
    with own_database("ws") as urls:
        migrate(urls.owner)
        yield Urls(application=urls.application, system=urls.system)


@pytest.fixture(scope="session")
def school_database() -> Iterator[DatabaseUrls]:
    """The database of whole web processes, beside that of the small sites."""
    with own_database("school") as urls:
        migrate(urls.owner)
        yield urls


@pytest.fixture(scope="session")
def world(io_loop: IOLoop, school_database: DatabaseUrls, settings: Settings) -> Iterator[World]:
    """A whole web process, as elsewhere in the tests."""
    with running(io_loop, school_database, settings) as found:
        yield found


@pytest.fixture
def clock() -> SetClock:
    return SetClock(NOON)


@pytest.fixture
def database(database_urls: Urls, clock: SetClock) -> Iterator[Database]:
    found = Database(database_urls, clock, pool_size=4, system_pool_size=2, quotas=PlanQuotas(UNLIMITED))
    yield found
    found.close()


@pytest.fixture
def person(database: Database) -> UUID:
    """A new member of the main organization."""
    return database.system_sync(make_person)


def make_person(session: Any) -> UUID:
    found = uuid7()
    session.execute(
        text("INSERT INTO people (id, email, first_name, last_name) VALUES (:id, :email, 'A', 'B')"),
        {"id": found, "email": f"{found}@example.org"},
    )
    session.execute(
        text("INSERT INTO memberships (id, tenant_id, person_id, role) VALUES (:id, :tenant, :person, 'student')"),
        {"id": uuid7(), "tenant": MAIN, "person": found},
    )
    return found


@pytest.fixture
def redis_url() -> str:
    return require("redis")


@asynccontextmanager
async def running_site(database: Database, clock: SetClock, redis_url: str, **settings: str) -> AsyncIterator[Site]:
    """A site on a free port of the tests' range, whose timer is moved by hand."""
    told = read_settings({"EDU_MODE": "test", **settings})
    announcer = RedisAnnouncer(redis_url, redis_prefix())
    streams = RedisStreams(redis_url, redis_prefix(), clock)
    c = FakeContainer(told, clock, database, PaperTokens(clock), announcer, streams)
    hub = Hub(c)
    application = Application([*session.routes, *notifications.routes], hub=hub)
    server = HTTPServer(application)
    sockets = bind_sockets(0, "127.0.0.1", family=socket.AF_INET)
    server.add_sockets(sockets)
    site = Site(c, hub, sockets[0].getsockname()[1])
    loop = asyncio.get_running_loop()

    def on_commit(after: AfterCommit) -> None:
        if not site.mute:
            loop.call_soon_threadsafe(
                lambda: site.announcing.append(loop.create_task(announcer.announce(after.events)))
            )

    database._on_commit = on_commit
    await hub.start(timer=False)
    try:
        yield site
    finally:
        database._on_commit = None
        await hub.close()
        server.stop()
        await server.close_all_connections()
        await asyncio.gather(*site.announcing)
        await announcer.close()
        await streams.close()


Connect = Callable[..., Awaitable[Client]]


@asynccontextmanager
async def clients_of(site: Site) -> AsyncIterator[Connect]:
    """``await connect(path, token=…, headers=…, **query)``; every client is closed at the end."""
    made: list[Client] = []

    async def connect(path: str, headers: dict[str, str] | None = None, **query: object) -> Client:
        told = "&".join(f"{name}={value}" for name, value in query.items())
        request = HTTPRequest(f"ws://127.0.0.1:{site.port}{path}?{told}", headers=headers or {})
        made.append(Client(await websocket_connect(request)))
        return made[-1]

    try:
        yield connect
    finally:
        for client in made:
            client.close()
        await site.until(lambda: len(site.hub.crowd) == 0)
        for client in made:
            client.drop()


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run one asynchronous scenario on a loop of its own; a task that failed unseen fails the test."""
    failures: list[str] = []

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: failures.append(str(context)))
        await scenario()

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:  # which leaves the loop of the session alone
        runner.run(watched())
    assert not failures


@pytest.fixture(autouse=True)
def _no_errors_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever is logged as an error is one."""
    yield
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
