"""Months are made ahead, rows of a month that came late are moved, months are dropped whole, and only when nothing
hangs on them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from alembic import command
from edurise import partitions
from edurise.adapters.migrations import configuration, migrate
from edurise.adapters.provision import DatabaseUrls
from tests.actors.workshop import EFFECTS, Workshop, owner_engine
from tests.harness.machine import own_database

TABLES = ("outbox", "audit_log", "activity")


@pytest.fixture(scope="module")
def months_database() -> Iterator[DatabaseUrls]:
    """A database whose months these tests make and drop."""
    with own_database("months") as urls:
        migrate(urls.owner)
        engine = owner_engine(urls)
        with engine.begin() as connection:
            connection.exec_driver_sql(EFFECTS)
        engine.dispose()
        yield urls


@pytest.fixture
def months(months_database: DatabaseUrls) -> Iterator[Workshop]:
    found = Workshop.open(months_database)
    yield found
    found.close()


def id_at(at: datetime, number: int = 0) -> UUID:
    """A UUIDv7 of that moment (RFC 9562, 5.7)."""
    return UUID(int=(int(at.timestamp() * 1000) << 80) | (0x7 << 76) | (0b10 << 62) | number)


def names(shop: Workshop, table: str) -> list[str]:
    statement = (
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = CAST(:name AS regclass) ORDER BY 1"
    )
    return [row["name"] for row in shop.read(statement, name=table)]


def put(shop: Workshop, at: datetime, *, spread: bool = True, number: int = 0) -> UUID:
    """An event of that moment; returns its id."""
    values = {"id": id_at(at, number), "at": at, "spread": at if spread else None}
    statement = (
        "INSERT INTO outbox (id, topic, payload, at, spread_at) VALUES (:id, 'tests.old.v1', '{}', :at, :spread)"
    )
    shop.db.system_sync(lambda session: session.execute(text(statement), values) and None)
    return values["id"]  # type: ignore[return-value]  # the dict holds more


def where(shop: Workshop, event_id: UUID) -> str:
    (found,) = shop.read("SELECT tableoid::regclass::text AS name FROM outbox WHERE id = :id", id=event_id)
    return str(found["name"])


def month_of(shop: Workshop, ahead: int) -> datetime:
    (found,) = shop.read(
        "SELECT (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => :n)) AS at", n=ahead
    )
    return found["at"].replace(tzinfo=UTC)  # type: ignore[no-any-return]  # a row's value


def ensure(shop: Workshop, ahead: int) -> int:
    return shop.db.system_sync(partitions.ensure, ahead)  # type: ignore[no-any-return]  # of ensure


def test_the_migration_made_this_month_and_two_more(months: Workshop) -> None:
    for table in TABLES:
        expected = [f"{table}_p{month_of(months, ahead):%Y%m}" for ahead in range(3)]
        assert names(months, table) == [f"{table}_default", *expected]
    assert ensure(months, 2) == 0


def test_rows_go_to_their_month_to_the_millisecond(months: Workshop) -> None:
    this, following = month_of(months, 0), month_of(months, 1)
    last = datetime.fromtimestamp(following.timestamp() - 0.001, UTC)
    assert where(months, put(months, this)) == f"outbox_p{this:%Y%m}"
    assert where(months, put(months, last)) == f"outbox_p{this:%Y%m}"
    assert where(months, put(months, following)) == f"outbox_p{following:%Y%m}"


def test_rows_that_came_before_their_month_are_moved_into_it(months: Workshop) -> None:
    at = month_of(months, 4)
    event_id = put(months, at)
    assert where(months, event_id) == "outbox_default"
    assert ensure(months, 4) == 2 * len(TABLES)
    assert where(months, event_id) == f"outbox_p{at:%Y%m}"
    found = months.read(
        "SELECT relrowsecurity AS on, relforcerowsecurity AS forced FROM pg_class WHERE relname = :name",
        name=f"outbox_p{at:%Y%m}",
    )
    assert found == [{"on": True, "forced": True}]


def test_a_query_by_id_reads_one_partition(months: Workshop) -> None:
    statement = f"EXPLAIN SELECT * FROM outbox WHERE id = '{id_at(month_of(months, 0))}'"
    plan = months.db.system_sync(lambda session: [row[0] for row in session.execute(text(statement))])
    assert sum("outbox_p" in line or "outbox_default" in line for line in plan) == 1, plan


def old_month(shop: Workshop, year: int, month: int) -> None:
    """A month that is long past, made as the function makes it."""
    following = date(year + month // 12, month % 12 + 1, 1)
    name = f"outbox_p{year}{month:02}"
    shop.owner(
        f"CREATE TABLE {name} PARTITION OF outbox FOR VALUES FROM ('{id_floor(year, month)}') "
        f"TO ('{id_floor(following.year, following.month)}'); SELECT police_partition('{name}')"
    )


def id_floor(year: int, month: int) -> UUID:
    return UUID(int=int(datetime(year, month, 1, tzinfo=UTC).timestamp() * 1000) << 80)


def test_whole_months_are_dropped_and_busy_ones_are_kept(months: Workshop) -> None:
    for number in (1, 2, 3, 4):
        old_month(months, 2024, number)
    put(months, datetime(2024, 1, 15, tzinfo=UTC))
    put(months, datetime(2024, 2, 15, tzinfo=UTC), spread=False)
    busy = put(months, datetime(2024, 3, 15, tzinfo=UTC))
    owed = "INSERT INTO deliveries (event_id, actor, topic, attempts, next_at) VALUES (:id, 'x', 'x', 0, now())"
    months.db.system_sync(lambda session: session.execute(text(owed), {"id": busy}) and None)

    def drop(session: Session) -> list[str]:
        return partitions.drop(session, "outbox", date(2024, 4, 20))

    assert months.db.system_sync(drop) == ["outbox_p202401"], (
        "February has an unspread event, March an open delivery, April is not over"
    )
    months.db.system_sync(lambda session: session.execute(text("UPDATE deliveries SET done_at = now()")) and None)
    months.db.system_sync(lambda session: session.execute(text("UPDATE outbox SET spread_at = now()")) and None)
    assert months.db.system_sync(drop) == ["outbox_p202402", "outbox_p202403"]
    assert "outbox_p202404" in names(months, "outbox")


def test_only_partitioned_tables_are_dropped_from(months: Workshop) -> None:
    with pytest.raises(DBAPIError, match="has no partitions by month"):
        months.db.system_sync(partitions.drop, "people", date(2999, 1, 1))


def test_the_migration_can_be_taken_back(months_database: DatabaseUrls) -> None:
    with own_database("downgrade") as urls:
        config = configuration(urls.owner)
        migrate(urls.owner, "0002")
        command.downgrade(config, "0001")
        engine = owner_engine(urls)
        with engine.begin() as connection:
            left = connection.exec_driver_sql(
                "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
                "AND relname ~ '^(outbox|audit|activity|deliver|lease|job)' "
                "UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace "
                "AND proname ~ 'partition|month'"
            ).all()
        engine.dispose()
        assert left == []
        migrate(urls.owner, "0002")
