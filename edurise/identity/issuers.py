"""Which identity providers may be reached at all. An organization's administrator names them, so that an address
inside of this installation's network must not be among them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from edurise.errors import Invalid, Problem

_TRANSLATED = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
"""NAT64 (RFC 6052, RFC 8215): such an address leads to an IPv4 address that stands in its end."""


def is_public(address: str) -> bool:
    """Whether an IP address belongs to a machine of the public network, and to no other in disguise."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address):
        inner = found.ipv4_mapped
        if inner is not None:
            return _is_global(inner)
        if found.sixtofour or found.teredo or any(found in network for network in _TRANSLATED):
            return False
    return _is_global(found)


def is_endpoint(url: object, *, private: bool) -> bool:
    """Whether a provider's URL may be called: https, a host, no credentials. With ``private`` also http."""
    if not isinstance(url, str) or len(url) > 1000 or not url.isascii() or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        port_is_valid = parts.port is None or 0 < parts.port < 65536
    except ValueError:
        return False
    schemes = ("https", "http") if private else ("https",)
    return (
        parts.scheme in schemes and bool(parts.hostname) and "@" not in parts.netloc and "\\" not in url
    ) and port_is_valid


def checked(issuer: str, *, private: bool) -> str:
    """An issuer as it is stored: the exact text, for tokens must bear it. Raises Invalid (``bad_issuer``).

    What a name resolves to is looked at when it is connected to: until then it may change.
    """
    parts = urlsplit(issuer) if is_endpoint(issuer, private=private) else None
    if parts is None or parts.query or parts.fragment or "?" in issuer or "#" in issuer:
        raise Invalid(errors={"issuer": [Problem("bad_issuer")]})
    if not private and _is_address(parts.hostname or "") and not is_public(parts.hostname or ""):
        raise Invalid(errors={"issuer": [Problem("bad_issuer")]})
    return issuer


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_global(address: IPv4Address | IPv6Address) -> bool:
    return address.is_global and not address.is_multicast
