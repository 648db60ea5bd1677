"""Statements of row-level security, for migrations. One place decides how a table is policed; a test reads pg_catalog
and compares.

Roles: ``edurise_owner`` owns and migrates, ``edurise_app`` serves requests, ``edurise_system`` does log-in, relay and
platform work. Under FORCE the owner is policed too, so it has a policy of its own (without it an UPDATE in a migration
would silently touch nothing).
"""

from __future__ import annotations

from collections.abc import Iterator

TENANT = "nullif(current_setting('app.tenant', true), '')::uuid"
PERSON = "nullif(current_setting('app.user', true), '')::uuid"
ONLY = "nullif(current_setting('app.only', true), '')::uuid"
SELF_SCOPE = "current_setting('app.scope', true) = 'self'"
ALL = "SELECT, INSERT, UPDATE, DELETE"


def tenant_scoped(table: str, *, grants: str = ALL, own: str | None = None) -> Iterator[str]:
    """Rows of the entered organization only. ``own`` names the column by which a person reads rows over all
    organizations in the self scope."""
    yield from _forced(table)
    yield _of_tenant(table)
    if own:
        yield f"CREATE POLICY own ON {table} FOR SELECT TO edurise_app USING ({SELF_SCOPE} AND {own} = {PERSON})"
    yield f"GRANT {grants} ON {table} TO edurise_app"


def person_scoped(table: str, *, grants: str = ALL, person: str = "user_id") -> Iterator[str]:
    """Rows of the person at hand; an actor or a colleague may add one inside the entered organization, and read
    nothing."""
    yield from _forced(table)
    yield f"CREATE POLICY own ON {table} TO edurise_app USING ({person} = {PERSON}) WITH CHECK ({person} = {PERSON})"
    yield f"CREATE POLICY added ON {table} FOR INSERT TO edurise_app WITH CHECK (tenant_id = {TENANT})"
    yield f"GRANT {grants} ON {table} TO edurise_app"


def confined(table: str) -> str:
    """Narrows the person's rows to the organization that their session is confined to, if it is."""
    condition = f"({ONLY} IS NULL OR tenant_id = {ONLY})"
    return f"CREATE POLICY confined ON {table} AS RESTRICTIVE TO edurise_app USING {condition}"


def one_s_own(table: str, *, grants: str = "SELECT, INSERT, UPDATE", person: str = "person_id") -> Iterator[str]:
    """Rows of the person at hand, in no organization."""
    yield from _forced(table)
    yield f"CREATE POLICY own ON {table} TO edurise_app USING ({person} = {PERSON}) WITH CHECK ({person} = {PERSON})"
    yield f"GRANT {grants} ON {table} TO edurise_app"


def platform_rows(table: str, *, grants: str = "SELECT") -> Iterator[str]:
    """Rows of the platform (no tenant) are read by all, rows of an organization by it alone."""
    yield from _forced(table)
    yield f"CREATE POLICY shared ON {table} FOR SELECT TO edurise_app USING (tenant_id IS NULL OR tenant_id = {TENANT})"
    yield _of_tenant(table)
    yield f"GRANT {grants} ON {table} TO edurise_app"


def system_only(table: str) -> Iterator[str]:
    """Secrets and platform machinery: the application role has no grant at all."""
    yield from _forced(table)


def _of_tenant(table: str) -> str:
    condition = f"(tenant_id = {TENANT})"
    return f"CREATE POLICY tenant ON {table} TO edurise_app USING {condition} WITH CHECK {condition}"


def _forced(table: str) -> Iterator[str]:
    yield f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"
    yield f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY"
    yield f"CREATE POLICY owner ON {table} TO edurise_owner USING (true) WITH CHECK (true)"
    yield f"CREATE POLICY system ON {table} TO edurise_system USING (true) WITH CHECK (true)"
    yield f"GRANT {ALL} ON {table} TO edurise_system"
