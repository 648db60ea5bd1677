"""The embedded servers: one owner per directory, nothing left behind, no password-less door, no trust in old files."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
import redis
from sqlalchemy.engine import make_url

from edurise.adapters.embedded import postgres, process, valkey
from edurise.adapters.embedded.postgres import EmbeddedPostgres, start_postgres
from edurise.adapters.embedded.process import DirectoryLock, EmbeddedError
from edurise.adapters.embedded.valkey import start_redis
from tests.harness.services import alive, scratch

ROOT = Path(__file__).resolve().parents[2]

OWNER = """
import sys
from pathlib import Path
from edurise.adapters.embedded.postgres import start_postgres
from edurise.adapters.embedded.valkey import start_redis
database = start_postgres(Path(sys.argv[1]) / "postgres")
store = start_redis(Path(sys.argv[1]) / "redis")
pids = [each.server.pid if each.server else 0 for each in (database, store)]
print(database.admin_url, store.url, *pids, flush=True)
sys.stdin.read()
database.stop()
store.stop()
"""


@pytest.fixture
def place() -> Iterator[Path]:
    with scratch() as directory:
        yield directory


class Owner:
    """Another process that starts, or joins, the servers of a directory and keeps them until its input ends."""

    def __init__(self, place: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWNER, str(place)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def report(self) -> tuple[str, str, int, int]:
        """Return URLs and process numbers, 0 for a joined server."""
        assert self.process.stdout is not None
        admin_url, store_url, database, store = self.process.stdout.readline().split()
        return admin_url, store_url, int(database), int(store)

    def close(self) -> None:
        """Let it stop in good order."""
        self.process.communicate(timeout=30)


def ask(admin_url: str, question: str, **changed: str) -> object:
    url = make_url(admin_url)
    options = {"user": url.username, "password": url.password, "dbname": url.database, **url.query, **changed}
    connection = psycopg2.connect(**options)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(question)
            return cursor.fetchone()[0] if cursor.description else None
    finally:
        connection.close()


def wait_until_dead(*pids: int) -> None:
    deadline = time.monotonic() + 10
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline, f"{pids} still run"
        os.sched_yield()


def started(place: Path) -> EmbeddedPostgres:
    return start_postgres(place / "postgres")


def test_first_start_makes_a_cluster_that_asks_for_a_password(place: Path) -> None:
    database = started(place)
    try:
        assert str(ask(database.admin_url, "SHOW server_version")).startswith("18.")
        assert ask(database.admin_url, "SELECT lower('ÉÄ')") == "éä"
        assert ask(database.admin_url, "SHOW listen_addresses") == ""
        assert ask(database.admin_url, "SELECT count(*) FROM pg_hba_file_rules WHERE auth_method = 'trust'") == 0
        with pytest.raises(psycopg2.OperationalError, match="password"):
            ask(database.admin_url, "SELECT 1", password="wrong")
        assert (database.directory / "password").stat().st_mode & 0o777 == 0o600
        assert database.data.stat().st_mode & 0o777 == 0o700
    finally:
        database.stop()


def test_second_start_keeps_data_and_takes_less_than_a_second(place: Path) -> None:
    first = started(place)
    ask(first.admin_url, "DO $$ BEGIN CREATE TABLE kept AS SELECT 1; END $$")
    first.stop()
    began = time.monotonic()
    second = started(place)
    took = time.monotonic() - began
    try:
        assert took < 1
        assert second.admin_url == first.admin_url
        assert ask(second.admin_url, "SELECT count(*) FROM kept") == 1
    finally:
        second.stop()


def test_stop_ends_the_server_and_may_be_repeated(place: Path) -> None:
    database = started(place)
    assert database.server is not None
    pid = database.server.pid
    database.stop()
    database.stop()
    assert not alive(pid)
    assert not (database.data / "postmaster.pid").exists()


def test_four_starts_at_once_make_one_owner_and_three_who_join(place: Path) -> None:
    owners = [Owner(place) for _ in range(4)]
    reports = [owner.report() for owner in owners]
    try:
        assert len({report[:2] for report in reports}) == 1
        assert [sum(1 for report in reports if report[column]) for column in (2, 3)] == [1, 1]
        for report in reports:
            assert ask(report[0], "SELECT 1") == 1
    finally:
        for owner in owners:
            owner.close()
    wait_until_dead(*[pid for report in reports for pid in report[2:] if pid])


def test_who_only_joined_does_not_stop_the_server(place: Path) -> None:
    database, store = started(place), start_redis(place / "redis")
    try:
        guest = Owner(place)
        assert guest.report() == (database.admin_url, store.url, 0, 0)
        guest.close()
        assert ask(database.admin_url, "SELECT 1") == 1
        client = redis.Redis.from_url(store.url)
        assert client.ping()
        client.close()
    finally:
        database.stop()
        store.stop()


def test_nothing_is_left_after_kill_9_and_the_next_start_works_at_once(place: Path) -> None:
    owner = Owner(place)
    admin_url, _, *pids = owner.report()
    owner.process.kill()
    owner.process.communicate()
    wait_until_dead(*pids)
    database, store = started(place), start_redis(place / "redis")
    try:
        assert database.server is not None
        assert store.server is not None
        assert database.admin_url == admin_url
    finally:
        database.stop()
        store.stop()


def test_ctrl_c_in_the_terminal_reaches_only_the_owner(place: Path) -> None:
    database = started(place)
    try:
        assert database.server is not None
        assert os.getpgid(database.server.pid) != os.getpgrp()
    finally:
        database.stop()


@pytest.mark.parametrize("content", ["{foreign}\n/somewhere\n", "999999999\n", "", "not a number\n"])
def test_pid_file_of_another_life_is_removed_and_the_process_with_that_number_left_alone(
    place: Path, content: str
) -> None:
    database = started(place)
    database.stop()
    foreign = subprocess.Popen(["sleep", "60"])
    try:
        (database.data / "postmaster.pid").write_text(content.format(foreign=foreign.pid))
        again = started(place)
        again.stop()
        assert foreign.poll() is None
    finally:
        foreign.kill()
        foreign.wait()


def test_a_server_that_somebody_else_started_on_the_cluster_is_not_touched(place: Path) -> None:
    database = started(place)
    database.stop()
    foreign = subprocess.Popen(["sleep", "60"], cwd=database.data)
    try:
        (database.data / "postmaster.pid").write_text(f"{foreign.pid}\n")
        with pytest.raises(EmbeddedError, match=f"process {foreign.pid}.*DATABASE_URL"):
            started(place)
        assert foreign.poll() is None
    finally:
        foreign.kill()
        foreign.wait()


def test_interrupted_first_start_leaves_no_half_cluster(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = place / "postgres"
    (directory / "data.new").mkdir(parents=True)
    (directory / "data.new" / "PG_VERSION").write_text("18\n")
    database = start_postgres(directory)
    database.stop()
    assert not (directory / "data.new").exists()


def test_cluster_of_another_version_is_refused(place: Path) -> None:
    database = started(place)
    database.stop()
    (database.data / "PG_VERSION").write_text("17\n")
    with pytest.raises(EmbeddedError, match=r"made by PostgreSQL 17.*DATABASE_URL"):
        started(place)


def test_lost_password_file_is_named(place: Path) -> None:
    database = started(place)
    database.stop()
    (database.directory / "password").unlink()
    with pytest.raises(EmbeddedError, match=r"password is missing.*DATABASE_URL"):
        started(place)


def test_long_directories_get_a_short_socket(place: Path) -> None:
    deep = place / ("d" * 60) / ("e" * 60)
    for parent in (deep.parent, deep):
        parent.mkdir()
    database, store = start_postgres(deep / "postgres"), start_redis(deep / "redis")
    try:
        assert ask(database.admin_url, "SELECT 1") == 1
        socket_path = Path(store.url.removeprefix("unix://"))
        assert len(str(socket_path)) < process.SOCKET_PATH_LIMIT
        assert socket_path.parent.stat().st_mode & 0o777 == 0o700
        joined = Owner(deep)
        assert joined.report()[2:] == (0, 0)
        joined.close()
    finally:
        database.stop()
        store.stop()
    assert not socket_path.parent.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server under another account")
def test_root_places_the_cluster_where_the_account_reaches_it(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    monkeypatch.setattr(postgres, "ROOT_PLACE", place / "state")
    for _ in range(2):
        database = start_postgres(closed / "project" / "postgres")
        assert database.data.is_relative_to(place / "state")
        database.stop()
    assert closed.stat().st_mode & 0o777 == 0o700
    assert [record for record in caplog.records if str(database.data.parent) in record.getMessage()]
    assert len(list((place / "state").iterdir())) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server under another account")
def test_root_copies_binaries_that_the_account_cannot_reach(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = postgres._binaries().parent
    hidden = place / "closed" / package.name
    hidden.mkdir(parents=True)
    (place / "closed").chmod(0o700)
    shutil.copytree(package / "pginstall18", hidden / "pginstall18")
    shutil.copytree(f"{package}.libs", f"{hidden}.libs")
    monkeypatch.setattr(postgres, "ROOT_PLACE", place / "state")
    monkeypatch.setattr(postgres, "_binaries", lambda: hidden / "pginstall18")
    database = started(place)
    database.stop()
    assert list((place / "state" / "binaries").glob("18-*/*/pginstall18/bin/postgres"))


@pytest.mark.parametrize("start", [start_postgres, start_redis])
def test_directory_of_somebody_else_is_refused(place: Path, start: object) -> None:
    (place / "real").mkdir()
    (place / "link").symlink_to(place / "real")
    with pytest.raises(EmbeddedError, match="is not a directory of this user"):
        start(place / "link")  # type: ignore[operator]  # one of two functions of one shape


@pytest.mark.parametrize(
    ("module", "start", "variable"),
    [(postgres, start_postgres, "DATABASE_URL"), (valkey, start_redis, "REDIS_URL")],
)
def test_missing_wheel_names_the_variable(
    place: Path, monkeypatch: pytest.MonkeyPatch, module: object, start: object, variable: str
) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _: None)  # type: ignore[attr-defined]  # a module
    with pytest.raises(EmbeddedError, match=variable) as caught:
        start(place / "x")  # type: ignore[operator]  # one of two functions of one shape
    assert len(str(caught.value).splitlines()) == 1


def test_holder_of_the_lock_that_never_answers_is_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "JOIN_SECONDS", 0.1)
    (place / "postgres").mkdir()
    lock = DirectoryLock(place / "postgres" / "lock")
    assert lock.acquire()
    try:
        with pytest.raises(EmbeddedError, match=r"does not answer.*DATABASE_URL"):
            started(place)
    finally:
        lock.close()


def test_server_that_cannot_start_is_explained_by_its_log(place: Path) -> None:
    database = started(place)
    database.stop()
    (database.data / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(EmbeddedError, match=r"did not start.*DATABASE_URL.*configuration file"):
        started(place)


def test_only_the_main_thread_may_start(place: Path) -> None:
    caught: list[BaseException] = []

    def start() -> None:
        try:
            start_redis(place / "redis")
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "main thread" in str(caught[0])


def test_store_keeps_nothing_and_listens_on_no_network_port(place: Path) -> None:
    store = start_redis(place / "redis")
    client = redis.Redis.from_url(store.url, decode_responses=True)
    assert client.config_get("port") == {"port": "0"}
    client.set("key", "value")
    client.close()
    store.stop()
    again = start_redis(place / "redis")
    client = redis.Redis.from_url(again.url)
    assert client.get("key") is None
    client.close()
    again.stop()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
