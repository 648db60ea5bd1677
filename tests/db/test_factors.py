"""The second factor on real threads: what happens at once is decided by the database, and never by who looked first."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from edurise.authz import Principal
from edurise.errors import Conflict, Forbidden
from edurise.identity import factors, sessions
from edurise.identity.models import LoginSession
from edurise.identity.proofs import SecondFactor
from tests.harness.authenticator import Authenticator
from tests.harness.world import Someone, World

AT_ONCE = 4


def begin(world: World, person: Someone) -> factors.Begun:
    return world.c.db.system_sync(factors.begin, person.principal, world.c.vault, world.c.codes)


def confirm(world: World, person: Someone, secret: str) -> object:
    c, code = world.c, Authenticator(world, secret, []).code
    return c.db.system_sync(factors.confirm, person.principal, code, c.vault, c.codes, c.lifetimes)


def opening(world: World, person: Someone) -> object:
    """The last hop of a log-in that found no second factor when it looked for one."""
    return lambda session: sessions.open_session(session, person.id, None, ("tests", "127.0.0.1"), world.c.lifetimes)


def live_sessions(world: World, person_id: UUID) -> int:
    query = select(func.count()).where(LoginSession.person_id == person_id, LoginSession.revoked_at.is_(None))
    return world.c.db.system_sync(lambda session: session.scalar(query))


def test_beginning_twice_at_once_keeps_one_secret(world: World) -> None:
    people = [world.person() for _ in range(8)]
    for person in people:
        gate = threading.Barrier(AT_ONCE)

        def make(_: int, person: Someone = person, gate: threading.Barrier = gate) -> str:
            gate.wait(10)
            return begin(world, person).secret

        with ThreadPoolExecutor(AT_ONCE) as threads:
            made = list(threads.map(make, range(AT_ONCE)))
        stored = world.c.db.system_sync(lambda session, of=person.id: session.get_one(SecondFactor, of).sealed_secret)
        assert world.c.vault.unseal(stored, factors.context_of(person.id)).decode() in made


def test_confirming_twice_at_once_makes_one_set_of_codes(world: World) -> None:
    person = world.person()
    secret = begin(world, person).secret

    def use(_: int) -> str:
        try:
            return type(confirm(world, person, secret)).__name__
        except Conflict as refused:
            return refused.code

    with ThreadPoolExecutor(AT_ONCE) as threads:
        assert sorted(threads.map(use, range(AT_ONCE))) == ["OTP_ENROLLED"] * (AT_ONCE - 1) + ["list"]
    assert world.c.db.system_sync(factors.state, person.id)["recovery_codes_left"] == 10


def test_a_log_in_that_looked_before_an_enrolment_opens_nothing_after_it(world: World) -> None:
    person = world.person()
    secret = begin(world, person).secret
    assert world.c.db.system_sync(factors.needed, person.id, None) is False
    confirm(world, person, secret)
    with pytest.raises(Forbidden, match="OTP_REQUIRED"):
        world.c.db.system_sync(opening(world, person))
    assert live_sessions(world, person.id) == 1


def test_an_enrolment_waits_for_a_log_in_under_way_and_ends_its_session(world: World) -> None:
    person = world.person()
    secret = begin(world, person).secret
    opened, enrolling = threading.Event(), threading.Event()

    def log_in(session: Session) -> None:
        opening(world, person)(session)
        opened.set()
        enrolling.wait(10)

    def enroll() -> object:
        opened.wait(10)
        timer = threading.Timer(0.3, enrolling.set)  # by then the enrolment waits for the row of the person
        timer.start()
        return confirm(world, person, secret)

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.submit(world.c.db.system_sync, log_in), threads.submit(enroll)
        first.result(20)
        assert isinstance(second.result(20), list)
    assert live_sessions(world, person.id) == 1, "only the session that enrolled is left"


def test_a_reset_and_a_code_at_once_leave_either_a_factor_or_none(world: World) -> None:
    """Neither order deadlocks for good, and no recovery code outlives its factor."""
    root = world.person(platform=True)
    for _ in range(6):
        person = world.person()
        mine = Authenticator(world, begin(world, person).secret, [])
        mine.recovery_codes = confirm(world, person, mine.secret)

        def use(person: Someone = person, mine: Authenticator = mine) -> str:
            c, who = world.c, Principal(user_id=person.id, session_id=person.session_id)
            try:
                return type(c.db.system_sync(factors.renew, who, mine.recovery_codes[0], c.vault, c.codes)).__name__
            except Conflict as refused:
                return refused.code

        with ThreadPoolExecutor(2) as threads:
            using = threads.submit(use)
            world.c.db.system_sync(factors.reset, root.principal, person.id, world.c.lifetimes)
            assert using.result(20) in ("list", "OTP_NOT_ENROLLED")
        left = world.c.db.system_sync(factors.state, person.id)
        assert (left["is_enrolled"], live_sessions(world, person.id)) == (False, 0)
