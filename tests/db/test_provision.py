"""Roles and database: on the server that the machine runs (15 or newer) and on the embedded one (18)."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg2.errors
import pytest
from sqlalchemy import NullPool, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError, ProgrammingError

from edurise.adapters.embedded import postgres
from edurise.adapters.embedded.postgres import EmbeddedPostgres, start_postgres
from edurise.adapters.provision import (
    ROLES,
    DatabaseUrls,
    ProvisionError,
    RolePasswords,
    provision,
    provision_sql,
)
from edurise.config import Settings, read_settings
from tests.harness import machine
from tests.harness.services import scratch


@pytest.fixture(scope="module")
def embedded() -> Iterator[EmbeddedPostgres]:
    with scratch() as place:
        database = start_postgres(place / "postgres")
        yield database
        database.stop()


@pytest.fixture(scope="module")
def shared_urls() -> Iterator[DatabaseUrls]:
    with machine.own_database("provision") as urls:
        yield urls


@pytest.fixture(scope="module")
def embedded_urls(embedded: EmbeddedPostgres) -> DatabaseUrls:
    return provision(embedded.admin_url, "edurise", RolePasswords.kept_in(embedded.directory))


@pytest.fixture(params=["shared", "embedded"])
def urls(request: pytest.FixtureRequest) -> DatabaseUrls:
    found: DatabaseUrls = request.getfixturevalue(f"{request.param}_urls")
    return found


def run(url: str, *statements: str) -> list[tuple[object, ...]]:
    """Run statements in one session and return the rows of the last."""
    rows: list[tuple[object, ...]] = []
    with create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT").connect() as connection:
        for statement in statements:
            result = connection.exec_driver_sql(statement)
            rows = [tuple(row) for row in result] if result.returns_rows else []
    return rows


def test_no_role_can_bypass_row_level_security(urls: DatabaseUrls) -> None:
    names = ", ".join(f"'{role.name}'" for role in ROLES)
    found = run(
        urls.owner,
        f"SELECT rolname, rolcanlogin, rolsuper, rolbypassrls, rolcreaterole FROM pg_roles WHERE rolname IN ({names})",
    )
    assert set(found) == {(role.name, role.login, False, False, False) for role in ROLES}


def test_sessions_start_under_the_limits_of_their_role(urls: DatabaseUrls) -> None:
    ask = "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'), "
    ask += "current_setting('idle_in_transaction_session_timeout')"
    assert run(urls.application, ask) == [("10s", "5s", "15s")]
    assert run(urls.system, ask) == [("30s", "5s", "30s")]
    assert run(urls.owner, ask) == [("0", "10s", "0")]


def test_only_the_owner_can_create(urls: DatabaseUrls) -> None:
    run(urls.owner, "CREATE TABLE made (x int)", "DROP TABLE made")
    for url in (urls.application, urls.system):
        for statement in ("CREATE TABLE made (x int)", "CREATE TEMP TABLE made (x int)", "CREATE SCHEMA made"):
            with pytest.raises(ProgrammingError, match="permission denied"):
                run(url, statement)


def test_owner_can_hand_a_function_to_the_search_role(urls: DatabaseUrls) -> None:
    run(
        urls.owner,
        "CREATE FUNCTION who() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT current_user::text'",
        "ALTER FUNCTION who() OWNER TO edurise_search",
    )
    assert run(urls.application, "SELECT who()") == [("edurise_search",)]
    run(urls.owner, "DROP FUNCTION who()")


def test_text_is_unicode_and_sorted_by_code_point(urls: DatabaseUrls) -> None:
    assert run(urls.owner, "SELECT lower('ÉÄ'), 'Z' < 'a', pg_encoding_to_char(encoding) FROM pg_database LIMIT 1")[0][
        :2
    ] == ("éä", True)
    assert run(urls.owner, "SHOW server_encoding") == [("UTF8",)]


def test_database_belongs_to_the_owner_and_is_closed_to_everybody_else(urls: DatabaseUrls) -> None:
    found = run(
        urls.owner,
        "SELECT pg_get_userbyid(datdba), datacl::text FROM pg_database WHERE datname = current_database()",
    )
    assert found[0][0] == "edurise_owner"
    assert not [grant for grant in str(found[0][1]).strip("{}").split(",") if grant.startswith("=")]


def test_repeating_changes_nothing_and_eight_at_once_do_not_collide(embedded: EmbeddedPostgres) -> None:
    passwords = RolePasswords.kept_in(embedded.directory)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: provision(embedded.admin_url, "edurise_race", passwords), range(8)))
    assert len({url.application for url in made}) == 1
    assert run(made[0].application, "SELECT current_user") == [("edurise_app",)]


def test_passwords_are_asked_for_and_stored_as_scram(embedded: EmbeddedPostgres, embedded_urls: DatabaseUrls) -> None:
    wrong = make_url(embedded_urls.application).set(password="guessed").render_as_string(hide_password=False)
    with pytest.raises(OperationalError, match="password authentication failed"):
        run(wrong, "SELECT 1")
    stored = run(
        embedded.admin_url, "SELECT rolpassword FROM pg_authid WHERE rolname LIKE 'edurise_%%' AND rolcanlogin"
    )
    assert len(stored) == 3
    assert all(str(row[0]).startswith("SCRAM-SHA-256$") for row in stored)


def test_passwords_are_kept_once_for_this_user_only(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: RolePasswords.kept_in(tmp_path), range(8)))
    assert len(found) == 1
    assert (tmp_path / "roles.json").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["roles.json"]
    assert next(iter(found)).owner not in repr(found)


def test_role_that_sees_every_tenant_is_refused(embedded: EmbeddedPostgres, embedded_urls: DatabaseUrls) -> None:
    run(embedded.admin_url, "ALTER ROLE edurise_app BYPASSRLS")
    try:
        with pytest.raises(ProvisionError, match="BYPASSRLS"):
            provision(embedded.admin_url, "edurise", None)
    finally:
        run(embedded.admin_url, "ALTER ROLE edurise_app NOBYPASSRLS")


def test_administrator_needs_no_superuser(tmp_path: Path) -> None:
    with scratch() as place:
        database = start_postgres(place / "postgres")
        try:
            run(database.admin_url, "CREATE ROLE operator LOGIN CREATEROLE CREATEDB PASSWORD 'operator'")
            admin = make_url(database.admin_url).set(username="operator", password="operator")
            urls = provision(admin.render_as_string(hide_password=False), "edurise", RolePasswords.kept_in(tmp_path))
            assert run(urls.application, "SELECT current_user") == [("edurise_app",)]
            test_owner_can_hand_a_function_to_the_search_role(urls)
        finally:
            database.stop()


def test_script_for_operators_does_the_same(embedded: EmbeddedPostgres, embedded_urls: DatabaseUrls) -> None:
    script = provision_sql("edurise_script")
    assert script.count("\\password ") == 3
    script = "\n".join(line for line in script.splitlines() if not line.startswith("\\password"))
    admin = make_url(embedded.admin_url)
    psql = postgres._binaries() / "bin/psql"
    done = subprocess.run(
        [psql, "-X", "-v", "ON_ERROR_STOP=1", "-h", admin.query["host"], "-U", str(admin.username), "postgres"],
        input=script * 2,
        env={"PGPASSWORD": str(admin.password)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    url = make_url(embedded_urls.owner).set(database="edurise_script").render_as_string(hide_password=False)
    assert run(url, "SELECT lower('É'), current_user") == [("é", "edurise_owner")]


@pytest.mark.parametrize("name", ["Edurise", "edu-rise", 'x"; DROP DATABASE y', "", "x" * 64])
def test_names_that_need_quoting_are_refused(name: str) -> None:
    with pytest.raises(ProvisionError, match="is no database name"):
        provision("postgresql+psycopg2://nobody@127.0.0.1:1/postgres", name, None)
    with pytest.raises(ProvisionError, match="is no database name"):
        provision_sql(name)


def test_unreachable_server_is_one_sentence_without_the_password() -> None:
    with pytest.raises(ProvisionError) as caught:
        provision("postgresql+psycopg2://admin:hidden@127.0.0.1:1/postgres", "edurise", None)
    assert "hidden" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert isinstance(caught.value.__cause__, OperationalError)
    assert isinstance(caught.value.__cause__.orig, psycopg2.OperationalError)


def test_passwords_are_those_of_the_three_urls() -> None:
    def given(**changes: str) -> Settings:
        urls = {
            "DATABASE_URL": "postgresql+psycopg2://edurise_app:a%2Fb@db/edurise",
            "DATABASE_OWNER_URL": "postgresql+psycopg2://edurise_owner:owners@db/edurise",
            "DATABASE_SYSTEM_URL": "postgresql+psycopg2://edurise_system:systems@db/edurise",
        }
        return read_settings({"EDU_MODE": "test", **urls, **changes})

    assert RolePasswords.named_in(given()) == RolePasswords("owners", "a/b", "systems")
    for name, url, role in (
        ("DATABASE_URL", "postgresql+psycopg2://edurise_owner:word@db/edurise", "edurise_app"),
        ("DATABASE_SYSTEM_URL", "postgresql+psycopg2://edurise_system@db/edurise", "edurise_system"),
    ):
        with pytest.raises(ProvisionError, match=f"^{name} must name the role {role} and its password.$"):
            RolePasswords.named_in(given(**{name: url}))
    with pytest.raises(ProvisionError, match=r"^DATABASE_OWNER_URL must name"):
        RolePasswords.named_in(read_settings({"EDU_MODE": "test"}))
