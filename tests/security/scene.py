"""Two organizations with everything that has an id, and the people who attack: what the security tests share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from edurise.authz import ANY_PERSON, About
from edurise.courses import service as courses
from edurise.identity.models import TeacherApplication
from edurise.live import service as live
from edurise.tenants import invitations
from edurise.tenants.queries import MAIN
from tests.harness.talks import Talk
from tests.harness.world import Someone, World

START = "/api/v1/payments/create_course_payment/"


@dataclass(frozen=True)
class School:
    """One organization: its people, a published and a draft course with a module and a lesson each, an applicant."""

    id: UUID
    administrator: Someone
    teacher: Someone
    student: Someone
    applicant: Someone
    application: UUID
    free: UUID
    paid: UUID
    draft: UUID
    module: UUID
    lesson: UUID
    draft_module: UUID
    draft_lesson: UUID
    live_class: UUID
    draft_class: UUID


def school(world: World) -> School:
    """A new organization with all its parts; its student is a member and learns nothing yet."""
    tenant = world.organization()
    teacher = world.person("teacher", tenant)
    applicant = world.person(tenant_id=tenant, teaches=True)
    free = world.course(teacher)["id"]
    paid = world.course(teacher, price=Decimal(25))["id"]
    draft = world.course(teacher, is_public=False)["id"]
    module = world.module(teacher, free)["id"]
    draft_module = world.module(teacher, draft)["id"]
    return School(
        id=tenant,
        administrator=world.person("admin", tenant),
        teacher=teacher,
        student=world.person(tenant_id=tenant),
        applicant=applicant,
        application=world.c.db.system_sync(_application_of, applicant.id),
        free=free,
        paid=paid,
        draft=draft,
        module=module,
        lesson=world.lesson(teacher, module)["id"],
        draft_module=draft_module,
        draft_lesson=world.lesson(teacher, draft_module)["id"],
        live_class=live_class(world, teacher, free),
        draft_class=live_class(world, teacher, draft),
    )


def live_class(world: World, teacher: Someone, course_id: UUID) -> UUID:
    """A class of a course that is live and that its teacher sits in; returns its id."""
    form = {"course_id": course_id, "title": "Live", "scheduled_at": world.clock.now(), "duration_minutes": 60}
    about, who = About("course", course_id), teacher.principal
    made = world.c.db.run_sync(who, live.create, form, None, "https://ui.example/", about=about)
    found: UUID = made[1]["id"]
    world.c.db.run_sync(who, live.start, found, about=About("live_class", found))
    world.c.db.run_sync(who, live.join, found, uuid7(), about=About("live_class", found))
    return found


def _application_of(session: Session, person_id: UUID) -> UUID:
    return session.scalars(select(TeacherApplication.id).where(TeacherApplication.person_id == person_id)).one()


async def payment(world: World, buyer: Someone, course_id: UUID) -> str:
    """A started payment; returns its id."""
    answer = await world.of(buyer).post(START, {"course_id": str(course_id)})
    assert answer.status == 201, answer.content
    found: str = answer.data["payment_id"]
    return found


def invitation(world: World, at: School) -> UUID:
    """An open invitation of a school; returns its id."""
    made: UUID = world.c.db.run_sync(
        at.administrator.principal,
        lambda session, who: invitations.invite(session, who, email="asked@example.org", role="student"),
    )
    return made


def conversation(world: World, person: Someone, course_id: UUID) -> Talk:
    """A conversation about a course, with an answer and another question that still waits for one."""
    talk = Talk(world, person, course_id)
    talk.answered("Who knows?", "Nobody else.")
    talk.ask("Who asks?")
    return talk


async def learner(world: World, course_id: UUID) -> Someone:
    """Somebody of the platform's own organization who is enrolled in a free course."""
    person = world.person()
    answer = await world.of(person).post(f"/api/v1/courses/{course_id}/enroll/")
    assert answer.status == 201, answer.content
    return person


def status_of(world: World, teacher: Someone, course_id: UUID, status: str) -> None:
    """Set a course's status as its organization's administrator does."""
    who = teacher.principal.needing(ANY_PERSON)
    world.c.db.run_sync(who, courses.change, course_id, {"status": status}, about=About("course", course_id))


def row_counts(world: World) -> dict[str, int]:
    """How many rows each table holds, but for the places of sockets: those of tests before are given back by the clock."""

    def count(session: Session) -> dict[str, int]:
        names = session.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")).all()
        kept = [
            name for name in names if "_p2" not in name and not name.endswith("_default") and name != "alembic_version"
        ]
        of = {"quota_holds": "WHERE resource <> 'sockets'"}
        sums = ", ".join(f'(SELECT count(*) FROM "{name}" {of.get(name, "")}) AS "{name}"' for name in kept)
        return dict(session.execute(text(f"SELECT {sums}")).mappings().one())

    found: dict[str, Any] = world.c.db.system_sync(count)
    return found


@contextlib.contextmanager
def closed_main(world: World) -> Iterator[None]:
    """``main`` takes nobody in who comes by themselves."""
    change = (
        "UPDATE organizations SET settings = jsonb_set(settings, '{allow_self_registration}', :open) WHERE id = :id"
    )

    def set_open(session: Session, is_open: str) -> None:
        session.execute(text(change), {"open": is_open, "id": MAIN})

    world.c.db.system_sync(set_open, "false")
    try:
        yield
    finally:
        world.c.db.system_sync(set_open, "true")
