"""A live class with its teacher and learners, driven through the domain's own commands; time is set by hand."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.orm import Session

from edurise import channels
from edurise.authz import ANY_PERSON, About, Permission, Principal, actor_principal
from edurise.enrollments import service as enrollments
from edurise.live import queries, service
from edurise.live.permissions import Live
from edurise.live.service import Joined
from edurise.ports import ChannelEvent
from tests.harness.world import Someone, World

_NUMBERS = itertools.count(1)
_CROWD = text("""
WITH n AS (SELECT gen_random_uuid() AS id, i FROM generate_series(1, :count) AS i),
p AS (INSERT INTO people (id, email, first_name, last_name)
      SELECT id, id || '@example.org', 'One', 'Of ' || i FROM n RETURNING id),
m AS (INSERT INTO memberships (id, tenant_id, person_id, role)
      SELECT gen_random_uuid(), :tenant, id, 'student' FROM n RETURNING person_id)
INSERT INTO standings (tenant_id, course_id, person_id, kind) SELECT :tenant, :course, id, 'learner' FROM n
RETURNING person_id
""")


@dataclass(frozen=True)
class Pupil:
    """A learner without a log-in."""

    id: UUID
    principal: Principal


class Classroom:
    """One class. ``starts_in`` is when it is scheduled, from now."""

    def __init__(self, world: World, *, starts_in: timedelta = timedelta(0), public: bool = True) -> None:
        self.world = world
        self.tenant_id = world.organization()
        self.teacher = world.person("teacher", self.tenant_id)
        self.course_id: UUID = world.course(self.teacher, is_public=public)["id"]
        form = {
            "course_id": self.course_id,
            "title": f"Class {next(_NUMBERS)}",
            "scheduled_at": world.clock.now() + starts_in,
            "duration_minutes": 60,
        }
        about = About("course", self.course_id)
        made = world.c.db.run_sync(
            self.teacher.principal.needing(Live.TEACH), service.create, form, None, "https://ui/", about=about
        )
        self.id: UUID = made[1]["id"]

    # -- people -----------------------------------------------------------------------------------------------------

    def learner(self) -> Someone:
        """Somebody who is enrolled and can log in."""
        person = self.world.person()
        who = person.principal.needing(ANY_PERSON)
        self.world.c.db.run_sync(who, enrollments.enroll, self.course_id, about=About("course", self.course_id))
        return person

    def crowd(self, count: int) -> list[Pupil]:
        """Many learners at once."""
        values = {"count": count, "tenant": self.tenant_id, "course": self.course_id}
        ids = self.world.c.db.system_sync(lambda session: list(session.scalars(_CROWD, values)))
        return [Pupil(one, Principal(user_id=one, wanted=self.tenant_id)) for one in ids]

    # -- commands ---------------------------------------------------------------------------------------------------

    def hop(self, who: Someone | Pupil, needs: Permission, fn: Any, *args: Any) -> Any:
        about = About("live_class", self.id)
        return self.world.c.db.run_sync(who.principal.needing(needs), fn, self.id, *args, about=about)

    def serve(self, fn: Any, *args: Any) -> Any:
        return self.world.c.db.run_sync(actor_principal(self.tenant_id), fn, self.id, *args)

    def start(self) -> dict[str, Any]:
        return self.hop(self.teacher, Live.TEACH, service.start)

    def end(self) -> dict[str, Any]:
        return self.hop(self.teacher, Live.TEACH, service.end)

    def mark(self, student: Someone | Pupil, status: str) -> dict[str, Any]:
        return self.hop(self.teacher, Live.TEACH, service.mark, student.id, status)

    def join(self, who: Someone | Pupil, connection: UUID | None = None) -> Joined:
        return self.hop(who, Live.ATTEND, service.join, connection or uuid4())

    def resume(self, who: Someone | Pupil, connection: UUID | None = None) -> Joined | None:
        return self.hop(who, Live.ATTEND, service.resume, connection or uuid4())

    def leave(self, who: Someone | Pupil, connection: UUID) -> dict[str, Any] | None:
        return self.hop(who, Live.ATTEND, service.leave, connection)

    def closed(self, *connections: UUID, at: datetime | None = None) -> None:
        self.serve(service.closed, dict.fromkeys(connections, at or self.world.clock.now()))

    def beat(self, *intervals: UUID) -> list[UUID]:
        return self.world.c.db.system_sync(service.beat, list(intervals))

    def sweep(self) -> bool:
        """What the sweeper does, for this class; returns whether there was anything to do."""
        due = (self.tenant_id, self.id) in self.world.c.db.system_sync(service.due)
        if due:
            self.serve(service.settle)
        return due

    def wait(self, seconds: float, *, beating: Sequence[UUID] = (), sweeping: bool = False) -> None:
        """Let time pass as it does: a beat every ten seconds for what has a socket, a sweep each second."""
        until = self.world.clock.now() + timedelta(seconds=seconds)
        last = self.world.clock.now()
        while self.world.clock.now() < until:
            step = timedelta(seconds=1 if sweeping else 10)
            self.world.clock.advance(min(step, until - self.world.clock.now()))
            if beating and self.world.clock.now() - last >= timedelta(seconds=10):
                last = self.world.clock.now()
                self.beat(*beating)
            if sweeping:
                self.sweep()

    # -- what there is ----------------------------------------------------------------------------------------------

    def row(self, who: Someone | Pupil) -> dict[str, Any]:
        """The person's row, as they see it."""
        found = self.hop(who, Live.ATTEND, queries.snapshot)["attendance"]
        assert found is not None
        return found

    def dashboard(self) -> dict[str, Any]:
        return self.hop(self.teacher, Live.TEACH, queries.dashboard)

    def intervals(self, who: Someone | Pupil) -> list[dict[str, Any]]:
        """The person's intervals, in the order of their joins."""
        question = text("""SELECT id, connection_id, joined_at, beat_at, left_at, ended_by FROM attendance_intervals
                            WHERE class_id = :id AND person_id = :person ORDER BY joined_at, id""")

        def read(session: Session) -> list[dict[str, Any]]:
            return [dict(one) for one in session.execute(question, {"id": self.id, "person": who.id}).mappings()]

        return self.world.c.db.system_sync(read)

    def events(self, *types: str, desk: bool = False) -> list[ChannelEvent]:
        """What the class's channel (or the desk's) holds, of these types or all."""
        name = service.desk_channel(self.id) if desk else service.class_channel(self.id)
        found: list[ChannelEvent] = []
        while True:
            page = self.world.c.db.system_sync(
                channels.replay, name, len(found), found[-1].epoch if found else None, 1000
            )
            found += page.events
            if len(found) >= page.head:
                break
        return [event for event in found if not types or event.type in types]

    def participants(self) -> int:
        """How many are in the class by what its channel was told, from the database."""
        found: int = self.hop(self.teacher, Live.TEACH, queries.snapshot)["participants"]
        return found
