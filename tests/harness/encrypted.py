"""PostgreSQL, Redis and RabbitMQ of a test's own that speak TLS and nothing else, as ``localhost``."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

import redis

from tests.harness.authority import Authority, Certificate
from tests.harness.services import OwnPostgres, OwnRabbit, OwnRedis

HOST = "localhost"
REDIS_PASSWORD = "of-the-tests-own-redis"
ADMIN_ONLY = """\
hostssl all postgres 127.0.0.1/32 trust
hostssl all all 127.0.0.1/32 scram-sha-256
"""


class EncryptedPostgres(OwnPostgres):
    """Everybody comes over TLS; everybody but the superuser with a password."""

    def __init__(self, directory: Path, port: int, authority: Authority) -> None:
        super().__init__(directory, port)
        self._authority = authority
        self._certificate = authority.issue("postgres", [HOST], account=self.account)

    @property
    def admin_url(self) -> str:
        return self.url_of("postgres", "postgres")

    def url_of(self, credentials: str, database: str = "edurise") -> str:
        """The URL of a role: ``name`` or ``name:password``."""
        query = f"sslmode=verify-full&sslrootcert={self._authority.path}"
        return f"postgresql+psycopg2://{credentials}@{HOST}:{self.port}/{database}?{query}"

    def _prepare(self) -> None:
        super()._prepare()
        (self._data / "pg_hba.conf").write_text(ADMIN_ONLY)

    def _command(self) -> Sequence[str]:
        made = self._certificate
        return [*super()._command(), "--ssl=on", f"--ssl_cert_file={made.certificate}", f"--ssl_key_file={made.key}"]


class EncryptedRedis(OwnRedis):
    """A TLS port, no other, and a password."""

    def __init__(self, directory: Path, port: int, authority: Authority) -> None:
        super().__init__(directory, port)
        self._authority = authority
        self._certificate = authority.issue("redis", [HOST])

    @property
    def url(self) -> str:
        return f"rediss://:{REDIS_PASSWORD}@{HOST}:{self.port}/0?ssl_ca_certs={self._authority.path}"

    def client(self) -> redis.Redis:
        """A client for the test; close it."""
        return redis.Redis.from_url(self.url, socket_timeout=5)

    def _command(self) -> Sequence[str]:
        plain = list(super()._command())
        plain[plain.index("--port") + 1] = "0"
        made = self._certificate
        tls = ["--tls-port", str(self.port), "--tls-auth-clients", "no", "--requirepass", REDIS_PASSWORD]
        files = ["--tls-cert-file", str(made.certificate), "--tls-key-file", str(made.key)]
        return [*plain, *tls, *files, "--tls-ca-cert-file", str(self._authority.path)]

    def _process_id(self) -> int | None:
        client = self.client()
        try:
            return int(client.info("server")["process_id"])
        except (redis.ConnectionError, redis.TimeoutError):
            return None
        finally:
            client.close()


class EncryptedRabbit(OwnRabbit):
    """AMQP over TLS only."""

    def __init__(self, directory: Path, port: int, authority: Authority) -> None:
        super().__init__(directory, port)
        self._authority = authority
        self._certificate: Certificate = authority.issue("rabbitmq", [HOST], account=self.account)

    @property
    def url(self) -> str:
        return f"amqps://guest:guest@{HOST}:{self.port}/?cafile={self._authority.path}"

    def _prepare(self) -> None:
        super()._prepare()
        plain = (self.directory / "rabbitmq.conf").read_text().partition("\n")[2]  # all but its listener
        (self.directory / "rabbitmq.conf").write_text(
            f"listeners.tcp = none\n"
            f"listeners.ssl.1 = 127.0.0.1:{self.port}\n"
            f"ssl_options.cacertfile = {self._authority.path}\n"
            f"ssl_options.certfile = {self._certificate.certificate}\n"
            f"ssl_options.keyfile = {self._certificate.key}\n"
            f"ssl_options.verify = verify_none\n"
            f"ssl_options.fail_if_no_peer_cert = false\n"
            f"{plain}"
        )

    def _greeting(self) -> bytes:
        context = ssl.create_default_context(cafile=self._authority.path)
        try:
            with (
                socket.create_connection(("127.0.0.1", self.port), timeout=5) as plain,
                context.wrap_socket(plain, server_hostname=HOST) as connection,
            ):
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                return connection.recv(4096)
        except OSError:
            return b""
