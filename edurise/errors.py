"""The one error tree of the domain.

An error carries a *kind* (what went wrong, in general), a *code* (what went wrong, exactly; stable, upper-case, part of
the API) and parameters. It holds no HTTP number and no sentence: each edge (HTTP, sockets, actors) maps the kind its
own way, and the text is made there from ``edurise/texts`` in the reader's language.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar


class Kind(StrEnum):
    """What went wrong, in general. Each edge has one table that maps every kind."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    PRECONDITION = "precondition"
    CHECKSUM = "checksum"
    RANGE = "range"
    OVERSIZE = "oversize"
    MEDIA_TYPE = "media_type"
    LIMITED = "limited"
    OVERLOADED = "overloaded"
    UPSTREAM = "upstream"


@dataclass(frozen=True)
class Problem:
    """One fault of one field: a code of ``edurise/texts`` and what its sentence needs."""

    code: str
    params: Mapping[str, object] = field(default_factory=dict)


class DomainError(Exception):
    """Base of every error that a caller may be told about."""

    kind: ClassVar[Kind]
    default_code: ClassVar[str]

    def __init__(
        self,
        code: str | None = None,
        *,
        errors: Mapping[str, Sequence[Problem]] | None = None,
        retry_after_s: float | None = None,
        **params: object,
    ) -> None:
        self.code = code or self.default_code
        self.params: dict[str, object] = params
        self.errors: dict[str, list[Problem]] = {name: list(found) for name, found in (errors or {}).items()}
        self.retry_after_s = retry_after_s
        super().__init__(self.code)


class Invalid(DomainError):
    """The request itself is wrong; repeating it unchanged cannot help."""

    kind = Kind.INVALID
    default_code = "VALIDATION_ERROR"


class Unauthenticated(DomainError):
    """Nobody is logged in, or the token is expired, forged or revoked."""

    kind = Kind.UNAUTHENTICATED
    default_code = "UNAUTHORIZED"


class Forbidden(DomainError):
    """The caller is known and may not do this here."""

    kind = Kind.FORBIDDEN
    default_code = "PERMISSION_DENIED"


class NotFound(DomainError):
    """There is no such thing, or the caller may not know that there is."""

    kind = Kind.NOT_FOUND
    default_code = "NOT_FOUND"


class Conflict(DomainError):
    """The request is well formed and the present state does not allow it."""

    kind = Kind.CONFLICT
    default_code = "CONFLICT"


class PreconditionFailed(DomainError):
    """A conditional request whose condition no longer holds."""

    kind = Kind.PRECONDITION
    default_code = "PRECONDITION_FAILED"


class RangeNotSatisfiable(DomainError):
    """A part was asked for that lies behind the end; ``size`` is the size of the whole, in bytes."""

    kind = Kind.RANGE
    default_code = "RANGE_NOT_SATISFIABLE"


class ChecksumMismatch(DomainError):
    """A body that arrived as another than its checksum says; the same request may succeed if it is sent again."""

    kind = Kind.CHECKSUM
    default_code = "CHECKSUM_MISMATCH"


class Oversize(DomainError):
    """A body or frame above its documented bound."""

    kind = Kind.OVERSIZE
    default_code = "PAYLOAD_TOO_LARGE"


class UnsupportedMedia(DomainError):
    """A body of a type that this operation does not read."""

    kind = Kind.MEDIA_TYPE
    default_code = "UNSUPPORTED_MEDIA_TYPE"


class Limited(DomainError):
    """The caller sent more than the limit allows; ``retry_after_s`` says when to come back."""

    kind = Kind.LIMITED
    default_code = "RATE_LIMIT_EXCEEDED"


class Overloaded(DomainError):
    """The server has more work than it can queue; the same request may succeed after ``retry_after_s``."""

    kind = Kind.OVERLOADED
    default_code = "OVERLOADED"


class Upstream(DomainError):
    """A service that we depend on did not answer, or answered nonsense."""

    kind = Kind.UPSTREAM
    default_code = "UPSTREAM_UNAVAILABLE"


class Retry(Exception):
    """A race that the database decided against this transaction: the unit of work runs it once more, from the start."""
