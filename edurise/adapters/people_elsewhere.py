"""What providers call somebody, as we write it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LONGEST = 100


def names_of(claims: Mapping[str, Any]) -> tuple[str, str]:
    """First and last name by the standard claims (OpenID Connect Core 1.0, 5.1), each on one line and perhaps empty;
    ``name`` is split at its last space where there is nothing better."""
    first, last = _line(claims.get("given_name")), _line(claims.get("family_name"))
    if first or last:
        return first, last
    whole = _line(claims.get("name"))
    if " " not in whole:
        return whole, ""
    first, _, last = whole.rpartition(" ")
    return first, last


def _line(value: object) -> str:
    if not isinstance(value, str):
        return ""
    text = "".join(one for one in " ".join(value[:1000].split()) if one.isprintable())
    return text[:LONGEST].strip()
