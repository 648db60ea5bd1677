"""The schema as it stands in pg_catalog: which tables are policed and how, which keys and indexes there are, and that
the migrations make it, unmake it and agree with the models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.pool import NullPool

import edurise.models  # every table and ordering is declared once it is imported
from alembic import command
from edurise.adapters.migrations import configuration, current, head, migrate
from edurise.adapters.provision import DatabaseUrls
from edurise.ai import queries as ai
from edurise.courses import catalogue as courses
from edurise.notifications import queries as notifications
from edurise.paging import Orderings
from tests.harness.machine import own_database

# How each table is policed: the policies of the application role, by the names that edurise/rls.py gives them.
TENANT, WITH_SELF, PERSON, SECRET = {"tenant"}, {"tenant", "own"}, {"own", "added", "confined"}, set[str]()
ONE_S_OWN = {"own"}
POLICIES: dict[str, set[str]] = {
    "activity": TENANT,
    "ai_conversations": PERSON,
    "ai_messages": PERSON,
    "ai_questions": PERSON,
    "application_documents": TENANT,
    "attendance": WITH_SELF,
    "attendance_intervals": WITH_SELF,
    "audit_log": WITH_SELF,
    "categories": {"shared", "tenant"},
    "channel_events": {"own", "tenant"},
    "channels": {"own", "tenant"},
    "course_deltas": TENANT,
    "courses": WITH_SELF,
    "credentials": SECRET,
    "deliveries": {"finished", "seen"},
    "enrollments": WITH_SELF,
    "entitlements": WITH_SELF,
    "external_identities": SECRET,
    "file_accesses": TENANT,
    "file_categories": {"shared", "tenant"},
    "file_shares": TENANT,
    "files": TENANT,
    "gateway_events": SECRET,
    "identity_providers": TENANT,
    "invitations": TENANT,
    "job_runs": SECRET,
    "leases": SECRET,
    "lessons": TENANT,
    "live_classes": WITH_SELF,
    "mailed_links": SECRET,
    "memberships": WITH_SELF,
    "modules": TENANT,
    "notification_preferences": ONE_S_OWN,
    "notifications": PERSON,
    "organizations": {"seen", "changed"},
    "outbox": TENANT,
    "payments": WITH_SELF,
    "people": {"seen", "changed"},
    "preferences": ONE_S_OWN,
    "profiles": {"seen", "changed"},
    "quota_holds": TENANT,
    "quota_usage": TENANT,
    "recovery_codes": SECRET,
    "refresh_tokens": SECRET,
    "revocations": SECRET,
    "second_factors": SECRET,
    "sessions": SECRET,
    "sign_ins": SECRET,
    "signing_keys": SECRET,
    "standings": WITH_SELF,
    "teacher_applications": WITH_SELF,
    "upload_parts": PERSON,
    "uploads": PERSON,
}
# What anybody may read, and nobody but a trigger or the system role may write.
OPEN = {"alembic_version", "catalogue"}


@pytest.fixture
def catalog(database: DatabaseUrls) -> Iterator[Connection]:
    engine = create_engine(database.owner, poolclass=NullPool)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def ask(connection: Connection, question: str, **params: Any) -> list[Any]:
    return list(connection.execute(text(question), params))


TABLES = """SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity, c.relispartition FROM pg_class c
            WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY 1"""


def test_every_table_has_its_policies_enabled_and_forced(catalog: Connection) -> None:
    found = {row.relname: row for row in ask(catalog, TABLES)}
    whole = {name for name, row in found.items() if not row.relispartition}
    assert whole == set(POLICIES) | OPEN, "a new table needs a line here: how is it policed?"
    for name in sorted(found.keys() - OPEN):
        assert found[name].relrowsecurity, f"{name}: row-level security is off"
        assert found[name].relforcerowsecurity, f"{name}: not forced, so its owner is not policed"
    policies: dict[str, set[str]] = {name: set() for name in POLICIES}
    common: dict[str, set[str]] = {name: set() for name in POLICIES}
    searched = set()
    for table, policy, roles in ask(catalog, "SELECT tablename, policyname, roles::text FROM pg_policies"):
        if roles == "{edurise_search}":
            searched.add((table, policy))
        elif table in policies:
            kind = policies if roles == "{edurise_app}" else common
            kind[table].add(policy)
            assert roles in ("{edurise_app}", "{edurise_system}", "{edurise_owner}"), (
                f"{table}: {policy} is for {roles}"
            )
    assert policies == POLICIES
    # Who owns the search functions reads what they search, over all organizations; a function asks for the one entered.
    assert searched == {("lessons", "search"), ("modules", "search")}
    assert all(names == {"owner", "system"} for names in common.values()), common


def test_the_policies_of_the_tenant_and_the_person_say_what_they_are_named_for(catalog: Connection) -> None:
    tenant = "NULLIF(current_setting('app.tenant'::text, true), ''::text))::uuid"
    person = "NULLIF(current_setting('app.user'::text, true), ''::text))::uuid"
    for table, policy, using, check, does in ask(
        catalog, "SELECT tablename, policyname, qual, with_check, cmd FROM pg_policies WHERE roles = '{edurise_app}'"
    ):
        where = f"{table}.{policy}"
        if policy == "tenant":
            assert tenant in using, where
            hidden = f"({check} AND (NOT is_suspended))"  # written, and read no more
            assert check is None if does == "SELECT" else using in (check, hidden), where
        elif policy == "own":
            assert person in using, where
            if POLICIES[table] in (PERSON, ONE_S_OWN):
                assert check == using, where
            else:
                assert does == "SELECT", where
            if tenant not in using and POLICIES[table] == WITH_SELF and table not in ("channels", "channel_events"):
                assert "current_setting('app.scope'::text, true) = 'self'::text" in using, where
        elif policy == "confined":
            only = "NULLIF(current_setting('app.only'::text, true), ''::text))::uuid"
            assert (does, using) == ("ALL", f"((({only} IS NULL) OR (tenant_id = ({only}))"), where
        elif policy == "added":
            assert (does, using) == ("INSERT", None), where
            assert tenant in check, where


def test_no_role_of_the_application_owns_bypasses_or_becomes_another(catalog: Connection) -> None:
    roles = ask(
        catalog, "SELECT rolname, rolsuper, rolbypassrls, rolcreaterole FROM pg_roles WHERE rolname LIKE 'edurise_%'"
    )
    assert {row.rolname for row in roles} >= {"edurise_app", "edurise_owner", "edurise_system"}
    assert [row.rolname for row in roles if row.rolsuper or row.rolbypassrls or row.rolcreaterole] == []
    owners = ask(catalog, "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
    assert [row.tableowner for row in owners] == ["edurise_owner"]
    members = ask(
        catalog,
        """SELECT m.member::regrole::text FROM pg_auth_members m
           WHERE m.member::regrole::text IN ('edurise_app', 'edurise_system')""",
    )
    assert members == []


def test_definer_functions_fix_their_search_path_and_are_not_public(catalog: Connection) -> None:
    found = ask(
        catalog,
        """SELECT p.proname, p.proconfig, has_function_privilege('public', p.oid, 'EXECUTE') AS public
           FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef""",
    )
    assert {row.proname for row in found} >= {"enter", "channel_append", "keep_catalogue", "ensure_partitions"}
    for name, config, is_public in found:
        assert any(setting.startswith("search_path=") for setting in config or []), f"{name}: no search_path"
        assert not is_public, f"{name}: anybody may execute it"


def test_keys_of_tenant_rows_are_composite(catalog: Connection) -> None:
    """A single-column key to a tenant's row would reach into another organization: foreign keys ignore the policies."""
    keys = ask(
        catalog,
        """SELECT k.conname, k.conrelid::regclass::text AS child, k.confrelid::regclass::text AS parent,
                  (SELECT array_agg(a.attname ORDER BY u.n) FROM unnest(k.conkey) WITH ORDINALITY u(num, n)
                     JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num) AS columns
           FROM pg_constraint k
           WHERE k.contype = 'f' AND k.connamespace = 'public'::regnamespace AND k.conparentid = 0""",
    )
    free = {"organizations", "people", "categories", "file_categories", "sessions", "channels"}
    wrong = [
        row.conname
        for row in keys
        if row.parent not in free and (len(row.columns) < 2 or row.columns[0] != "tenant_id")
    ]
    assert wrong == []
    # Log-in sessions are the system role's, channels are reached through their function only.
    unique = {
        (row.table, tuple(row.columns))
        for row in ask(
            catalog,
            """SELECT k.conrelid::regclass::text AS table,
                      (SELECT array_agg(a.attname ORDER BY u.n) FROM unnest(k.conkey) WITH ORDINALITY u(num, n)
                         JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num) AS columns
               FROM pg_constraint k WHERE k.contype IN ('u', 'p') AND k.connamespace = 'public'::regnamespace""",
        )
    }
    parents = {row.parent for row in keys if row.parent not in free}
    assert [name for name in sorted(parents) if (name, ("tenant_id", "id")) not in unique] == []


def indexes(connection: Connection) -> dict[str, list[list[str]]]:
    """The columns of each table's whole indexes, in order."""
    found: dict[str, list[list[str]]] = {}
    for table, columns in ask(
        connection,
        """SELECT i.indrelid::regclass::text,
                  (SELECT array_agg(a.attname ORDER BY u.n) FROM unnest(i.indkey) WITH ORDINALITY u(num, n)
                     JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.num)
           FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
           WHERE c.relnamespace = 'public'::regnamespace AND i.indpred IS NULL""",
    ):
        found.setdefault(table, []).append(columns or [])
    return found


def test_every_foreign_key_is_indexed(catalog: Connection) -> None:
    """Deleting a parent looks for children; without an index it reads the table, under a lock."""
    known = indexes(catalog)
    missing = []
    for key, table, columns in ask(
        catalog,
        """SELECT k.conname, k.conrelid::regclass::text,
                  (SELECT array_agg(a.attname ORDER BY u.n) FROM unnest(k.conkey) WITH ORDINALITY u(num, n)
                     JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num)
           FROM pg_constraint k
           WHERE k.contype = 'f' AND k.connamespace = 'public'::regnamespace AND k.conparentid = 0""",
    ):
        if not any(set(index[: len(columns)]) == set(columns) for index in known[table]):
            missing.append(key)
    assert missing == []


def test_every_declared_ordering_is_indexed(catalog: Connection) -> None:
    known = indexes(catalog)
    assert {id(one) for one in (courses.CATALOGUE_ORDER, courses.COURSE_ORDER, notifications.ORDER, ai.ORDER)} <= {
        id(one) for one in Orderings.declared
    }
    own = {"ai_conversations": ["user_id"], "notifications": ["user_id"]}
    own["files"] = ["tenant_id"]
    live = {"attendance": ["tenant_id", "class_id"], "live_classes": ["course_id", "tenant_id"]}
    scopes = (
        {"catalogue": [], "organizations": [], "people": [], "audit_log": ["person_id"], "courses": ["tenant_id"]}
        | own
        | live
    )
    missing = []
    for declared in Orderings.declared:
        for column in declared.columns.values():
            table = column.class_.__tablename__
            wanted = [*scopes[table], column.key]
            if not any(index[: len(wanted)] == wanted for index in known[table]):
                missing.append(f"{table}.{column.key}")
    assert missing == []


def test_no_money_is_a_fraction_and_every_time_has_a_zone(catalog: Connection) -> None:
    rows = ask(
        catalog,
        "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'",
    )
    money = [row for row in rows if row.column_name.endswith("_minor")]
    assert {row.data_type for row in money} == {"integer"}
    assert [
        row for row in rows if row.data_type in ("timestamp without time zone", "money", "character varying", "json")
    ] == [row for row in rows if row.table_name == "alembic_version"]


# -- migrations --------------------------------------------------------------------------------------------------------


def test_there_is_one_head_and_every_revision_can_be_reversed() -> None:
    script = ScriptDirectory.from_config(configuration("postgresql+psycopg2://"))
    assert len(script.get_heads()) == 1
    revisions = list(script.walk_revisions())
    assert [one.revision for one in reversed(revisions)] == [f"{number:04}" for number in range(1, len(revisions) + 1)]
    assert all(callable(getattr(one.module, "downgrade", None)) for one in revisions)


def test_the_models_are_what_the_migrations_make(database: DatabaseUrls) -> None:
    assert edurise.models.BASE.metadata.tables
    command.check(configuration(database.owner))  # raises where autogenerate would write anything


def schema(connection: Connection) -> dict[str, Any]:
    """Tables, columns, policies, functions, grants and indexes, as far as two databases can be compared by them."""
    questions = {
        "columns": """SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns
                      WHERE table_schema = 'public' ORDER BY 1, 2""",
        "policies": "SELECT tablename, policyname, roles::text, cmd, qual, with_check FROM pg_policies ORDER BY 1, 2",
        "functions": """SELECT proname, prosrc, proacl::text FROM pg_proc
                        WHERE pronamespace = 'public'::regnamespace ORDER BY 1""",
        "grants": """SELECT grantee, table_name, privilege_type FROM information_schema.table_privileges
                     WHERE table_schema = 'public' ORDER BY 1, 2, 3""",
        "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2",
        "triggers": "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2",
    }
    return {name: [tuple(row) for row in ask(connection, question)] for name, question in questions.items()}


def test_up_down_and_up_again_makes_the_same_schema() -> None:
    with own_database("reversed") as urls:
        engine = create_engine(urls.owner, poolclass=NullPool)
        migrate(urls.owner)
        with engine.connect() as connection:
            first = schema(connection)
        command.downgrade(configuration(urls.owner), "base")
        with engine.connect() as connection:
            left = set(inspect(connection).get_table_names())
            functions = ask(connection, "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace")
        assert left == {"alembic_version"}
        assert functions == []
        assert current(urls.owner) is None
        migrate(urls.owner)
        assert current(urls.owner) == head()
        with engine.connect() as connection:
            assert schema(connection) == first
        engine.dispose()


def test_each_migration_stands_on_the_one_before_alone() -> None:
    """Step by step down and up: a deployment may stop between any two."""
    with own_database("stepped") as urls:
        migrate(urls.owner)
        number = int(head())
        for step in range(number, 1, -1):
            command.downgrade(configuration(urls.owner), f"{step - 1:04}")
            command.upgrade(configuration(urls.owner), f"{step:04}")
            command.downgrade(configuration(urls.owner), f"{step - 1:04}")
        migrate(urls.owner)
        assert current(urls.owner) == head()
