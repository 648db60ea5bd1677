"""What the application role can do to the tables of this layer, straight in SQL: its own organization's share, and no
more.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from edurise import activity, audit, outbox
from edurise.authz import Principal, actor_principal
from tests.actors.workshop import MAIN, OTHER, START, Happened, PaperTransport, Workshop, run

DENIED = "permission denied"
POLICY = "row-level security policy"


def as_application(shop: Workshop, inside: UUID | None, statement: str, **values: object) -> list[dict[str, Any]] | int:
    """Run one statement as the application role inside an organization: rows, or how many were touched."""

    def work(session: Session, who: Principal) -> Any:
        found = session.execute(text(statement), values)
        return [dict(row._mapping) for row in found] if found.returns_rows else found.rowcount

    return shop.db.run_sync(actor_principal(inside), work)  # type: ignore[no-any-return]  # of work


def refused(shop: Workshop, reason: str, inside: UUID | None, statement: str, **values: object) -> None:
    with pytest.raises(ProgrammingError, match=reason):
        as_application(shop, inside, statement, **values)


@pytest.fixture
def delivered(shop: Workshop) -> dict[str, UUID]:
    """One delivery in each organization and one of the platform."""
    found = {
        "main": shop.record(Happened()),
        "other": shop.record(Happened(), OTHER),
        "platform": shop.record(Happened(), None),
    }
    run(shop.relay(PaperTransport(), wanted={Happened.topic: ["tests.any"]}).round())
    return found


@pytest.mark.parametrize("tenant", [OTHER, None], ids=["another organization", "the platform"])
def test_events_are_recorded_for_the_entered_organization_only(shop: Workshop, tenant: UUID | None) -> None:
    def forge(session: Session, who: Principal) -> None:
        outbox.record(session, tenant, Happened())

    with pytest.raises(ProgrammingError, match=POLICY):
        shop.db.run_sync(actor_principal(MAIN), forge)
    assert shop.read("SELECT * FROM outbox") == []


def test_nothing_is_recorded_outside_of_an_organization(shop: Workshop) -> None:
    with pytest.raises(ProgrammingError, match=POLICY):
        shop.db.run_sync(actor_principal(None), lambda session, _: outbox.record(session, None, Happened()) and None)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM outbox",
        "UPDATE outbox SET spread_at = now()",
        "DELETE FROM outbox",
        "DELETE FROM audit_log",
        "UPDATE audit_log SET action = 'nothing'",
        "DELETE FROM activity",
        "UPDATE activity SET seconds = 9",
        "SELECT last_error FROM deliveries",
        "UPDATE deliveries SET next_at = now()",
        "UPDATE deliveries SET dead_at = NULL",
        "DELETE FROM deliveries",
        "SELECT * FROM leases",
        "SELECT * FROM job_runs",
        "SELECT ensure_partitions(1)",
        "SELECT drop_partitions('audit_log', '2999-01-01')",
        "SELECT * FROM outbox_default",
        "SELECT * FROM audit_log_default",
        "INSERT INTO activity_default SELECT * FROM activity",
    ],
)
def test_the_application_may_not(shop: Workshop, statement: str) -> None:
    refused(shop, DENIED, MAIN, statement)


def test_partitions_of_months_are_as_closed_as_the_default(shop: Workshop) -> None:
    found = shop.read(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'audit_log'::regclass"
    )
    assert len(found) >= 4
    for row in found:
        refused(shop, DENIED, MAIN, f"SELECT * FROM {row['name']}")


def test_deliveries_of_another_organization_are_neither_seen_nor_finished(
    shop: Workshop, delivered: dict[str, UUID]
) -> None:
    seen = as_application(shop, MAIN, "SELECT event_id FROM deliveries ORDER BY event_id")
    assert seen == [{"event_id": delivered["main"]}, {"event_id": delivered["platform"]}]
    finish = "UPDATE deliveries SET done_at = :now WHERE event_id = :id"
    assert as_application(shop, MAIN, finish, now=START, id=delivered["other"]) == 0
    assert as_application(shop, MAIN, finish, now=START, id=delivered["main"]) == 1
    assert shop.delivery(delivered["other"])["done_at"] is None


def test_deliveries_are_made_by_the_system_only(shop: Workshop) -> None:
    statement = "INSERT INTO deliveries (event_id, actor, topic, attempts, next_at) VALUES (:id, 'x', 'x', 0, now())"
    refused(shop, DENIED, MAIN, statement, id=uuid7())


def test_audit_is_written_and_read_in_ones_own_organization(shop: Workshop) -> None:
    person = uuid7()

    def act(session: Session, who: Principal) -> None:
        acting = Principal(user_id=person, ip="192.0.2.7", standing=who.standing)
        audit.write(session, acting, "course.changed", "course", MAIN, fields=["price", "title"], at=START, by=person)

    shop.db.run_sync(actor_principal(MAIN), act)
    (found,) = as_application(shop, MAIN, "SELECT * FROM audit_log")
    assert found["details"] == {"fields": ["price", "title"], "at": START.isoformat(), "by": str(person)}
    assert (found["tenant_id"], found["person_id"], found["ip"], found["at"]) == (MAIN, person, "192.0.2.7", START)
    assert as_application(shop, OTHER, "SELECT * FROM audit_log") == []
    assert as_application(shop, None, "SELECT * FROM audit_log") == []


@pytest.mark.parametrize("name", ["password", "new_Password", "refresh_token", "client_secret", "password_hash"])
def test_secrets_are_not_audited(shop: Workshop, name: str) -> None:
    def act(session: Session, who: Principal) -> None:
        audit.write(session, who, "person.changed", "person", None, changes=[{name: "hunter2"}])

    with pytest.raises(ValueError, match="secret"):
        shop.db.run_sync(actor_principal(MAIN), act)


def test_audit_of_another_organization_is_refused(shop: Workshop) -> None:
    statement = (
        "INSERT INTO audit_log (id, tenant_id, action, object_kind, details, ip, at) "
        "VALUES (:id, :tenant, 'x', 'x', '{}', '', now())"
    )
    refused(shop, POLICY, MAIN, statement, id=uuid7(), tenant=OTHER)
    refused(shop, POLICY, MAIN, statement, id=uuid7(), tenant=None)


def test_activity_is_noted_in_ones_own_organization(shop: Workshop) -> None:
    person, thing = uuid7(), uuid7()

    def do(session: Session, who: Principal, tenant: UUID) -> None:
        activity.note(session, tenant, person, "watched", "lesson", thing, seconds=90)

    shop.db.run_sync(actor_principal(MAIN), do, MAIN)
    with pytest.raises(ProgrammingError, match=POLICY):
        shop.db.run_sync(actor_principal(MAIN), do, OTHER)
    (found,) = as_application(shop, MAIN, "SELECT person_id, kind, object_id, seconds FROM activity")
    assert found == {"person_id": person, "kind": "watched", "object_id": thing, "seconds": 90}
    assert as_application(shop, OTHER, "SELECT * FROM activity") == []
