"""What a URL says of a connection's protection, and what is said of a certificate that is not believed."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import Connection

from edurise.adapters import checks
from edurise.adapters.limiters import RedisLimiter
from edurise.adapters.redis_announcer import client
from edurise.adapters.tls import SharedTls, certificate_fault, exposure, link_of, share_tls
from edurise.config import SettingsError, read_settings
from tests.harness.authority import Authority, Certificate
from tests.harness.machine import require

ROOT = Path(__file__).resolve().parents[2]
POSTGRES = "postgresql+psycopg2://role:word@{host}/edurise"
NO_DEFAULT_PORTS = {"redis://h": 6379, "rediss://h": 6379, "amqp://h": 5672, "amqps://h": 5671}

URLS = [
    (POSTGRES, False, False, None),
    (POSTGRES + "?sslmode=prefer", False, False, None),
    (POSTGRES + "?sslmode=require", True, False, None),
    (POSTGRES + "?sslmode=verify-ca&sslrootcert=/ca", True, False, "/ca"),
    (POSTGRES + "?sslmode=verify-full&sslrootcert=/ca", True, True, "/ca"),
    ("redis://{host}/0", False, False, None),
    ("rediss://:word@{host}/0", True, True, None),
    ("rediss://:word@{host}/0?ssl_ca_certs=/ca", True, True, "/ca"),
    ("rediss://:word@{host}/0?ssl_cert_reqs=none", True, False, None),
    ("rediss://:word@{host}/0?ssl_cert_reqs=optional", True, False, None),
    ("rediss://:word@{host}/0?ssl_check_hostname=False", True, False, None),
    ("amqp://role:word@{host}/", False, False, None),
    ("amqps://role:word@{host}/", True, True, None),
    ("amqps://role:word@{host}/?cafile=/ca", True, True, "/ca"),
    ("amqps://role:word@{host}/?no_verify_ssl=1", True, False, None),
]


@pytest.mark.parametrize(("url", "encrypted", "verified", "authority"), URLS)
def test_a_url_says_how_it_is_protected(url: str, encrypted: bool, verified: bool, authority: str | None) -> None:
    link = link_of(url.format(host="db.internal"))
    assert (link.host, link.encrypted, link.verified, link.authority) == ("db.internal", encrypted, verified, authority)


@pytest.mark.parametrize(("url", "encrypted", "verified", "authority"), URLS)
def test_only_what_leaves_private_networks_must_be_protected(
    url: str, encrypted: bool, verified: bool, authority: str | None
) -> None:
    for host in ("127.0.0.1", "10.1.2.3", "192.168.0.9", "169.254.1.1"):
        assert exposure(url.format(host=host)) is None
    found = exposure(url.format(host="8.8.8.8"))
    if verified:
        assert found is None
    else:
        lack = "with TLS that proves nothing of the server" if encrypted else "without TLS"
        assert found is not None
        assert found.startswith(f"8.8.8.8 has a public address (8.8.8.8) and is reached {lack}; write ")


def test_sockets_of_this_machine_and_unknown_hosts_are_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    for url in ("unix:///run/redis.sock", "postgresql+psycopg2://role@/edurise?host=/run", "postgresql+psycopg2:///x"):
        assert link_of(url).host is None
        assert exposure(url) is certificate_fault(url) is None

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert exposure("redis://redis.internal") is None


def test_check_names_every_exposed_connection_of_production() -> None:
    urls = {
        "DATABASE_URL": POSTGRES.format(host="8.8.8.8"),
        "DATABASE_SYSTEM_URL": POSTGRES.format(host="8.8.8.8") + "?sslmode=require",
        "DATABASE_OWNER_URL": POSTGRES.format(host="10.0.0.1"),
        "REDIS_URL": "redis://8.8.8.8",
        "AMQP_URL": "amqp://8.8.8.8",
    }
    needed = ("EDU_STRIPE_SECRET_KEY", "EDU_STRIPE_WEBHOOK_SECRET", "EDU_SMTP_URL", "EDU_OPENAI_API_KEY")
    given = {
        "EDU_SECRET_KEY": "0123456789" * 4,
        "EDU_PUBLIC_URL": "https://e.example",
        "EDU_FILE_STORE": "local",
        **dict.fromkeys(needed, "x"),
    }
    found = list(checks._exposures(read_settings({"EDU_MODE": "production", **urls, **given})))
    assert [line.partition(":")[0] for line in found] == [
        "DATABASE_URL",
        "DATABASE_SYSTEM_URL",
        "REDIS_URL",
        "AMQP_URL",
    ]
    assert list(checks._exposures(read_settings({"EDU_MODE": "test", **urls, **given}))) == []


def test_default_ports_are_those_of_the_schemes() -> None:
    assert {url: link_of(url).port for url in NO_DEFAULT_PORTS} == NO_DEFAULT_PORTS
    assert link_of(POSTGRES.format(host="h")).port == 5432
    assert link_of(POSTGRES.format(host="h:6432")).port == 6432


@contextlib.contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that treats every connection so; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def speaking_tls(made: Certificate, *, asked_first: bool = False) -> Callable[[socket.socket], None]:
    """A server with this certificate; one that is ``asked_first`` begins as PostgreSQL does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)

    def answer(connection: socket.socket) -> None:
        if asked_first:
            assert connection.recv(8) == bytes.fromhex("0000000804d2162f")
            connection.sendall(b"S")
        with context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(1)

    return answer


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


def urls_of(authority: Path, port: int) -> dict[str, str]:
    return {
        "amqp": f"amqps://a:b@localhost:{port}/?cafile={authority}",
        "redis": f"rediss://localhost:{port}/0?ssl_ca_certs={authority}",
        "postgres": f"postgresql+psycopg2://a:b@localhost:{port}/c?sslmode=verify-full&sslrootcert={authority}",
    }


@pytest.mark.parametrize("kind", ["amqp", "redis", "postgres"])
def test_each_fault_of_a_certificate_is_one_sentence(authority: Authority, tmp_path: Path, kind: str) -> None:
    stranger = Authority(tmp_path / "stranger")
    faults = []
    for made in (
        authority.issue("good", ["localhost"]),
        authority.issue("old", ["localhost"], lasts=-timedelta(hours=1)),
        authority.issue("other", ["elsewhere.example"]),
        stranger.issue("foreign", ["localhost"]),
    ):
        with answering(speaking_tls(made, asked_first=kind == "postgres")) as port:
            faults.append((certificate_fault(urls_of(authority.path, port)[kind]) or "").replace(str(port), "PORT"))
    start = "the certificate of localhost:PORT is not believed: "
    assert faults == [
        "",
        f"{start}certificate has expired.",
        f"{start}Hostname mismatch, certificate is not valid for 'localhost'.",
        f"{start}unable to get local issuer certificate.",
    ]


def test_a_server_without_tls_is_said_to_have_none(authority: Authority) -> None:
    with answering(lambda connection: connection.sendall(b"-ERR what?\r\n" * 10)) as port:
        for kind in ("amqp", "redis"):
            found = certificate_fault(urls_of(authority.path, port)[kind])
            assert found == f"the server at localhost:{port} could not begin TLS (WRONG_VERSION_NUMBER)."

    def refuse(connection: socket.socket) -> None:
        connection.recv(8)
        connection.sendall(b"N")

    with answering(refuse) as port:
        found = certificate_fault(urls_of(authority.path, port)["postgres"])
        assert found == f"the server at localhost:{port} offers no TLS."
    assert certificate_fault(urls_of(authority.path, 1)["amqp"]) is None  # its driver says that nobody answers


def test_an_authority_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    for url in urls_of(tmp_path / "none.pem", 1).values():
        assert certificate_fault(url) == (
            f"the authority's certificate {tmp_path}/none.pem cannot be read (No such file or directory)."
        )
    for url in urls_of(empty, 1).values():
        assert certificate_fault(url) == (
            f"the authority's certificate {empty} cannot be read (NO_CERTIFICATE_OR_CRL_FOUND)."
        )


@pytest.mark.gen_test
async def test_connections_to_redis_share_their_context_and_still_ask_for_proof(authority: Authority) -> None:
    made = client(f"rediss://localhost:1/0?ssl_ca_certs={authority.path}", 1.0)
    pool = ConnectionPool.from_url(f"rediss://localhost:1/5?ssl_ca_certs={authority.path}")
    lax = ConnectionPool.from_url(f"rediss://localhost:1/0?ssl_ca_certs={authority.path}&ssl_check_hostname=False")
    plain = ConnectionPool.from_url("redis://localhost:1")
    for one in (pool, lax, plain):
        share_tls(one)
    first, second, third = (one.make_connection() for one in (made.connection_pool, pool, lax))
    assert isinstance(first, SharedTls)
    context = first.ssl_context.get()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert second.ssl_context.get() is context
    assert third.ssl_context.get() is not context
    assert plain.connection_class is Connection
    await made.aclose()


def test_what_uses_redis_refuses_an_authority_that_is_not_there(tmp_path: Path) -> None:
    url = f"rediss://localhost:1/0?ssl_ca_certs={tmp_path}/none.pem"
    for use in (
        lambda: client(url, 1.0),
        lambda: RedisLimiter(url, "x:", 1, None),
        lambda: share_tls(Redis.from_url(url).connection_pool),
    ):
        with pytest.raises(SettingsError, match=r"REDIS_URL: the authority's certificate .*/none.pem cannot be read"):
            use()


def test_the_certificates_of_the_compose_file_are_those_of_its_services(tmp_path: Path) -> None:
    require("openssl")
    shell = shutil.which("sh")
    assert shell is not None
    made = tmp_path / "tls"

    def issued() -> dict[str, x509.Certificate]:
        done = subprocess.run(
            [shell, str(ROOT / "deploy" / "certificates.sh"), str(made), "30"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return {path.stem: x509.load_pem_x509_certificate(path.read_bytes()) for path in made.glob("*.pem")}

    first, second = issued(), issued()
    assert set(first) == {"authority", "postgres", "redis", "rabbitmq"}
    assert first["authority"] == second["authority"]
    believing = PolicyBuilder().store(Store([first["authority"]]))
    for service in ("postgres", "redis", "rabbitmq"):
        assert first[service] != second[service], "another run renews"
        believing.build_server_verifier(x509.DNSName(service)).verify(second[service], [])
        with pytest.raises(x509.verification.VerificationError):
            believing.build_server_verifier(x509.DNSName("localhost")).verify(second[service], [])
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in made.iterdir()}
    assert {mode for name, mode in modes.items() if name.endswith(".key")} == {"0o600"}
    assert {mode for name, mode in modes.items() if name.endswith(".pem")} == {"0o644"}
