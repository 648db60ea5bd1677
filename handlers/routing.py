"""The route table: templates to handlers, one shape once, aliases without second handlers.

In a template ``{name:kind}`` stands for one segment; kinds are ``uuid``, ``int``, ``slug`` and ``text``.
Of several templates that match a path the most specific segment wins from the left: literal, uuid, int, slug, text.
What no template matches is 404, so an id that is no UUID needs no code in any handler.

Look-up walks a tree once per request and is remembered for that request: Tornado asks each rule in turn, and each then
only compares.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import unquote_to_bytes
from uuid import UUID

from tornado.httputil import HTTPServerRequest
from tornado.routing import Matcher, URLSpec
from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler

from schemas.fields import SLUG_PATTERN, UUID_PATTERN

HTTP_VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
Routes = Sequence[tuple[str, type[RequestHandler]]]
Aliases = Sequence[tuple[str, str, str]]
"""``(method, alias template, canonical)``; canonical is a template, or ``"PATCH /api/…/"`` where its method differs."""

# In the order in which they are tried. No pattern may match "/" or an empty segment.
_KINDS: dict[str, re.Pattern[str]] = {
    "uuid": re.compile(UUID_PATTERN),
    "int": re.compile(r"0|[1-9][0-9]{0,9}"),
    "slug": re.compile(SLUG_PATTERN),
    "text": re.compile(r"[^/\x00-\x1f\x7f]{1,255}"),
}
_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*):([a-z]+)\}")
_LITERAL = re.compile(r"[A-Za-z0-9._~-]+")


class RouteError(Exception):
    """The table contradicts itself; the server does not start."""


@dataclass(frozen=True)
class Parameter:
    """One placeholder of a template."""

    name: str
    kind: str


@dataclass(frozen=True)
class Template:
    """A parsed template. Two templates of one ``shape`` would match the same paths."""

    text: str
    segments: tuple[str | Parameter, ...]

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(one for one in self.segments if isinstance(one, Parameter))

    @property
    def shape(self) -> str:
        return "/" + "/".join(f"{{{one.kind}}}" if isinstance(one, Parameter) else one for one in self.segments)

    @property
    def openapi(self) -> str:
        """The path as OpenAPI writes it: ``/courses/{id}/``."""
        return _PLACEHOLDER.sub(r"{\1}", self.text)

    def fill(self, **values: object) -> str:
        """A path of this template; raises KeyError for a missing value."""
        return _PLACEHOLDER.sub(lambda found: str(values[found[1]]), self.text)


def parse(text: str) -> Template:
    """Parse a template; raises RouteError for what is not one."""
    if not text.startswith("/"):
        raise RouteError(f"{text}: a template begins with a slash")
    segments: list[str | Parameter] = []
    for segment in text[1:].split("/"):
        found = _PLACEHOLDER.fullmatch(segment)
        if found is not None and found[2] in _KINDS:
            segments.append(Parameter(found[1], found[2]))
        elif _LITERAL.fullmatch(segment) or segment == "":
            segments.append(segment)
        else:
            raise RouteError(f"{text}: {segment!r} is neither a literal nor a placeholder of {', '.join(_KINDS)}")
    if "" in segments[:-1]:
        raise RouteError(f"{text}: an empty segment")
    names = [one.name for one in segments if isinstance(one, Parameter)]
    if len(names) != len(set(names)):
        raise RouteError(f"{text}: a name stands twice")
    return Template(text, tuple(segments))


@dataclass(eq=False)
class Route:
    """One way to one handler: a canonical template, or an alias of it for one method.

    ``template`` is the canonical one whatever the request's path: metrics count an alias with its operation.
    ``allow`` are the methods that the path answers, for the ``Allow`` header.
    """

    path: Template
    template: Template
    handler: type[RequestHandler]
    methods: Mapping[str, str] = field(default_factory=dict)
    allow: tuple[str, ...] = ()

    @property
    def is_alias(self) -> bool:
        return bool(self.methods)

    def verb(self, method: str) -> str:
        """The handler's verb for a request's method: an alias may map POST onto PATCH."""
        return self.methods.get(method, method)

    def convert(self, values: Mapping[str, str]) -> dict[str, Any]:
        """Path values as the verbs take them: under the canonical names, uuid as UUID, int as int."""
        return {name: _converted(self.kinds[name], value) for name, value in values.items()}

    @cached_property
    def kinds(self) -> dict[str, str]:
        """The kind of each path value, by its canonical name."""
        return {one.name: one.kind for one in self.template.parameters}


def _converted(kind: str, value: str) -> object:
    if kind == "uuid":
        return UUID(value)
    return int(value) if kind == "int" else value


def is_socket(handler: type[RequestHandler]) -> bool:
    return issubclass(handler, WebSocketHandler)


def verbs_of(handler: type[RequestHandler]) -> list[str]:
    """The methods that a handler implements itself, upper-case. A socket has none: its GET is the upgrade."""
    if is_socket(handler):
        return []
    return [verb for verb in HTTP_VERBS if getattr(handler, verb.lower()) is not getattr(RequestHandler, verb.lower())]


class _Node:
    """One segment's place in the tree."""

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.kinds: dict[str, _Node] = {}
        self.canonical: Route | None = None
        self.aliases: dict[str, Route] = {}

    def child(self, segment: str | Parameter) -> _Node:
        if isinstance(segment, Parameter):
            self.kinds.setdefault(segment.kind, _Node())
            self.kinds = {kind: self.kinds[kind] for kind in _KINDS if kind in self.kinds}
            return self.kinds[segment.kind]
        return self.literals.setdefault(segment, _Node())

    def walk(self, segments: Sequence[str], at: int, values: list[str]) -> _Node | None:
        """The most specific leaf for the segments from ``at``; ``values`` collects what placeholders matched."""
        if at == len(segments):
            return self if self.canonical is not None or self.aliases else None
        segment = segments[at]
        literal = self.literals.get(segment)
        if literal is not None:
            found = literal.walk(segments, at + 1, values)
            if found is not None:
                return found
        for kind, node in self.kinds.items():
            if _KINDS[kind].fullmatch(segment):
                values.append(segment)
                found = node.walk(segments, at + 1, values)
                if found is not None:
                    return found
                values.pop()
        return None

    def leaves(self) -> Iterator[_Node]:
        if self.canonical is not None or self.aliases:
            yield self
        for node in (*self.literals.values(), *self.kinds.values()):
            yield from node.leaves()


class RouteTable:
    """All routes. ``find`` answers which of them a path and a method mean."""

    def __init__(self, routes: Routes, aliases: Aliases) -> None:
        self._root = _Node()
        self._canonical: dict[str, Route] = {}
        self._last: tuple[HTTPServerRequest, tuple[Route, dict[str, str]] | None] | None = None
        for text, handler in routes:
            self._add(text, handler)
        for method, text, target in aliases:
            self._add_alias(method.upper(), text, target)
        for leaf in self._root.leaves():
            _set_allowed(leaf)

    def __iter__(self) -> Iterator[Route]:
        """Every route, sorted as it is tried: literals first."""
        for leaf in self._root.leaves():
            yield from leaf.aliases.values()
            if leaf.canonical is not None:
                yield leaf.canonical

    def _leaf(self, template: Template) -> _Node:
        node = self._root
        for segment in template.segments:
            node = node.child(segment)
        return node

    def _add(self, text: str, handler: type[RequestHandler]) -> None:
        template = parse(text)
        leaf = self._leaf(template)
        if leaf.canonical is not None:
            raise RouteError(f"{text} and {leaf.canonical.path.text} have the same shape {template.shape}")
        leaf.canonical = self._canonical[text] = Route(template, template, handler)

    def _add_alias(self, method: str, text: str, target: str) -> None:
        mapped, _, canonical = target.rpartition(" ")
        verb = mapped.upper() or method
        route = self._canonical.get(canonical)
        if route is None:
            raise RouteError(f"{method} {text}: there is no route {canonical}")
        if verb not in verbs_of(route.handler):
            raise RouteError(f"{method} {text}: {route.handler.__name__} has no {verb}")
        template = parse(text)
        if [one.kind for one in template.parameters] != [one.kind for one in route.template.parameters]:
            raise RouteError(f"{method} {text}: its placeholders are not those of {canonical}")
        leaf = self._leaf(template)
        if method in leaf.aliases:
            raise RouteError(f"{method} {text}: the alias stands twice")
        if leaf.canonical is not None and method in verbs_of(leaf.canonical.handler):
            raise RouteError(f"{method} {text}: {leaf.canonical.path.text} answers that itself")
        leaf.aliases[method] = Route(template, route.template, route.handler, {method: verb})

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """The route and its path values, under the canonical names; None where no template matches.

        A method that the path does not answer finds the path's first route, whose handler says 405.
        """
        values: list[str] = []
        leaf = self._root.walk(path[1:].split("/"), 0, values)
        if leaf is None:
            return None
        route = leaf.aliases.get(method) or leaf.canonical or next(iter(leaf.aliases.values()))
        return route, dict(zip(route.kinds, values, strict=True))

    def find_for(self, request: HTTPServerRequest) -> tuple[Route, dict[str, str]] | None:
        """As ``find``, remembered for the request at hand: finding a handler never awaits, so one memory is enough."""
        if self._last is None or self._last[0] is not request:
            self._last = (request, self.find(request.method or "", _decoded(request.path)))
        return self._last[1]


def _decoded(path: str) -> str:
    """The path without percent signs. A segment with an encoded slash, or that is not UTF-8, matches nothing."""
    if "%" not in path:
        return path
    return "/".join(_decoded_segment(unquote_to_bytes(one)) for one in path.split("/"))


def _decoded_segment(segment: bytes) -> str:
    try:
        text = segment.decode()
    except UnicodeDecodeError:
        return "\x00"
    # An encoded slash would pretend to be two segments. NUL matches no kind.
    return text.replace("/", "\x00")


def _set_allowed(leaf: _Node) -> None:
    own = verbs_of(leaf.canonical.handler) if leaf.canonical is not None else []
    if leaf.canonical is not None and is_socket(leaf.canonical.handler):
        own = ["GET"]
    allowed = tuple(verb for verb in (*HTTP_VERBS, "OPTIONS") if verb in {*own, *leaf.aliases, "OPTIONS"})
    for route in (*leaf.aliases.values(), *((leaf.canonical,) if leaf.canonical is not None else ())):
        route.allow = allowed


class _RouteMatches(Matcher):
    """True for the requests that the table gives to this route."""

    def __init__(self, table: RouteTable, route: Route) -> None:
        self._table, self._route = table, route

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        found = self._table.find_for(request)
        if found is None or found[0] is not self._route:
            return None
        return {"path_args": [], "path_kwargs": {name: value.encode() for name, value in found[1].items()}}


class RouteSpec(URLSpec):
    """A Tornado rule for one route. Its handler gets ``route`` in ``initialize``."""

    def __init__(self, table: RouteTable, route: Route) -> None:
        super().__init__(re.escape(route.path.text) + "$", route.handler, {"route": route}, name=None)
        self.matcher = _RouteMatches(table, route)
        self.route = route


def build(
    routes: Iterable[tuple[str, type[RequestHandler]]], aliases: Iterable[tuple[str, str, str]] = ()
) -> list[URLSpec]:
    """Tornado's rules, for ``Application(build(routes, aliases))``; raises RouteError if it contradicts itself.

    Every handler receives ``route: Route`` in ``initialize``. There it sets ``self.request.method`` to
    ``route.verb(self.request.method)``, in ``prepare`` ``self.path_kwargs`` to ``route.convert(self.path_kwargs)``, and
    with a 405 it writes ``route.allow``.
    """
    table = RouteTable(list(routes), list(aliases))
    return [RouteSpec(table, route) for route in table]
