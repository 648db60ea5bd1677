"""The base of every REST handler: identity, body, hop, reply. A handler itself has no branch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlencode

from structlog.contextvars import bind_contextvars, clear_contextvars
from tornado.web import HTTPError, stream_request_body

from edurise.authz import About, Principal
from edurise.errors import DomainError, Invalid, Oversize, Unauthenticated, UnsupportedMedia
from edurise.paging import EVERYTHING, Found, Window
from edurise.ports import Allowance
from handlers.callers import Demand, address, caller, public_base
from handlers.envelope import envelope, page_data
from handlers.guards import Guard, Shape, description_of, guard_of
from handlers.refusals import RefusingHandler
from handlers.routing import Route
from schemas.base import QuerySchema, StrictSchema, load, made
from schemas.body import parse_json
from schemas.queries import MAX_PAGE_SIZE

_LONGEST_KEY = 200


@stream_request_body
class RestHandler(RefusingHandler):
    """One request. ``sensitive`` calls are limited over all processes; ``reads_token`` is false where nobody needs to
    be known, ``lenient`` true where an unusable tenant header is ignored as public verbs ignore it."""

    sensitive = False
    limited = True
    reads_token = True
    lenient = False
    is_answered = False

    def initialize(self, route: Route) -> None:
        self.route: Route = route
        # An alias stands for the methods that it names, whatever else its handler answers.
        self._is_allowed = self.request.method in route.allow
        self.request.method = route.verb(self.request.method or "")
        self.who = Principal()
        self.received_bytes = 0
        self._chunks: list[bytes] = []
        self._turn: tuple[str, object] | None = None
        self._has_body = False
        self.edge.under_way.add(self)

    async def prepare(self) -> None:
        """Everything that must be decided before the body is read."""
        if self.request.method == "OPTIONS":
            return
        self.path_kwargs = self.route.convert(self.path_kwargs)
        guard = guard_of(type(self), self.request.method or "") if self._is_allowed else None
        if guard is None:
            raise HTTPError(405)
        clear_contextvars()
        bind_contextvars(request_id=self.request_id)
        self._refuse_body()
        try:
            await self._admit(guard)
        except DomainError as refused:
            if self._has_body:
                raise  # closing the connection is the only way not to read the body
            self._answer_by(_raising(refused))

    async def _admit(self, guard: Guard) -> None:
        """Limit, identity and, for a public read, the kept answer."""
        ip = address(self.request, self.c.settings.trusted_proxies)
        self.who = Principal(ip=ip, needs=guard.permission)
        await self._limit(guard, ip)
        demand = Demand(guard.permission, lenient=guard.public or self.lenient, reads_token=self.reads_token)
        self.who = await caller(self.c, self.request, demand, ip)
        if not guard.public and self.who.user_id is None:
            raise Unauthenticated
        if guard.cached and self.who.user_id is None and self.edge.cache.enabled:
            await self._from_cache()

    @property
    def body_limit(self) -> int:
        """The most bytes that a body may have."""
        return self.c.settings.body_limit_bytes

    def data_received(self, chunk: bytes) -> None:
        self.received_bytes += len(chunk)
        if self.received_bytes <= self.body_limit:
            self._chunks.append(chunk)
        else:
            self._chunks.clear()

    # -- reading -------------------------------------------------------------------------------------------------

    def raw_body(self) -> bytes:
        """The bytes as they came; raises Oversize. Signatures are verified over these."""
        if self.received_bytes > self.body_limit:
            raise Oversize(max=self.body_limit)
        return b"".join(self._chunks)

    def body(self, schema: type[StrictSchema]) -> dict[str, Any]:
        """The JSON body as the schema reads it. Raises Invalid with the problems of each field."""
        return load(made(schema), parse_json(self.raw_body()))

    def query(self, schema: type[QuerySchema]) -> dict[str, Any]:
        """The query string as the schema reads it; of a repeated key the last counts."""
        try:
            given = {name: values[-1].decode() for name, values in self.request.query_arguments.items()}
        except UnicodeDecodeError:
            raise Invalid("BAD_REQUEST", reason="bad_query") from None
        return load(made(schema), given)

    def idempotency_key(self) -> str | None:
        """The Idempotency-Key header. Raises Invalid for one that is empty, too long or not printable ASCII."""
        key = self.request.headers.get("Idempotency-Key")
        if key is not None and not (0 < len(key) <= _LONGEST_KEY and key.isascii() and key.isprintable()):
            raise Invalid("BAD_REQUEST", reason="bad_idempotency_key")
        return key

    async def hop(
        self, fn: Callable[..., Any], *args: Any, about: About | None = None, out: Callable[[Any], Any] | None = None
    ) -> Any:
        """One unit of work as the caller, under the permission that this verb declares."""
        return await self.c.db.run(self.who, fn, *args, about=about, out=out)

    @staticmethod
    def window(query: Mapping[str, Any]) -> Window:
        """The page that a query asks for; everything, up to the bound, where it asks for none."""
        ordering = query.get("ordering") or ""
        if query["page"] is None:
            return Window(1, EVERYTHING, ordering)
        return Window(query["page"], query["page_size"], ordering)

    # -- writing -------------------------------------------------------------------------------------------------

    def reply(self, status: int, data: Any = None, *, shape: Shape | None = None) -> None:
        """Answer in ``shape``, or in that which this verb's ``describe`` declares."""
        told = description_of(type(self), self.request.method or "")
        finished = envelope(status, data, shape or (told.shape if told else "data"), self.c.clock.now())
        if self._turn is not None:
            turn, self._turn = self._turn, None
            finished = self.edge.cache.fill(turn, finished)
        self.send(finished)

    def reply_page(self, found: Found, window: Window) -> None:
        """Answer with a page; its links are absolute and keep the query."""
        told = description_of(type(self), self.request.method or "")
        shape: Shape | None = "page" if told is not None and told.shape == "listed" else None
        link = partial(self._page_url, size=window.size)
        self.reply(200, page_data(found, window.number, window.size, link), shape=shape)

    def reply_listed(self, found: Found, window: Window, *, as_page: bool) -> None:
        """Answer with a page, or with a bare array in ``data`` where old clients expect one."""
        if as_page:
            self.reply_page(found, window)
        else:
            self.reply(200, found.rows, shape="array")

    def reply_made(self, made: tuple[bool, Any]) -> None:
        """Answer 201 for something new and 200 for what an earlier request had made already."""
        self.reply(201 if made[0] else 200, made[1])

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self.on_finish()

    def on_finish(self) -> None:
        self.edge.under_way.discard(self)
        if self._turn is not None:
            self.edge.cache.release(self._turn)

    everything = Window()
    """The window of a list that is never paged."""

    # -- before the verb -----------------------------------------------------------------------------------------

    def _refuse_body(self) -> None:
        length = self.request.headers.get("Content-Length", "0")
        self._has_body = length not in ("", "0") or "Transfer-Encoding" in self.request.headers
        if length.isdigit() and int(length) > self.body_limit:
            raise Oversize(max=self.body_limit)
        told = description_of(type(self), self.request.method or "")
        if self._has_body and told is not None and told.body is not None:
            media = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            if media not in told.media_types:
                raise UnsupportedMedia(accepted=", ".join(told.media_types))

    async def _limit(self, guard: Guard, ip: str) -> None:
        if self.sensitive:
            self._tell(await self.c.limiter.hit(self.route.template.text, ip))
        elif guard.public and self.limited:
            self._tell(self.edge.public_limit.hit(ip))

    def _tell(self, allowance: Allowance) -> None:
        """RateLimit headers as draft-ietf-httpapi-ratelimit-headers-06 writes them."""
        self.set_header("RateLimit-Limit", str(allowance.limit))
        self.set_header("RateLimit-Remaining", str(allowance.remaining))
        self.set_header("RateLimit-Reset", str(allowance.reset_s))

    async def _from_cache(self) -> None:
        # The links of a page hold the Host unless the public address is set; nobody may be served another's.
        host = "" if self.c.settings.public_url else f"{self.request.protocol}://{self.request.host}"
        key = (host + (self.request.uri or ""), self.who.wanted)
        found = self.edge.cache.fresh(key) or await self.edge.cache.answer_or_turn(key)
        if found is None:
            self._turn = key
            return
        kept = found
        self._answer_by(lambda **_: self.send(kept))

    def _answer_by(self, answer: Callable[..., None]) -> None:
        """Answer in the verb's place: what finishes before the request is read to its end closes the connection."""
        self.is_answered = True
        setattr(self, (self.request.method or "").lower(), answer)

    def _page_url(self, number: int, size: int) -> str:
        query = {name: values[-1].decode() for name, values in self.request.query_arguments.items()} | {
            "page": str(number)
        }
        if size > MAX_PAGE_SIZE:  # after a list without pages its rest follows in pages
            query |= {"page": str((number - 1) * size // MAX_PAGE_SIZE + 1), "page_size": str(MAX_PAGE_SIZE)}
        return f"{public_base(self.request, self.c.settings)}{self.request.path}?{urlencode(query)}"


def _raising(refused: DomainError) -> Callable[..., None]:
    def verb(**_: object) -> None:
        raise refused

    return verb
