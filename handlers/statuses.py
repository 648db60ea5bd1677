"""The HTTP edge of the error tree: one table of kinds, and the error's envelope in the reader's language."""

from __future__ import annotations

import math
from typing import Any

from edurise.errors import DomainError, Kind, Problem
from edurise.texts.catalogue import text

STATUS: dict[Kind, int] = {
    Kind.INVALID: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.PRECONDITION: 412,
    Kind.CHECKSUM: 460,  # of the tus protocol, whose clients send the same bytes again
    Kind.OVERSIZE: 413,
    Kind.MEDIA_TYPE: 415,
    Kind.RANGE: 416,
    Kind.UPSTREAM: 424,
    Kind.LIMITED: 429,
    Kind.OVERLOADED: 429,
}
"""No kind is a 5xx: clients repeat every 5xx, so 500 is kept for our own faults."""

OF_STATUS: dict[int, str] = {
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "PAYLOAD_TOO_LARGE",
    400: "BAD_REQUEST",
    500: "SERVER_ERROR",
}


def error_body(
    code: str, params: dict[str, object], errors: dict[str, list[Problem]], language: str, at: str
) -> dict[str, Any]:
    """The error envelope; ``message`` is a sentence for the person, ``errors`` maps fields to sentences."""
    body: dict[str, Any] = {"success": False, "message": text(code, language, params), "code": code, "timestamp": at}
    if errors:
        body["errors"] = {
            name: [text(one.code, language, one.params) for one in found] for name, found in errors.items()
        }
    return body


def headers_of(error: DomainError) -> dict[str, str]:
    """What goes with the status: when to come back, and how to authenticate."""
    found: dict[str, str] = {}
    if error.retry_after_s is not None or error.kind in (Kind.LIMITED, Kind.OVERLOADED):
        found["Retry-After"] = str(max(1, math.ceil(error.retry_after_s or 1)))
    if error.kind is Kind.LIMITED and "limit" in error.params:
        found |= {"RateLimit-Limit": str(error.params["limit"]), "RateLimit-Remaining": "0"}
        found["RateLimit-Reset"] = found["Retry-After"]
    if error.kind is Kind.RANGE:
        found["Content-Range"] = f"bytes */{error.params['size']}"
    if error.kind is Kind.UNAUTHENTICATED:
        found["WWW-Authenticate"] = "Bearer"
    return found
