"""The harnesses themselves: they touch nothing that is not theirs, and a missing service fails where CI is set."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest
import redis
from sqlalchemy import NullPool, create_engine

from edurise.adapters.provision import provision
from tests.harness import machine
from tests.harness.services import OwnNginx, OwnPostgres, OwnRabbit, OwnRedis, OwnService, ServiceError, alive, scratch

PORT = 21100

MAKE: dict[str, Callable[[Path], OwnService]] = {
    "postgres-server": lambda directory: OwnPostgres(directory, PORT),
    "redis-server": lambda directory: OwnRedis(directory, PORT),
    "nginx": lambda directory: OwnNginx(directory, PORT, [f"127.0.0.1:{PORT + 1}"]),
}


@pytest.fixture
def place() -> Iterator[Path]:
    with scratch() as directory:
        yield directory


@pytest.mark.parametrize("binary", MAKE)
def test_services_can_be_killed_and_started_again(place: Path, binary: str) -> None:
    machine.require(binary)
    service = MAKE[binary](place / "own")
    with service:
        first = service.pid
        service.kill()
        assert not alive(first)
        service.start()
        service.restart()
        last = service.pid
    assert not alive(last)
    with pytest.raises(ServiceError, match="does not run"):
        _ = service.pid


def test_killed_postgres_keeps_what_was_committed(place: Path) -> None:
    machine.require("postgres-server")
    with OwnPostgres(place / "own", PORT) as service:
        urls = provision(service.admin_url, "edurise", None)
        engine = create_engine(urls.owner, poolclass=NullPool)
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE kept AS SELECT 7 AS x")
        service.kill()
        service.start()
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT x FROM kept").scalar_one() == 7


def test_a_used_port_is_refused(place: Path) -> None:
    with socket.create_server(("127.0.0.1", PORT + 2)) as foreign:
        for make in (OwnPostgres, OwnRedis, OwnRabbit):
            service = make(place / make.__name__, PORT + 2 - make.more_ports)
            with pytest.raises(ServiceError, match=f"something listens on port {PORT + 2}"):
                service.start()
        assert foreign.getsockname()[1] == PORT + 2


def test_configuration_that_cannot_work_is_told_with_the_log(place: Path) -> None:
    machine.require("nginx")
    with pytest.raises(ServiceError, match=r"nginx ended with 1 while it started:[\s\S]*host not found"):
        OwnNginx(place / "own", PORT, ["no.such.host.invalid:1"]).start()


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_missing_service_fails_in_ci_and_is_skipped_elsewhere(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("TEST_REDIS_URL", "redis://:secret@127.0.0.1:1")
    machine._service.cache_clear()
    try:
        with pytest.raises(outcome, match="no redis answers") as caught:
            machine.require("redis")
        assert "secret" not in str(caught.value)
    finally:
        machine._service.cache_clear()


def test_only_databases_and_keys_of_these_tests_are_removed() -> None:
    admin = machine.require("postgres")
    with pytest.raises(RuntimeError, match="was not made by these tests"):
        machine.drop_database("postgres", admin)
    with pytest.raises(RuntimeError, match="no prefix of these tests"):
        machine.forget_keys("")
    client = redis.Redis.from_url(machine.require("redis"))
    client.set(f"{machine.redis_prefix()}own:x", "1")
    client.set("edurise-testing", "not of a run", px=5000)
    assert machine.forget_keys(f"{machine.redis_prefix()}own:") == 1
    assert client.delete("edurise-testing") == 1
    client.close()
    with machine.own_database("dropped", admin) as urls:
        assert f"/{machine.run_name()}_dropped" in urls.owner
    with pytest.raises(psycopg2.OperationalError, match="does not exist"):
        psycopg2.connect(urls.owner.replace("+psycopg2", ""))
