"""A small process around real parts: database, clock, settings and bells, without a web or a container."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool
from uuid_utils.compat import uuid7

from actors.registry import Registry
from actors.relay import Relay
from actors.runtime import Runtime
from edurise import outbox
from edurise.adapters.clock import SetClock
from edurise.adapters.provision import DatabaseUrls
from edurise.authz import Principal, actor_principal
from edurise.config import Settings, read_settings
from edurise.db import Database, Urls, rows
from edurise.outbox import Event
from edurise.ports import Dispatch, Transport

T = TypeVar("T")

MAIN = UUID("00000000-0000-7000-8000-000000000001")
OTHER = UUID("00000000-0000-7000-8000-00000000000b")
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOON = 20.0
"""Seconds within which something must happen that a test waits for."""

CLEANED = "TRUNCATE outbox, deliveries, audit_log, activity, leases, job_runs, effects"
EFFECTS = """
CREATE TABLE effects (event_id uuid, actor text, note text);
GRANT SELECT, INSERT ON effects TO edurise_app, edurise_system;
"""


@dataclass(frozen=True, kw_only=True)
class Happened(Event):
    """Something happened."""

    topic: ClassVar[str] = "tests.happened.v1"
    thing_id: UUID = field(default_factory=uuid7)
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Ignored(Event):
    """Something that nobody reacts to."""

    topic: ClassVar[str] = "tests.ignored.v1"


class PaperTransport:
    """Keeps what was published; ``confirms`` says whether the broker answers."""

    durable = True

    def __init__(self) -> None:
        self.sent: list[Dispatch] = []
        self.confirms = True

    async def publish(self, dispatches: Sequence[Dispatch]) -> Sequence[Dispatch]:
        if not self.confirms:
            return []
        self.sent += dispatches
        return dispatches

    def take(self) -> list[Dispatch]:
        """What was published since the last call."""
        found, self.sent = self.sent, []
        return found

    async def consume(self, actors: Sequence[str], handle: object, lost: object) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing is open."""


class HandBells:
    """Bells that a test rings."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def wait(self, bell: str, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await self._rung.wait()
        except TimeoutError:
            return False
        self._rung.clear()
        return True


@dataclass
class Workshop:
    """What relay and runtime use of a container, and a few views of the tables."""

    urls: DatabaseUrls
    clock: SetClock
    settings: Settings
    db: Database
    bells: HandBells
    registry: Registry

    @classmethod
    def open(cls, urls: DatabaseUrls, **environment: str) -> Workshop:
        clock = SetClock(START)
        db = Database(Urls(urls.application, urls.system), clock, pool_size=8, system_pool_size=4)
        settings = read_settings({"EDU_MODE": "test", "EDU_DRAIN_S": "5", **environment})
        found = cls(urls, clock, settings, db, HandBells(), Registry())
        found.owner(CLEANED)
        return found

    def close(self) -> None:
        self.db.close()

    def relay(
        self, transport: Transport, *, batch: int = 500, wanted: Mapping[str, Sequence[str]] | None = None
    ) -> Relay:
        return Relay(self, transport, self.bells, wanted or self.registry.wanted(), batch=batch)  # type: ignore[arg-type]  # not a container

    @property
    def runtime(self) -> Runtime:
        return Runtime(self, self.registry)  # type: ignore[arg-type]  # not a container

    def record(self, event: Event, tenant: UUID | None = MAIN) -> UUID:
        """Record an event as a request of this organization, or of the platform, would."""
        if tenant is None:
            self.db.system_sync(outbox.record, None, event)
        else:
            self.db.run_sync(actor_principal(tenant), lambda session, who: outbox.record(session, who, event) and None)
        return event.id

    def advance(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds))

    def read(self, statement: str, **values: object) -> list[dict[str, Any]]:
        """Rows, seen by the system role."""
        return self.db.system_sync(lambda session: rows(session, text(statement), values))  # type: ignore[no-any-return]  # rows

    def delivery(self, event_id: UUID) -> dict[str, Any]:
        """The only delivery of an event."""
        (found,) = self.read("SELECT * FROM deliveries WHERE event_id = :id", id=event_id)
        return found

    def effects(self, event_id: UUID | None = None) -> list[str]:
        """The notes that actors left, one for each effect."""
        found = self.read("SELECT event_id, note FROM effects")
        return [row["note"] for row in found if event_id in (None, row["event_id"])]

    def owner(self, statements: str) -> None:
        """Run statements as the owner, as a migration would."""
        engine = owner_engine(self.urls)
        with engine.begin() as connection:
            connection.exec_driver_sql(statements)
        engine.dispose()


def owner_engine(urls: DatabaseUrls) -> Engine:
    return create_engine(urls.owner, poolclass=NullPool)


def leave(session: Session, who: Principal, event: Event, note: str = "done") -> None:
    """The effect of a test's actor: a row, which nothing makes unique."""
    session.execute(text("INSERT INTO effects VALUES (:id, 'test', :note)"), {"id": event.id, "note": note})


def leave_as_system(session: Session, event: Event) -> None:
    session.execute(text("INSERT INTO effects VALUES (:id, 'test', 'system')"), {"id": event.id})


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a test's coroutine, for a bounded time."""

    async def bounded() -> T:
        async with asyncio.timeout(SOON):
            return await work

    return asyncio.run(bounded())


async def until(done: Callable[[], bool]) -> None:
    """Wait for what another task, thread or process does, which sets no event here; ``run`` bounds it."""
    while True:
        if await asyncio.to_thread(done):
            return
        await asyncio.sleep(0.02)
