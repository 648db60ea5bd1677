"""Who is calling, from a request's headers: address, token, organization. Decides nothing; ``enter()`` does."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address, ip_network
from uuid import UUID

from tornado.httputil import HTTPServerRequest

from edurise.authz import Permission, Principal
from edurise.config import Settings
from edurise.container import Container
from edurise.errors import Forbidden, Unauthenticated
from edurise.tenants.queries import MAIN


@dataclass(frozen=True)
class Demand:
    """What a verb asks of its caller. ``lenient``: an unusable tenant header is ignored. ``reads_token`` is false for
    log-in and its like."""

    permission: Permission
    lenient: bool
    reads_token: bool


def address(request: HTTPServerRequest, trusted: tuple[str, ...]) -> str:
    """The caller's address: the peer's, or behind a trusted proxy the last address in X-Forwarded-For that is not a
    trusted proxy. What is no address ends the search: a client can write anything there."""
    peer = request.remote_ip or ""
    if not trusted or not _is_trusted(peer, trusted):
        return peer
    found = peer
    for hop in reversed(request.headers.get("X-Forwarded-For", "").split(",")):
        try:
            found = str(ip_address(hop.strip()))
        except ValueError:
            return found
        if not _is_trusted(found, trusted):
            return found
    return found


@lru_cache(maxsize=4096)
def _is_trusted(address: str, trusted: tuple[str, ...]) -> bool:
    try:
        return any(ip_address(address) in ip_network(one, strict=False) for one in trusted)
    except ValueError:
        return False


def public_base(request: HTTPServerRequest, settings: Settings) -> str:
    """Where clients reach this installation: the public address of the settings, else the host that they asked."""
    return settings.public_url or f"{request.protocol}://{request.host}"


def tenant_header(request: HTTPServerRequest, *, lenient: bool) -> UUID | None:
    """The organization that the caller names; ``main`` stands for its id. Raises Forbidden for a value that can name
    none."""
    value = request.headers.get("X-Tenant-ID")
    if not value:
        return None
    if value == "main":
        return MAIN
    try:
        return UUID(value)
    except ValueError:
        if lenient:
            return None
        raise Forbidden("TENANT_ACCESS_ERROR") from None


def bearer(request: HTTPServerRequest) -> str | None:
    """The bearer token, if there is one; raises Unauthenticated for another scheme."""
    value = request.headers.get("Authorization")
    if not value:
        return None
    scheme, _, token = value.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("TOKEN_INVALID")
    return token.strip()


async def caller(c: Container, request: HTTPServerRequest, demand: Demand, ip: str) -> Principal:
    """The principal of a request. The acting organization is, in this order: a pin, the header, the token's, the
    host's."""
    device = request.headers.get("User-Agent", "")
    token = bearer(request) if demand.reads_token else None
    named = tenant_header(request, lenient=demand.lenient)
    if token is None:
        wanted = named or await c.directory.of_host(request.host_name)
        return Principal(wanted=wanted, needs=demand.permission, ip=ip, user_agent=device)
    claims = c.tokens.verify(token)
    uses_header = named is not None and not claims.pinned
    return Principal(
        user_id=claims.user_id,
        session_id=claims.session_id,
        version=claims.version,
        wanted=named if uses_header else claims.tenant_id,
        strict=uses_header and not demand.lenient,
        otherwise=claims.tenant_id if uses_header and demand.lenient else None,
        needs=demand.permission,
        ip=ip,
        user_agent=device,
        only=claims.only,
    )
