"""E-mail addresses in the one form in which they are compared and stored."""

from __future__ import annotations

import re
from unicodedata import normalize

import idna

# The local part as browsers and RFC 5321 write it, unquoted, with letters beyond ASCII (RFC 6531).
_LOCAL = re.compile(r"[^\s\x00-\x1f\x7f-\x9f\"(),:;<>@\[\\\].]+(?:\.[^\s\x00-\x1f\x7f-\x9f\"(),:;<>@\[\\\].]+)*")
LONGEST = 254


def normal(value: str) -> str | None:
    """An address in NFC with a lower-case IDNA domain and an unchanged local part, or None for what is no address."""
    local, at, domain = normalize("NFC", value.strip()).rpartition("@")
    if not at or len(local) > 64 or not _LOCAL.fullmatch(local) or "." not in domain:
        return None
    try:
        local.encode()
        ascii_domain = idna.encode(domain, uts46=True, std3_rules=True).decode().lower()
    except (UnicodeError, ValueError):
        return None
    address = f"{local}@{ascii_domain}"
    return address if len(address) <= LONGEST else None
