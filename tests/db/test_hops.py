"""The unit of work on a real database: one commit, re-runs, refusals, and what is lost is never reported as done."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from edurise.adapters.clock import SetClock
from edurise.adapters.provision import DatabaseUrls
from edurise.authz import ANYBODY, About, Principal, actor_principal
from edurise.db import AfterCommit, Database, Urls, WrongTenant, after_commit, insert_missing
from edurise.errors import Conflict, NotFound, Overloaded, Retry, Unauthenticated
from edurise.identity import service as identity
from edurise.identity.permissions import Identity
from edurise.tenants.limits import UNLIMITED
from edurise.tenants.models import Membership, Organization
from edurise.tenants.queries import MAIN
from edurise.tenants.quotas import PlanQuotas
from tests.harness.machine import require

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def told() -> list[AfterCommit]:
    return []


@pytest.fixture
def db(database: DatabaseUrls, told: list[AfterCommit]) -> Iterator[Database]:
    made = Database(
        Urls(database.application, database.system),
        SetClock(NOW),
        pool_size=2,
        on_commit=told.append,
        quotas=PlanQuotas(UNLIMITED),
    )
    yield made
    made.close()


def person(db: Database) -> UUID:
    new = identity.NewPerson(f"{uuid4()}@example.org", "Ada", "Lane")
    return db.system_sync(identity.register, new, "hash", MAIN)


def test_what_a_hop_announces_is_told_after_the_commit_and_only_then(db: Database, told: list[AfterCommit]) -> None:
    def fail(session: Session, _who: Principal) -> None:
        after_commit(session).bells.add("outbox")
        raise Conflict

    with pytest.raises(Conflict):
        db.run_sync(Principal(), fail)
    assert told == []
    person(db)
    assert [one.bells for one in told] == [{"outbox"}]


def test_a_lost_race_is_run_once_more_and_then_given_up(db: Database) -> None:
    runs = []

    def lose(session: Session, _who: Principal, times: int) -> int:
        runs.append(session)
        if len(runs) <= times:
            raise Retry
        return len(runs)

    assert db.run_sync(Principal(), lose, 1) == 2
    runs.clear()
    with pytest.raises(Overloaded):
        db.run_sync(Principal(), lose, 2)
    assert len(runs) == 2


def test_a_deadlock_is_run_once_more(db: Database) -> None:
    """Two hops that lock two rows in opposite orders both end well."""
    first, second = person(db), person(db)
    met = threading.Barrier(2)
    ended: list[str] = []

    def lock(session: Session, one: UUID, other: UUID, again: list[int]) -> None:
        session.execute(text("UPDATE people SET timezone = 'UTC' WHERE id = :id"), {"id": one})
        if not again:
            again.append(1)
            met.wait(5)
        session.execute(text("UPDATE people SET timezone = 'UTC' WHERE id = :id"), {"id": other})

    def work(one: UUID, other: UUID) -> None:
        db.system_sync(lock, one, other, [])
        ended.append("well")

    threads = [threading.Thread(target=work, args=pair) for pair in ((first, second), (second, first))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert ended == ["well", "well"]


def test_a_connection_that_died_is_replaced_unnoticed(db: Database, database: DatabaseUrls) -> None:
    """As after a restart of PostgreSQL: pooled connections are dead, and the first statement of a hop finds out."""
    for _ in range(2):
        db.run_sync(Principal(), lambda _session, _who: None)
    name = make_url(database.owner).database
    admin = create_engine(require("postgres"), poolclass=NullPool)
    with admin.connect() as connection:
        ended = text(
            "SELECT count(pg_terminate_backend(pid, 2000)) FROM pg_stat_activity "
            "WHERE datname = :name AND application_name = 'edurise-app'"
        )
        assert connection.scalar(ended, {"name": name}) > 0
    assert db.run_sync(Principal(), lambda session, _who: session.scalar(text("SELECT 1"))) == 1


def test_a_commit_of_a_failed_transaction_raises(db: Database) -> None:
    """PostgreSQL answers COMMIT with a quiet ROLLBACK; the hop must not report that as success."""

    def swallow(session: Session, _who: Principal) -> str:
        try:
            session.connection().exec_driver_sql("SELECT 1 / 0")
        except Exception:  # noqa: BLE001 - what a careless function might do
            return "all is well"
        return "unreachable"

    with pytest.raises(Exception, match="cannot be committed"):
        db.run_sync(Principal(), swallow)


def test_a_flush_for_another_organization_is_refused(db: Database) -> None:
    member = person(db)

    def stray(session: Session, _who: Principal) -> None:
        session.add(Membership(tenant_id=uuid4(), person_id=member, role="admin", created_at=NOW))
        session.flush()

    with pytest.raises(WrongTenant):
        db.run_sync(actor_principal(MAIN), stray)


def test_no_organization_no_rows(db: Database) -> None:
    person(db)
    count = text("SELECT count(*) FROM memberships")
    assert db.run_sync(Principal(), lambda session, _who: session.scalar(count)) == 0
    assert db.run_sync(actor_principal(MAIN), lambda session, _who: session.scalar(count)) > 0
    assert db.run_sync(Principal(), lambda session, _who: session.scalar(count)) == 0


def test_who_is_refused_how(db: Database) -> None:
    def work(_session: Session, who: Principal) -> bool:
        return who.standing is not None

    assert db.run_sync(Principal(needs=ANYBODY), work)
    with pytest.raises(Unauthenticated):
        db.run_sync(Principal(needs=Identity.ME), work)
    with pytest.raises(Unauthenticated):
        db.run_sync(Principal(user_id=uuid4(), needs=Identity.ME), work)
    with pytest.raises(NotFound):
        db.run_sync(Principal(), work, about=About("course", uuid4()))


def test_an_unexpected_integrity_error_is_ours(db: Database) -> None:
    def broken(session: Session) -> None:
        session.add(Organization(id=uuid4(), name="Twice", subdomain="main", created_at=NOW, updated_at=NOW))

    with pytest.raises(IntegrityError):
        db.system_sync(broken)


def test_insert_missing_says_whether_it_inserted(db: Database) -> None:
    member = person(db)

    def join(session: Session) -> bool:
        values = {"id": uuid4(), "tenant_id": MAIN, "person_id": member, "role": "student", "is_active": True}
        return insert_missing(session, Membership, **values, created_at=NOW)

    assert db.system_sync(join) is False
