"""Bytes of a request body to a JSON object, refusing what no schema should have to think about."""

from __future__ import annotations

from typing import Any

import orjson

from edurise.errors import Invalid
from schemas.structures import deeper_than

MAX_DEPTH = 32


def parse_json(body: bytes, max_depth: int = MAX_DEPTH) -> dict[str, Any]:
    """Read one JSON object; of two equal keys the last counts (RFC 8259 leaves it open).

    Raises Invalid, ``BAD_REQUEST`` with a ``reason``: ``bad_json`` (syntax, NaN, not UTF-8, lone surrogates, numbers
    beyond a double), ``too_deep`` or ``not_an_object``. An empty body is an empty object: clients POST without one.
    """
    if not body.strip():
        return {}
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as broken:
        reason = "too_deep" if "depth limit" in str(broken) else "bad_json"
        raise Invalid("BAD_REQUEST", reason=reason, max=max_depth) from None
    # Brackets inside strings count too, which only costs the walk that decides.
    if body.count(b"{") + body.count(b"[") > max_depth and deeper_than(value, max_depth):
        raise Invalid("BAD_REQUEST", reason="too_deep", max=max_depth)
    if not isinstance(value, dict):
        raise Invalid("BAD_REQUEST", reason="not_an_object")
    return value
