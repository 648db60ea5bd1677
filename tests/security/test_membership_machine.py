"""Whatever happens to memberships, in whatever order: nobody stands anywhere in a way that no current membership of
theirs grants."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, ClassVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import select
from sqlalchemy.orm import Session

from edurise.authz import ANY_PERSON, About, Grade, Principal, permission
from edurise.courses import service as courses
from edurise.enrollments import service as enrollments
from edurise.errors import DomainError
from edurise.identity import applications, liveness, sessions
from edurise.identity.models import TeacherApplication
from edurise.tenants import members
from edurise.tenants import service as memberships
from edurise.tenants.models import Membership
from tests.harness.world import Someone, World

EVERY_WAY = permission("tests.every_way", *Grade)
PEOPLE, SCHOOLS = st.integers(0, 2), st.integers(0, 1)
ROLES = st.sampled_from(["student", "teacher", "admin"])


class Memberships(RuleBasedStateMachine):
    """Three people, two organizations with a founder each, and what an administrator, a learner or nobody does."""

    world: ClassVar[World]

    @initialize()
    def begin(self) -> None:
        world = self.world
        self.schools = [world.organization() for _ in range(2)]
        self.founders = [world.person("admin", school) for school in self.schools]
        self.people = [world.person() for _ in range(3)]
        self.courses = [world.course(founder)["id"] for founder in self.founders]
        self.own_courses: list[tuple[int, int, UUID]] = []
        self.pins: dict[int, int] = {}
        self.granted: dict[tuple[int, int], tuple[str, bool]] = {}

    # -- what happens ------------------------------------------------------------------------------------------------

    @rule(who=PEOPLE, where=SCHOOLS, role=ROLES)
    def give_a_role(self, who: int, where: int, role: str) -> None:
        if (who, where) not in self.granted:
            with self._refused(expected=True):
                self._administer(where, members.give_role, self.people[who].id, role)
            return
        self._administer(where, members.give_role, self.people[who].id, role)
        self.granted[who, where] = (role, self.granted[who, where][1])

    @rule(who=PEOPLE, where=SCHOOLS, active=st.booleans())
    def switch(self, who: int, where: int, active: bool) -> None:
        def act(session: Session, principal: Principal) -> None:
            members.switch(session, principal, self.people[who].id, active=active)

        with self._refused(expected=(who, where) not in self.granted):
            self._administer(where, act)
            self.granted[who, where] = (self.granted[who, where][0], active)

    @rule(who=PEOPLE, where=SCHOOLS)
    def remove(self, who: int, where: int) -> None:
        with self._refused(expected=(who, where) not in self.granted):
            self._administer(where, members.remove, self.people[who].id)
            del self.granted[who, where]

    @rule(who=PEOPLE, where=SCHOOLS)
    def enroll(self, who: int, where: int) -> None:
        suspended = self.granted.get((who, where), ("", True))[1] is False
        with self._refused(expected=suspended):
            self._as(who, enrollments.enroll, self.courses[where], about=About("course", self.courses[where]))
            self.granted.setdefault((who, where), ("student", True))

    @rule(who=PEOPLE, where=SCHOOLS)
    def teach(self, who: int, where: int) -> None:
        """Make a course, which gives a standing as staff."""
        role, active = self.granted.get((who, where), ("", False))
        if role in ("teacher", "admin") and active:
            made: Any = self._as(who, courses.create, {"title": "Own", "category": "technology"}, None, where=where)
            self.own_courses.append((who, where, made[1]["id"]))

    @rule(who=PEOPLE, where=SCHOOLS)
    def apply(self, who: int, where: int) -> None:
        self._as(who, applications.apply, {}, where=where)

    @rule(who=PEOPLE, where=SCHOOLS, approved=st.booleans())
    def decide(self, who: int, where: int, approved: bool) -> None:
        found = self.world.c.db.system_sync(_application, self.schools[where], self.people[who].id)
        if found is None:
            return
        application_id, before = found
        act = applications.approve if approved else applications.reject
        role, active = self.granted.get((who, where), ("", True))
        becomes_teacher = approved and before != "approved" and role in ("", "student")
        with self._refused(expected=becomes_teacher and not active):
            self._administer(where, act, application_id)
            if becomes_teacher:
                self.granted[who, where] = ("teacher", True)
            elif not approved and before != "rejected" and role == "teacher":
                self.granted[who, where] = ("student", active)

    @rule(who=PEOPLE, where=SCHOOLS)
    def pin(self, who: int, where: int) -> None:
        """Switch the session to an organization; the pin stays whatever becomes of the membership."""
        may = self.granted.get((who, where), ("", False))[1]
        with self._refused(expected=not may):
            self.world.c.db.system_sync(
                sessions.switch, self.people[who].session_id, self.schools[where], self.world.c.lifetimes
            )
            self.pins[who] = where

    # -- what must hold ----------------------------------------------------------------------------------------------

    @invariant()
    def nobody_stands_where_no_membership_lets_them(self) -> None:
        for who in range(3):
            for where in range(2):
                role, active = self.granted.get((who, where), ("", False))
                self._check(self._grades(who, where), role, active)
                self._check(self._grades(who, where, About("course", self.courses[where])), role, active)
        for who, where, course in self.own_courses:
            role, active = self.granted.get((who, where), ("", False))
            grades = self._grades(who, where, About("course", course))
            self._check(grades, role, active)

    @invariant()
    def the_database_says_what_was_granted(self) -> None:
        ids = {person.id: number for number, person in enumerate(self.people)}
        stored = self.world.c.db.system_sync(_memberships, self.schools, list(ids))
        found = {(ids[one.person_id], self.schools.index(one.tenant_id)): (one.role, one.is_active) for one in stored}
        assert found == self.granted

    def _check(self, grades: frozenset[Grade], role: str, active: bool) -> None:
        assert (Grade.MEMBER in grades) == active
        assert (Grade.ADMINISTRATOR in grades) == (active and role == "admin")
        assert (Grade.TEACHER in grades) == (active and role == "teacher")
        assert Grade.PLATFORM not in grades
        if not active:
            assert grades.isdisjoint({Grade.STAFF, Grade.LEARNER})
        if role == "student":
            assert Grade.STAFF not in grades

    # -- how it is done ----------------------------------------------------------------------------------------------

    def _grades(self, who: int, where: int, about: About | None = None) -> frozenset[Grade]:
        principal = replace(self._principal(self.people[who], where), needs=EVERY_WAY)
        admitted: Principal = self.world.c.db.run_sync(principal, liveness.admitted, about=about)
        assert admitted.standing is not None
        return admitted.standing.grades

    def _principal(self, person: Someone, where: int) -> Principal:
        return Principal(user_id=person.id, session_id=person.session_id, wanted=self.schools[where], needs=ANY_PERSON)

    def _administer(self, where: int, fn: Callable[..., Any], *args: Any) -> None:
        self.world.c.db.run_sync(self._principal(self.founders[where], where), fn, *args)

    def _as(self, who: int, fn: Callable[..., Any], *args: Any, where: int = 0, about: About | None = None) -> Any:
        return self.world.c.db.run_sync(self._principal(self.people[who], where), fn, *args, about=about)

    @contextlib.contextmanager
    def _refused(self, *, expected: bool) -> Iterator[None]:
        """The block must be refused by the domain exactly if that is expected."""
        try:
            yield
        except DomainError:
            assert expected
        else:
            assert not expected, "this should have been refused"


def _application(session: Session, tenant_id: UUID, person_id: UUID) -> tuple[UUID, str] | None:
    key = (TeacherApplication.tenant_id == tenant_id, TeacherApplication.person_id == person_id)
    found = session.execute(select(TeacherApplication.id, TeacherApplication.status).where(*key)).first()
    return None if found is None else (found.id, found.status)


def _memberships(session: Session, tenant_ids: list[UUID], person_ids: list[UUID]) -> list[Any]:
    columns = (Membership.tenant_id, Membership.person_id, Membership.role, Membership.is_active)
    query = select(*columns).where(Membership.tenant_id.in_(tenant_ids), Membership.person_id.in_(person_ids))
    return list(session.execute(query))


@pytest.mark.usefixtures("io_loop")
def test_no_sequence_grants_what_no_membership_does(world: World) -> None:
    Memberships.world = world
    run_state_machine_as_test(
        Memberships,
        settings=settings(
            max_examples=40,
            stateful_step_count=25,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_an_invited_person_joins_once(world: World) -> None:
    person, school = world.person(), world.organization()

    def join(session: Session) -> bool:
        return memberships.join(session, school, person.id, "teacher")

    assert [world.c.db.system_sync(join) for _ in range(2)] == [True, False]
