"""A running web process inside the test process, on a database of its own, and the people and courses that tests
need."""

from __future__ import annotations

import io
import itertools
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from argon2 import PasswordHasher
from prometheus_client import CollectorRegistry
from sqlalchemy.orm import Session
from tornado.netutil import bind_sockets
from uuid_utils.compat import uuid7

from edurise.adapters.clock import SetClock
from edurise.authz import ANY_PERSON, About, Grade, Principal, permission
from edurise.container import Container
from edurise.courses import service as courses
from edurise.identity import service as identity
from edurise.identity import sessions
from edurise.identity.models import Person
from edurise.notifications import queries as notification_queries
from edurise.notifications import service as notifications
from edurise.paging import Window
from edurise.tenants import service as tenants
from edurise.tenants.queries import MAIN
from handlers.app import WebApplication, serve
from handlers.observing import Observer
from handlers.ws.hub import Hub
from tests.harness.client import Client

PASSWORD = "correct horse battery 7"
HASHED = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
_COUNTER = itertools.count(1)
AUTHOR = permission("tests.author", Grade.STAFF, Grade.TEACHER, Grade.ADMINISTRATOR, Grade.PLATFORM)


@dataclass(frozen=True)
class Someone:
    """A person who is logged in."""

    id: UUID
    email: str
    tenant_id: UUID
    session_id: UUID
    access: str
    refresh: str

    @property
    def principal(self) -> Principal:
        return Principal(user_id=self.id, session_id=self.session_id, wanted=self.tenant_id, needs=AUTHOR)


class World:
    """The server and what lives in its database. Everything is made anew by each test that asks; names never
    collide."""

    def __init__(self, c: Container, clock: SetClock) -> None:
        self.c = c
        self.clock = clock
        self.log = io.StringIO()
        self.observer = Observer(c.clock, self.log, CollectorRegistry())
        self.hub = Hub(c)
        self.application = WebApplication(c, self.observer, self.hub)
        self.base_url = ""

    async def start(self) -> None:
        sockets = bind_sockets(0, "127.0.0.1")
        self._server = serve(self.application, self.c.settings.body_limit_bytes)
        self._server.add_sockets(sockets)
        await self.hub.start()
        self.base_url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        self._server.stop()
        await self.hub.close()
        await self._server.close_all_connections()
        await self.c.close()

    @property
    def anonymous(self) -> Client:
        return Client(self.base_url)

    def of(self, who: Someone, **headers: str) -> Client:
        """A client as this person."""
        return Client(self.base_url).as_(who.access, **headers)

    # -- what lives in the database ---------------------------------------------------------------------------------

    def organization(self, name: str = "School", **values: Any) -> UUID:
        number = next(_COUNTER)
        return self.c.db.system_sync(
            lambda session: tenants.found(session, name=f"{name} {number}", subdomain=f"school-{number}", **values)
        )

    def person(
        self, role: str = "student", tenant_id: UUID = MAIN, *, platform: bool = False, teaches: bool = False
    ) -> Someone:
        """A person with a role in an organization, logged in. ``teaches`` leaves a teacher application pending."""
        number = next(_COUNTER)
        email = f"person-{number}@example.org"

        def make(session: Session) -> tuple[UUID, sessions.Opened]:
            new = identity.NewPerson(email, f"First{number}", f"Last{number}", teaches)
            person_id = identity.register(session, new, HASHED, tenant_id)
            tenants.give_role(session, tenant_id, person_id, role)
            if platform:
                session.get_one(Person, person_id).is_platform_admin = True
            return person_id, sessions.open_session(
                session, person_id, tenant_id, ("tests", "127.0.0.1"), self.c.lifetimes
            )

        person_id, opened = self.c.db.system_sync(make)
        access = self.c.tokens.issue(
            user_id=person_id, session_id=opened.session_id, tenant_id=tenant_id, pinned=False, version=opened.version
        )
        return Someone(person_id, email, tenant_id, opened.session_id, access, opened.refresh)

    def course(self, teacher: Someone, **values: Any) -> dict[str, Any]:
        """A published, free course, unless told otherwise."""
        data = {"title": f"Course {next(_COUNTER)}", "category": "technology", "is_public": True, **values}
        made: tuple[bool, dict[str, Any]] = self.c.db.run_sync(teacher.principal, courses.create, data, None)
        return made[1]

    def module(self, teacher: Someone, course_id: UUID, **values: Any) -> dict[str, Any]:
        data = {"title": f"Module {next(_COUNTER)}", **values}
        return self.c.db.run_sync(
            teacher.principal, courses.add_module, course_id, data, about=About("course", course_id)
        )

    def lesson(self, teacher: Someone, module_id: UUID, **values: Any) -> dict[str, Any]:
        data = {"title": f"Lesson {next(_COUNTER)}", "content": "<p>Text</p>", **values}
        return self.c.db.run_sync(
            teacher.principal, courses.add_lesson, module_id, data, about=About("module", module_id)
        )

    def notification(self, someone: Someone, kind: str = "welcome") -> UUID:
        """An unread notification; returns its id."""
        params = {"name": "Ada", "title": "Knots", "organization": "School", "amount_minor": 100, "currency": "USD"}

        def make(session: Session, who: Principal) -> UUID:
            notifications.notify(session, who, someone.id, kind, uuid7(), params, {})
            return notification_queries.listing(session, who, None, None, Window(1, 1)).rows[0]["id"]

        return self.c.db.run_sync(someone.principal.needing(ANY_PERSON), make)
