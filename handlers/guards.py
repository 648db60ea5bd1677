"""What every verb declares: who may call it, and what it reads and answers. The server refuses to start without.

``permit`` and ``public`` decide nothing: the hop does, by ``edurise.authz``, with the permission written here.
They only attach what they are told, so they stand in any order and the function stays what it was.
A socket declares its permission on the class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, cast

from marshmallow import Schema
from tornado.web import RequestHandler

from edurise.authz import ANYBODY, Permission
from handlers.routing import Aliases, RouteError, Routes, RouteTable, is_socket, verbs_of
from schemas.base import OutSchema

Declared = TypeVar("Declared", bound=Callable[..., object] | type)
Shape = Literal["data", "page", "array", "listed", "body", "none", "headers", "bytes"]
"""How an answer lies in its envelope. ``data``: an object in ``data``. ``page``: a page, there and at the top level.
``array``: a bare array in ``data``. ``listed``: one of these two, as the call or the caller wants it. ``body``: an
object in ``data``, its keys at the top level too. ``none``: no data.
``headers``: no body. ``bytes``: no envelope at all."""

_GUARD = "__guard__"
_DESCRIPTION = "__description__"


@dataclass(frozen=True)
class Guard:
    """Who may call a verb. ``public``: an unusable tenant header is ignored; ``cached``: it may answer from memory."""

    permission: Permission
    public: bool = False
    cached: bool = False


@dataclass(frozen=True)
class Description:
    """What a verb reads and answers, for OpenAPI. ``errors`` are codes beyond those of its guard and body."""

    summary: str
    tags: tuple[str, ...]
    body: type[Schema] | None = None
    query: type[Schema] | None = None
    out: type[OutSchema] | None = None
    status: int = 200
    also: tuple[int, ...] = ()
    shape: Shape = "data"
    errors: tuple[str, ...] = ()
    idempotent: bool = False
    limited: bool = True
    media_types: tuple[str, ...] = ("application/json",)
    produces: str = "application/json"
    examples: Mapping[str, object] | None = None


def permit(permission: Permission) -> Callable[[Declared], Declared]:
    """The verb (or socket class) demands ``permission``."""
    return _attach(_GUARD, Guard(permission))


def public(cache: bool = False) -> Callable[[Declared], Declared]:
    """Anybody may call the verb. ``cache`` says that its answer depends on the URL, organization and language alone."""
    return _attach(_GUARD, Guard(ANYBODY, public=True, cached=cache))


def describe(
    *,
    summary: str,
    tags: Iterable[str] = (),
    body: type[Schema] | None = None,
    query: type[Schema] | None = None,
    out: type[OutSchema] | None = None,
    status: int = 200,
    also: Iterable[int] = (),
    shape: Shape = "data",
    errors: Iterable[str] = (),
    idempotent: bool = False,
    limited: bool = True,
    media_types: Iterable[str] = ("application/json",),
    produces: str = "application/json",
    examples: Mapping[str, object] | None = None,
) -> Callable[[Declared], Declared]:
    """What the verb reads and answers.

    ``out`` is one item where ``shape`` is page, array or listed. ``also`` are further statuses of the same answer: 200
    beside 201 where a repeated call finds what an earlier one made. ``errors`` are codes beyond those of the verb's
    guard and body. ``idempotent``: the verb reads ``Idempotency-Key``. ``limited``: its answers carry RateLimit
    headers. ``media_types`` are those of the request's body, ``produces`` that of an answer of shape ``bytes``;
    ``examples`` are named bodies of requests.
    """
    told = Description(
        summary=summary,
        tags=tuple(tags),
        body=body,
        query=query,
        out=out,
        status=status,
        also=tuple(also),
        shape=shape,
        errors=tuple(errors),
        idempotent=idempotent,
        limited=limited,
        media_types=tuple(media_types),
        produces=produces,
        examples=examples,
    )
    return _attach(_DESCRIPTION, told)


def _attach(name: str, value: object) -> Callable[[Declared], Declared]:
    def declare(declared: Declared) -> Declared:
        if name in vars(declared):
            raise RouteError(f"{declared.__qualname__} declares {name.strip('_')} twice")
        setattr(declared, name, value)
        return declared

    return declare


def guard_of(handler: type[RequestHandler], verb: str) -> Guard | None:
    """The guard of one verb (``"GET"``); of the class itself for a socket."""
    declared = handler if is_socket(handler) else getattr(handler, verb.lower(), None)
    return cast("Guard | None", getattr(declared, _GUARD, None))


def description_of(handler: type[RequestHandler], verb: str) -> Description | None:
    """The description of one verb."""
    return cast("Description | None", getattr(getattr(handler, verb.lower(), None), _DESCRIPTION, None))


def check_all(routes: Routes, aliases: Aliases = ()) -> RouteTable:
    """Build the table and see that every verb and socket declares itself; raises RouteError that names every fault."""
    table = RouteTable(routes, aliases)
    faults = [fault for text, handler in routes for fault in _faults(text, handler)]
    if faults:
        raise RouteError("\n".join(sorted(set(faults))))
    return table


def _faults(text: str, handler: type[RequestHandler]) -> Sequence[str]:
    if is_socket(handler):
        return [] if guard_of(handler, "GET") else [f"{text}: {handler.__name__} lacks permit() or public()"]
    found: list[str] = []
    verbs = verbs_of(handler)
    if not verbs:
        found.append(f"{text}: {handler.__name__} has no verb")
    for verb in verbs:
        if verb == "HEAD":  # answers as GET does, without the body
            continue
        name = f"{text}: {handler.__name__}.{verb.lower()}"
        if guard_of(handler, verb) is None:
            found.append(f"{name} lacks permit() or public()")
        told = description_of(handler, verb)
        if told is None:
            found.append(f"{name} lacks describe()")
        else:
            found.extend(f"{name}: {fault}" for fault in _misfits(verb, told))
    return found


def _misfits(verb: str, told: Description) -> Sequence[str]:
    found: list[str] = []
    if not told.tags:
        found.append("describe() names no tag")
    if told.body is not None and verb == "GET":
        found.append("a GET reads no body")
    if told.out is None and told.shape not in ("none", "headers", "bytes"):
        found.append(f'shape "{told.shape}" needs out=')
    return found
