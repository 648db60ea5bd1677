"""What one organization holds, another cannot reach: by ids over HTTP, and by SQL as the application role."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from edurise.adapters.provision import DatabaseUrls
from tests.harness.client import Client
from tests.harness.filing import shared
from tests.harness.world import Someone, World
from tests.security.file_table import file_scene
from tests.security.scene import School, conversation, invitation, learner, payment, row_counts, school

API = "/api/v1"


# -- over HTTP ---------------------------------------------------------------------------------------------------------


def attackers(world: World, victim: School) -> dict[str, Client]:
    """Everybody whom another organization can send: its administrator and teacher, with and without the header."""
    at = world.organization()
    administrator, teacher = world.person("admin", at), world.person("teacher", at)
    header = {"X_Tenant_ID": str(victim.id)}
    return {
        "administrator": world.of(administrator),
        "administrator with header": world.of(administrator, **header),
        "teacher": world.of(teacher),
        "teacher with header": world.of(teacher, **header),
    }


@pytest.mark.gen_test(timeout=20)
async def test_no_id_of_another_organization_opens_anything(world: World) -> None:
    victim = school(world)
    pupil = await learner(world, victim.free)
    bill = await payment(world, pupil, victim.paid)
    note = world.notification(pupil)
    talk = conversation(world, pupil, victim.free).id
    clients = attackers(world, victim)
    before = row_counts(world)
    hidden: list[tuple[str, str, Any]] = [
        ("GET", f"/courses/{victim.draft}/", None),
        ("PATCH", f"/courses/{victim.draft}/", {"title": "Mine"}),
        ("POST", f"/courses/{victim.draft}/enroll/", {}),
        ("GET", f"/course-modules/?course={victim.draft}", None),
        ("POST", "/course-modules/", {"course": str(victim.draft), "title": "Mine"}),
        ("GET", f"/course-lessons/?module={victim.draft_module}", None),
        ("POST", "/course-lessons/", {"module": str(victim.draft_module), "title": "Mine"}),
        ("GET", f"/course-lessons/{victim.lesson}/", None),
        ("GET", f"/course-lessons/{victim.draft_lesson}/", None),
        ("POST", "/payments/create_course_payment/", {"course_id": str(victim.draft)}),
        ("POST", f"/payments/{bill}/confirm_payment/", {}),
        ("POST", f"/teacher-approvals/{victim.application}/approve/", {}),
        ("GET", f"/ai-conversations/{talk}/", None),
        ("GET", f"/ai-conversations/{talk}/messages/", None),
        ("POST", f"/ai-conversations/{talk}/send_message/", {"message": "Who?"}),
        ("POST", "/ai-conversations/", {"course": str(victim.draft)}),
    ]
    seen: list[tuple[str, str, Any]] = [
        ("PATCH", f"/courses/{victim.free}/", {"title": "Mine"}),
        ("POST", "/course-modules/", {"course": str(victim.free), "title": "Mine"}),
        ("POST", "/course-lessons/", {"module": str(victim.module), "title": "Mine"}),
        ("GET", f"/course-lessons/?module={victim.module}", None),
        ("POST", "/ai-conversations/", {"context": {"course_id": str(victim.free)}}),
    ]
    for name, client in clients.items():
        for method, path, body in hidden:
            answer = await client.call(method, API + path, body)
            assert answer.status == 404, f"{name}: {method} {path}"
            unknown = await client.call("GET", f"{API}/courses/{uuid4()}/")
            assert (answer.code, answer.body["message"]) == (unknown.code, unknown.body["message"])
        for method, path, body in seen:
            assert (await client.call(method, API + path, body)).status == 403, f"{name}: {method} {path}"
        marked = await client.post(f"{API}/notifications/{note}/mark_read/")
        assert marked.status == (403 if "header" in name else 404)
    assert row_counts(world) == before


@pytest.mark.gen_test
async def test_lists_hold_only_what_the_caller_may_see(world: World) -> None:
    one, two = school(world), school(world)
    own = (await world.of(one.administrator).get(f"{API}/courses/")).data
    assert {row["id"] for row in own} == {str(one.free), str(one.paid), str(one.draft)}
    assert {row["organization"]["id"] for row in own} == {str(one.id)}
    foreign = (await world.of(one.administrator).get(f"{API}/courses/?tenant={two.id}")).data
    assert {row["id"] for row in foreign} == {str(two.free), str(two.paid)}
    everywhere = (await world.anonymous.get(f"{API}/courses/")).data
    assert str(one.draft) not in {row["id"] for row in everywhere}
    applications = (await world.of(one.administrator).get(f"{API}/teacher-approvals/")).data
    assert [row["id"] for row in applications] == [str(one.application)]
    mine = (await world.of(two.applicant).get(f"{API}/teacher-approvals/")).data
    assert [row["id"] for row in mine["results"]] == [str(two.application)]
    teachers = (await world.of(two.teacher).get(f"{API}/teacher-approvals/")).data
    assert teachers["results"] == []


@pytest.mark.gen_test
async def test_an_organization_that_does_not_exist_or_sleeps_lets_nobody_act(world: World) -> None:
    asleep = school(world)

    def sleep(session: Any) -> None:
        session.execute(text("UPDATE organizations SET is_active = false WHERE id = :id"), {"id": asleep.id})

    world.c.db.system_sync(sleep)
    for header in (str(asleep.id), str(uuid4()), "undefined", "null", "' or true --"):
        client = world.of(asleep.administrator, X_Tenant_ID=header)
        assert (await client.get(f"{API}/users/me/")).code == "TENANT_ACCESS_ERROR"
        assert (await client.get(f"{API}/users/tenants/")).data == []
        assert (await client.get(f"{API}/courses/marketplace/")).status == 200


# -- as the application role
# ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def application(
    database: DatabaseUrls, tenant: UUID | None = None, person: Someone | None = None, scope: str = ""
) -> Iterator[Connection]:
    """A connection of the role that serves requests, inside a transaction that is rolled back."""
    engine = create_engine(database.application, poolclass=NullPool)
    with engine.connect() as connection:
        settings = {"app.tenant": tenant or "", "app.user": person.id if person else "", "app.scope": scope}
        for name, value in settings.items():
            connection.execute(text("SELECT set_config(:name, :value, true)"), {"name": name, "value": str(value)})
        yield connection
        connection.rollback()
    engine.dispose()


def granted(connection: Connection, privilege: str, *, column: str | None = None) -> list[str]:
    """The policed tables that the application role may use so; with a column of that name, if one is asked for."""
    found = connection.execute(
        text(
            """SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
               AND c.relrowsecurity AND (has_table_privilege(c.oid, :privilege)
                                         OR :privilege <> 'DELETE' AND has_any_column_privilege(c.oid, :privilege))
               AND (:column IS NULL OR EXISTS (
                   SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = :column AND NOT a.attisdropped))
               ORDER BY 1"""
        ),
        {"privilege": privilege, "column": column},
    )
    return list(found.scalars())


TENANTS = ["activity", "audit_log", "course_deltas", "courses", "enrollments", "entitlements", "lessons", "memberships"]
TENANTS += ["modules", "payments", "standings", "teacher_applications"]

TENANTS += ["application_documents", "identity_providers", "invitations"]
TENANTS += ["file_accesses", "file_shares", "files", "quota_holds", "quota_usage"]

# Rows of persons: the administrator of the tests below sees none of them.
UPLOADS = ["upload_parts", "uploads"]
# Holds rows of the platform too, which belong to nobody and are everybody's; deliveries have a column grant for actors.
PLATFORM = ["categories", "deliveries", "file_categories", "organizations"]
TALKS = ["ai_conversations", "ai_messages", "ai_questions"]


async def files(world: World, at: School) -> None:
    """A file of the teacher that was shared and opened, a category of the school, and an upload under way."""
    found = await file_scene(world, at)
    shared(world, UUID(found["private_file"]), at.student)
    opened = await world.of(at.student).get(f"{API}/file-uploads/{found['private_file']}/download/")
    assert opened.status == 200


@pytest.fixture(scope="module")
def two(world: World, io_loop: Any) -> tuple[School, School, Someone]:
    """Two schools in full operation, and a learner and buyer of the first who belongs to neither."""

    async def fill() -> tuple[School, School, Someone]:
        one, other = school(world), school(world)
        for at in (one, other):
            pupil = await learner(world, at.free)
            bill = await payment(world, pupil, at.paid)
            await world.of(pupil).post(f"{API}/payments/{bill}/confirm_payment/")
            world.notification(pupil)
            conversation(world, pupil, at.free)
            await world.of(at.administrator).post(f"{API}/teacher-approvals/{at.application}/approve/")
            await files(world, at)
            invitation(world, at)
            world.c.db.system_sync(_furnished, at)
        last = await learner(world, one.free)
        world.notification(last)
        return one, other, last

    found: tuple[School, School, Someone] = io_loop.run_sync(fill)
    return found


def _furnished(session: Session, at: School) -> None:
    """An identity provider, and a document of the application."""
    session.execute(
        text(
            "INSERT INTO identity_providers (id, tenant_id, name, issuer, client_id)"
            " VALUES (gen_random_uuid(), :t, 'x', 'https://id.example', 'x')"
        ),
        {"t": at.id},
    )
    session.execute(
        text(
            "INSERT INTO application_documents (id, tenant_id, application_id, file_id, name)"
            " SELECT gen_random_uuid(), f.tenant_id, :a, f.id, f.name FROM files f WHERE f.tenant_id = :t LIMIT 1"
        ),
        {"a": at.application, "t": at.id},
    )


def test_an_organization_changes_itself_alone(two: Any, database: DatabaseUrls) -> None:
    one, other, _ = two
    with application(database, one.id, one.administrator) as connection:
        statement = text("UPDATE organizations SET description = 'x' WHERE id = :id")
        assert connection.execute(statement, {"id": other.id}).rowcount == 0
        assert connection.execute(statement, {"id": one.id}).rowcount == 1


def count(connection: Connection, table: str, condition: str = "true", **params: Any) -> int:
    found = connection.execute(text(f'SELECT count(*) FROM "{table}" WHERE {condition}'), params)
    return int(found.scalar_one())


def test_without_an_organization_there_are_no_rows(two: Any, database: DatabaseUrls) -> None:
    with application(database) as connection:
        tables = granted(connection, "SELECT")
        assert set(TENANTS) <= set(tables)
        found = {name: count(connection, name) for name in tables if name not in PLATFORM}
        assert found == dict.fromkeys(found, 0)
        assert count(connection, "deliveries", "tenant_id IS NOT NULL") == 0


def test_inside_one_organization_no_row_of_another_is_seen_changed_or_deleted(two: Any, database: DatabaseUrls) -> None:
    one, other, _ = two
    with application(database, one.id, one.administrator) as connection:
        for table in granted(connection, "SELECT", column="tenant_id"):
            assert count(connection, table, "tenant_id = :other", other=other.id) == 0, table
        for table in TENANTS:
            assert count(connection, table) > 0, f"{table} is empty, so this test says nothing of it"
        for table in granted(connection, "UPDATE", column="tenant_id"):
            column = "done_at = NULL" if table == "deliveries" else "tenant_id = tenant_id"
            changed = connection.execute(
                text(f"UPDATE {table} SET {column} WHERE tenant_id = :other"), {"other": other.id}
            )
            assert changed.rowcount == 0, table
        for table in granted(connection, "DELETE", column="tenant_id"):
            gone = connection.execute(text(f"DELETE FROM {table} WHERE tenant_id = :other"), {"other": other.id})
            assert gone.rowcount == 0, table


def test_no_row_can_be_written_into_or_moved_to_another_organization(two: Any, database: DatabaseUrls) -> None:
    one, other, _ = two
    with application(database, one.id, one.administrator) as connection:
        for table in granted(connection, "INSERT", column="tenant_id"):
            copied = copy_of(connection, table)
            if copied is None:
                continue
            with (
                pytest.raises(ProgrammingError, match=r"row-level security|permission denied"),
                connection.begin_nested(),
            ):
                connection.execute(text(copied), {"tenant": other.id})
        for table in granted(connection, "UPDATE", column="tenant_id"):
            # Deliveries grant a column; the administrator has no row of a person's that could be moved.
            if table in ("deliveries", "notifications", *TALKS, *UPLOADS):
                continue
            with pytest.raises(ProgrammingError, match="row-level security"), connection.begin_nested():
                connection.execute(text(f"UPDATE {table} SET tenant_id = :tenant"), {"tenant": other.id})


def copy_of(connection: Connection, table: str) -> str | None:
    """An INSERT of a copy of one visible row with another organization; None where no row can be seen."""
    names = connection.execute(
        text(
            """SELECT attname FROM pg_attribute WHERE attrelid = CAST(:table AS regclass) AND attnum > 0
               AND NOT attisdropped AND attidentity = '' AND attgenerated = ''"""
        ),
        {"table": table},
    ).scalars()
    columns = list(names)
    try:
        with connection.begin_nested():
            if count(connection, table) == 0:
                return None
    except ProgrammingError:  # may be written and not read: the outbox
        return f"INSERT INTO {table} (id, tenant_id, topic, payload, at) VALUES (gen_random_uuid(), :tenant, 'x', '{{}}', now())"
    values = [":tenant" if name == "tenant_id" else "gen_random_uuid()" if name == "id" else name for name in columns]
    return f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)} FROM {table} LIMIT 1"


def test_a_course_cannot_be_joined_to_another_organization_by_its_key(two: Any, database: DatabaseUrls) -> None:
    """Foreign keys ignore row-level security, so they are composite: a module of ours never hangs on their course."""
    one, other, _ = two
    statement = text(
        """INSERT INTO modules (id, tenant_id, course_id, title, created_at, updated_at)
           VALUES (gen_random_uuid(), :own, :course, 'x', now(), now())"""
    )
    with application(database, one.id, one.administrator) as connection:
        connection.execute(statement, {"own": one.id, "course": one.free})
        with pytest.raises(Exception, match="violates foreign key"), connection.begin_nested():
            connection.execute(statement, {"own": one.id, "course": other.free})


def test_the_self_scope_shows_ones_own_rows_and_only_while_it_is_asked_for(two: Any, database: DatabaseUrls) -> None:
    one, other, pupil = two
    tables = ("enrollments", "memberships", "standings", "payments", "entitlements", "teacher_applications")
    with application(database, other.id, pupil) as connection:
        outside = {name: count(connection, name) for name in tables}
        assert count(connection, "enrollments", "person_id = :me", me=pupil.id) == 0, "it would leak into totals"
    with application(database, None, pupil, scope="self") as connection:
        assert count(connection, "enrollments") == count(connection, "enrollments", "person_id = :me", me=pupil.id) == 1
        assert count(connection, "courses") == count(connection, "courses", "id = :free", free=one.free) == 1
        assert count(connection, "notifications") == 1
        changed = connection.execute(text("UPDATE enrollments SET progress_percentage = 100"))
        assert changed.rowcount == 0, "the self scope is for reading"
    with application(database, other.id, None) as connection:
        assert {name: count(connection, name) for name in tables} == outside


def test_secrets_are_out_of_the_application_s_reach(two: Any, database: DatabaseUrls) -> None:
    one, _, _ = two
    secret = [
        "credentials",
        "sessions",
        "refresh_tokens",
        "revocations",
        "signing_keys",
        "gateway_events",
        "leases",
        "job_runs",
        "mailed_links",
        "second_factors",
        "recovery_codes",
        "external_identities",
        "sign_ins",
    ]
    with application(database, one.id, one.administrator) as connection:
        partitions = connection.execute(
            text("SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE c.relkind = 'r'")
        ).scalars()
        for table in [*secret, *partitions]:
            for statement in (f"SELECT * FROM {table} LIMIT 1", f"DELETE FROM {table}"):
                with pytest.raises(ProgrammingError, match="permission denied"), connection.begin_nested():
                    connection.execute(text(statement))
        for statement in (
            "DELETE FROM catalogue",
            "UPDATE catalogue SET title = 'x'",
            "INSERT INTO catalogue SELECT * FROM catalogue",
            "UPDATE people SET is_platform_admin = true",
            "UPDATE people SET email = 'x'",
            "DELETE FROM people",
            "UPDATE organizations SET plan = 'enterprise'",
            "UPDATE organizations SET is_active = true",
            "INSERT INTO organizations (id, name, subdomain) VALUES (gen_random_uuid(), 'x', 'x')",
            "DELETE FROM organizations",
            "UPDATE people SET email_verified_at = now()",
            "UPDATE people SET has_second_factor = false",
            "UPDATE deliveries SET attempts = 0",
            "SELECT payload FROM outbox",
            "UPDATE audit_log SET action = 'x'",
            "DELETE FROM audit_log",
            "INSERT INTO channel_events (channel) VALUES ('x')",
            "TRUNCATE courses",
            "ALTER TABLE courses DISABLE ROW LEVEL SECURITY",
            "DROP TABLE courses",
            "SELECT ensure_partitions(1)",
            "SET ROLE edurise_system",
            "SET ROLE edurise_owner",
            "CREATE TABLE x ()",
        ):
            with pytest.raises(ProgrammingError, match=r"permission denied|must be owner"), connection.begin_nested():
                connection.execute(text(statement))


def test_colleagues_are_seen_and_strangers_are_not(two: Any, database: DatabaseUrls) -> None:
    one, other, pupil = two
    with application(database, one.id, one.student) as connection:
        assert count(connection, "people", "id = :id", id=one.teacher.id) == 1
        assert count(connection, "people", "id = :id", id=other.teacher.id) == 0
        assert count(connection, "notifications", "user_id = :id", id=pupil.id) == 0


def test_conversations_are_their_owner_s_alone(two: Any, database: DatabaseUrls) -> None:
    one, other, _ = two
    with application(database, other.id) as connection:
        assert [count(connection, table) for table in TALKS] == [0, 0, 0]
    for person in (one.administrator, one.teacher, one.student):
        for scope in ("", "self"):
            with application(database, one.id, person, scope) as connection:
                assert [count(connection, table) for table in TALKS] == [0, 0, 0]
                for table in TALKS:
                    changed = connection.execute(text(f"UPDATE {table} SET user_id = :me"), {"me": person.id})
                    assert (changed.rowcount, connection.execute(text(f"DELETE FROM {table}")).rowcount) == (0, 0)
