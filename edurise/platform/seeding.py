"""Writing generated rows: once, whole, and never over what people made."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, NullPool, create_engine, text

from edurise.platform.sheets import Sheets

DOMAIN = "example.org"
"""Reserved (RFC 2606, 3): mail to generated people reaches nobody."""

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('edurise.seed', 0))"
_REAL = text("SELECT EXISTS (SELECT FROM people WHERE right(email_key, length(:domain)) <> :domain)")
_THERE = text("SELECT EXISTS (SELECT FROM people WHERE id = :id)")
# Rows that are written past the domain are counted afterwards.
_RECOUNT = (
    text("DELETE FROM quota_usage WHERE resource IN ('users', 'courses')"),
    text("""INSERT INTO quota_usage (tenant_id, resource, scope, subject_id, used)
            SELECT tenant_id, 'users', 'organization', tenant_id, count(*) FROM memberships
             WHERE is_active GROUP BY tenant_id"""),
    text("""INSERT INTO quota_usage (tenant_id, resource, scope, subject_id, used)
            SELECT tenant_id, 'courses', 'organization', tenant_id, count(*) FROM courses GROUP BY tenant_id"""),
)


class SchoolInUse(Exception):
    """The database holds people who were not generated: generated ones, with known passwords, do not belong there."""


def seed(owner_url: str, marker: UUID, make: Callable[[datetime], Sheets], *, force: bool = False) -> bool:
    """Write what ``make(now)`` returns, in one transaction as the owner; False where the person ``marker`` is there.

    Raises SchoolInUse where a person's address is outside ``example.org``, unless ``force`` is given.
    """
    engine = create_engine(owner_url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text(_LOCK))  # two first starts at once: the second finds the work done
        if connection.execute(_THERE, {"id": marker}).scalar_one():
            return False
        if not force and connection.execute(_REAL, {"domain": DOMAIN}).scalar_one():
            raise SchoolInUse("the database holds people who were not generated; generated data are refused there")
        make(_today(connection)).write(connection)
        for statement in _RECOUNT:
            connection.execute(statement)
    _analyze(owner_url)
    return True


def _today(connection: Connection) -> datetime:
    """Midnight of this day in UTC, by the database's clock: rows are the same all day."""
    found: datetime = connection.execute(
        text("SELECT date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'")
    ).scalar_one()
    return found


def _analyze(owner_url: str) -> None:
    """Fresh tables have no statistics, and the planner would guess until autovacuum comes by."""
    engine = create_engine(owner_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("ANALYZE"))
