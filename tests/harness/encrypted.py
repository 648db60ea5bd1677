"""PostgreSQL, Redis and RabbitMQ of a test's own that speak TLS and nothing else, as ``localhost``.

Their configurations are those of deploy/compose.yaml, with other files, ports and passwords.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import redis
import yaml

from tests.harness.authority import Authority
from tests.harness.services import OwnPostgres, OwnRabbit, OwnRedis

HOST = "localhost"
REDIS_PASSWORD = "of-the-tests-own-redis"
RABBITMQ_PASSWORD = "of-the-tests-own-broker"
TRUSTED_ADMIN = "hostssl all postgres 127.0.0.1/32 trust\n"
COMPOSE = Path(__file__).resolve().parents[2] / "deploy" / "compose.yaml"


def of_compose(kind: str, name: str) -> Any:
    """A service or the content of a configuration of the compose file."""
    found = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))[kind][name]
    return found["content"] if kind == "configs" else found


def with_own(text: str, replaced: Mapping[str, object]) -> str:
    """The text with what is the test's own; everything that is to be replaced must be there."""
    for old, new in replaced.items():
        assert old in text, f"deploy/compose.yaml has no {old!r} any more"
        text = text.replace(old, str(new))
    return text


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
        (self._data / "pg_hba.conf").write_text(TRUSTED_ADMIN + of_compose("configs", "pg_hba"))

    def _command(self) -> Sequence[str]:
        options = [one for one in of_compose("services", "postgres")["command"] if "ssl" in one or "password" in one]
        made = self._certificate
        files = {"/run/tls/certificate.pem": made.certificate, "/run/tls/key.pem": made.key}
        return [*super()._command(), *with_own("\n".join(options), files).split("\n")]


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

    def _prepare(self) -> None:
        super()._prepare()
        replaced = {
            "/run/tls/certificate.pem": self._certificate.certificate,
            "/run/tls/key.pem": self._certificate.key,
            "/run/secrets/authority": self._authority.path,
            "tls-port 6379": f"tls-port {self.port}",
            "${REDIS_PASSWORD:?}": REDIS_PASSWORD,
        }
        (self.directory / "redis.conf").write_text(with_own(of_compose("configs", "redis"), replaced))

    def _command(self) -> Sequence[str]:
        binary = super()._command()[0]
        return [binary, str(self.directory / "redis.conf"), "--bind", "127.0.0.1", "--dir", str(self.directory)]

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
        self._certificate = authority.issue("rabbitmq", [HOST], account=self.account)

    @property
    def url(self) -> str:
        return f"amqps://edurise:{RABBITMQ_PASSWORD}@{HOST}:{self.port}/?cafile={self._authority.path}"

    def _prepare(self) -> None:
        super()._prepare()
        plain = (self.directory / "rabbitmq.conf").read_text().partition("\n")[2]  # all but its listener
        replaced = {
            "/run/tls/certificate.pem": self._certificate.certificate,
            "/run/tls/key.pem": self._certificate.key,
            "/run/secrets/authority": self._authority.path,
            "listeners.ssl.default = 5671": f"listeners.ssl.default = 127.0.0.1:{self.port}",
            "${RABBITMQ_PASSWORD:?}": RABBITMQ_PASSWORD,
        }
        (self.directory / "rabbitmq.conf").write_text(with_own(of_compose("configs", "rabbitmq"), replaced) + plain)

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
