"""HTTP to servers that other people name: only to addresses of the public network, checked when the connection is made,
only a bounded answer, no redirect, no proxy, no compression.

A name is resolved once, its addresses are looked at, and the connection goes to one that was looked at, so that a name
cannot change between the check and its use. TLS and the Host header keep the name.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import httpcore
import httpx

from edurise.identity.issuers import is_public

LONGEST_BYTES = 512 * 1024
"""An answer beyond this is broken off: discovery documents and key sets have a few kilobytes."""
CONNECTIONS = 100
_TRIED = 3
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

# At DEBUG these log headers, at INFO each URL.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class Unreachable(httpx.TransportError):
    """The server could not be asked, or answered in a way that is not taken."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, by the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


class PublicOnly(httpcore.AsyncNetworkBackend):
    """Connects to public addresses, or with ``private`` to any."""

    def __init__(self, *, private: bool, resolver: Resolve = resolve) -> None:
        self._private = private
        self._resolve = resolver
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            found = await self._resolve(host, port)
        except OSError as unknown:
            raise httpcore.ConnectError("the name is not known") from unknown
        failed: Exception = httpcore.ConnectError("there is no public address")
        for address in [one for one in found if self._private or is_public(one)][:_TRIED]:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as refused:
                failed = refused
        raise failed

    async def connect_unix_socket(
        self,
        path: str,  # noqa: ARG002 - httpcore's signature
        timeout: float | None = None,  # noqa: ARG002, ASYNC109 - as above
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002 - as above
    ) -> httpcore.AsyncNetworkStream:
        raise httpcore.ConnectError("sockets of this machine are not connected to")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class GuardedTransport(httpx.AsyncBaseTransport):
    """Sends requests of httpx by a connection pool over ``backend``, and reads whole answers of bounded size."""

    def __init__(
        self,
        backend: httpcore.AsyncNetworkBackend,
        *,
        longest_bytes: int = LONGEST_BYTES,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        """``trust`` decides which servers are believed, for one with a certificate of a private authority."""
        self._longest = longest_bytes
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=trust or httpx.create_ssl_context(trust_env=False),
            max_connections=CONNECTIONS,
            max_keepalive_connections=20,
            keepalive_expiry=15.0,
            network_backend=backend,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raises Unreachable; what it was is its cause, without what was sent."""
        url = httpcore.URL(
            scheme=request.url.raw_scheme, host=request.url.raw_host, port=request.url.port, target=request.url.raw_path
        )
        asked = httpcore.Request(
            request.method, url, headers=request.headers.raw, content=request.read(), extensions=request.extensions
        )
        try:
            answer = await self._pool.handle_async_request(asked)
            try:
                content = await self._read(answer)
            finally:
                await answer.aclose()
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError) as failed:
            raise Unreachable(type(failed).__name__) from failed
        return httpx.Response(answer.status, headers=answer.headers, content=content, request=request)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._pool.aclose()

    async def _read(self, answer: httpcore.Response) -> bytes:
        encodings = [value for name, value in answer.headers if name.lower() == b"content-encoding"]
        if any(one.strip().lower() != b"identity" for one in encodings):
            raise Unreachable("compressed, which nobody asked for")
        chunks, size = [], 0
        async for chunk in answer.aiter_stream():
            size += len(chunk)
            if size > self._longest:
                raise Unreachable("longer than is read")
            chunks.append(chunk)
        return b"".join(chunks)


def guarded_client(
    *, private: bool, timeout_s: float, resolver: Resolve = resolve, trust: ssl.SSLContext | None = None
) -> httpx.AsyncClient:
    """A client over all that; ``timeout_s`` is for each step of an exchange."""
    return httpx.AsyncClient(
        transport=GuardedTransport(PublicOnly(private=private, resolver=resolver), trust=trust),
        timeout=timeout_s,
        follow_redirects=False,
        headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "EduRise"},
    )
