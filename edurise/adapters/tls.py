"""How the connections to PostgreSQL, Redis and RabbitMQ are protected, and what is wrong with a certificate.

The URLs say it in their drivers' own words and nothing else does: ``sslmode`` and ``sslrootcert`` of libpq,
``rediss://`` with ``ssl_ca_certs`` of redis-py, ``amqps://`` with ``cafile`` of aiormq.
"""

from __future__ import annotations

import socket
import ssl
import struct
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, ClassVar

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import RedisSSLContext, SSLConnection
from sqlalchemy.engine import make_url
from sqlalchemy.engine.url import URL

from edurise.config import SettingsError

_PATIENCE_S = 5.0
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)  # https://www.postgresql.org/docs/current/protocol-message-formats.html
_FALSE = frozenset({"0", "f", "false", "n", "no"})


@dataclass(frozen=True)
class Link:
    """A connection as its URL describes it. ``host`` is None for a socket of this machine."""

    host: str | None
    port: int
    encrypted: bool
    verified: bool
    """Whether the server must prove its name by a certificate."""
    authority: str | None
    """The file of the certificates that are believed; None: those of the system."""
    remedy: str
    """What to write into the URL."""
    asks_first: bool = False
    """Whether TLS begins after a question in plain text, as with PostgreSQL."""


def link_of(url: str) -> Link:
    """Read the URL of one of the three services."""
    parts = make_url(url)
    scheme = parts.drivername.partition("+")[0]
    if scheme == "postgresql":
        mode = _said(parts, "sslmode") or "prefer"  # libpq's own: encrypted if the server likes, verified never
        host = parts.host if parts.host and not parts.host.startswith("/") else None
        return Link(
            host,
            parts.port or 5432,
            encrypted=mode in ("require", "verify-ca", "verify-full"),
            verified=mode == "verify-full",
            authority=_said(parts, "sslrootcert"),
            remedy="sslmode=verify-full and sslrootcert=FILE",
            asks_first=True,
        )
    if scheme in ("amqp", "amqps"):
        encrypted = scheme == "amqps"
        return Link(
            parts.host or "localhost",
            parts.port or (5671 if encrypted else 5672),
            encrypted=encrypted,
            verified=encrypted and (_said(parts, "no_verify_ssl") or "0") == "0",
            authority=_said(parts, "cafile"),
            remedy="amqps:// and, for an authority of your own, cafile=FILE",
        )
    encrypted = scheme == "rediss"
    checks = (_said(parts, "ssl_cert_reqs") or "required") == "required"
    names = (_said(parts, "ssl_check_hostname") or "true").lower() not in _FALSE
    return Link(
        None if scheme == "unix" else parts.host or "localhost",
        parts.port or 6379,
        encrypted=encrypted,
        verified=encrypted and checks and names,
        authority=_said(parts, "ssl_ca_certs"),
        remedy="rediss:// and, for an authority of your own, ssl_ca_certs=FILE",
    )


def exposure(url: str) -> str | None:
    """A sentence about a connection that leaves the machine's own networks without a proof of whom it reaches.

    Loopback, private and link-local addresses may go without TLS. A host that has no address yet is no finding here.
    """
    link = link_of(url)
    if link.host is None or link.verified:
        return None
    try:
        found = sorted({str(one[4][0]) for one in socket.getaddrinfo(link.host, link.port, type=socket.SOCK_STREAM)})
    except OSError:
        return None
    public = [address for address in found if ip_address(address.partition("%")[0]).is_global]
    if not public:
        return None
    lack = "with TLS that proves nothing of the server" if link.encrypted else "without TLS"
    return f"{link.host} has a public address ({public[0]}) and is reached {lack}; write {link.remedy}."


def certificate_fault(url: str) -> str | None:
    """What keeps the server's certificate from being believed, in one sentence.

    None if nothing does, if the URL asks for no proof, or if the server cannot be reached: then its driver says why.
    """
    link = link_of(url)
    if link.host is None or not link.verified:
        return None
    at = f"{link.host}:{link.port}"
    try:
        context = ssl.create_default_context(cafile=link.authority)
    except OSError as wrong:
        return _unreadable(link.authority, wrong)
    try:
        with socket.create_connection((link.host, link.port), _PATIENCE_S) as plain:
            if link.asks_first:
                plain.sendall(_SSL_REQUEST)
                if plain.recv(1) != b"S":
                    return f"the server at {at} offers no TLS."
            with context.wrap_socket(plain, server_hostname=link.host):
                return None
    except ssl.SSLCertVerificationError as wrong:
        return f"the certificate of {at} is not believed: {wrong.verify_message.rstrip('.')}."
    except ssl.SSLError as wrong:
        return f"the server at {at} could not begin TLS ({wrong.reason or wrong})."
    except OSError:
        return None


class SharedTls(SSLConnection):
    """A connection to Redis over TLS whose context is made once for all with the same options.

    The library makes one for each connection, on the loop, and reading the system's authorities takes 15 to 40 ms.
    """

    _contexts: ClassVar[dict[tuple[str, ...], RedisSSLContext]] = {}

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        made = self.ssl_context
        key = tuple(str(getattr(made, name)) for name in RedisSSLContext.__slots__ if name != "context")
        self.ssl_context = self._contexts.setdefault(key, made)


def share_tls(pool: ConnectionPool) -> None:
    """Let the pool of a ``rediss://`` URL use ``SharedTls``; other pools stay as they are.

    The context is made here, before there is traffic. Raises SettingsError for certificates that cannot be read.
    """
    if not issubclass(pool.connection_class, SSLConnection):
        return
    pool.connection_class = SharedTls
    try:
        SharedTls(**pool.connection_kwargs).ssl_context.get()
    except OSError as wrong:
        named = pool.connection_kwargs.get("ssl_ca_certs")
        raise SettingsError({"REDIS_URL": [_unreadable(named, wrong)]}) from wrong


def _unreadable(path: str | None, wrong: OSError) -> str:
    reason = wrong.reason if isinstance(wrong, ssl.SSLError) else wrong.strerror
    return f"the authority's certificate {path} cannot be read ({reason})."


def _said(parts: URL, name: str) -> str | None:
    """One parameter of the query; of one that stands there twice the last."""
    found = parts.query.get(name)
    return found if found is None or isinstance(found, str) else found[-1]
