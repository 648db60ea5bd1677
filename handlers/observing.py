"""One access line and a few numbers for each request. No body, no query string, no token."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, TextIO

import orjson
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from tornado.web import RequestHandler

from edurise import deliveries
from edurise.container import Container
from edurise.errors import DomainError
from edurise.ports import Clock
from handlers.envelope import stamp

if TYPE_CHECKING:
    from handlers.routing import Route
    from handlers.ws.hub import Hub

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Observer:
    """Tornado's ``log_function``. Lines are JSON, gathered and written together, at most ``_DELAY_S`` late."""

    _DELAY_S = 0.05
    _MOST_LINES = 256

    def __init__(self, clock: Clock, stream: TextIO | None = None, registry: CollectorRegistry = REGISTRY) -> None:
        self._clock = clock
        self._stream = stream or sys.stdout
        self._lines: list[bytes] = []
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._requests = Counter(
            "edurise_http_requests_total", "Requests.", ["route", "method", "status"], registry=registry
        )
        self._seconds = Histogram(
            "edurise_http_request_seconds", "Time to answer.", ["route", "method"], buckets=_BUCKETS, registry=registry
        )

    def __call__(self, handler: RequestHandler) -> None:
        request = handler.request
        route: Route | None = getattr(handler, "route", None)
        template = route.template.text if route else "-"
        status, seconds = handler.get_status(), request.request_time()
        method = request.method or "-"
        counter, histogram = self._of(template, method, status)
        counter.inc()
        histogram.observe(seconds)
        who = getattr(handler, "who", None)
        self._write(
            {
                "at": stamp(self._clock.now()),
                "event": "request",
                "request_id": getattr(handler, "request_id", None),
                "method": method,
                "route": template,
                "status": status,
                "ms": round(seconds * 1000, 2),
                "in": getattr(handler, "received_bytes", 0),
                "out": getattr(handler, "sent_bytes", 0),
                "person": getattr(who, "user_id", None),
                "tenant": getattr(who, "wanted", None),
                "ip": getattr(who, "ip", None),
            }
        )

    def flush(self) -> None:
        """Write what is gathered."""
        lines, self._lines = self._lines, []
        if lines:
            self._stream.write(b"".join(lines).decode())
            self._stream.flush()

    def _write(self, line: dict[str, object]) -> None:
        self._lines.append(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
        if len(self._lines) == 1:
            asyncio.get_running_loop().call_later(self._DELAY_S, self.flush)
        elif len(self._lines) >= self._MOST_LINES:
            self.flush()

    def _of(self, template: str, method: str, status: int) -> tuple[Counter, Histogram]:
        label = method if method in _METHODS else "other"  # methods are the client's words
        key = (template, label, status)
        found = self._children.get(key)
        if found is None:
            found = self._children[key] = (
                self._requests.labels(template, label, str(status)),
                self._seconds.labels(template, label),
            )
        return found


_SOCKETS = Gauge("edurise_sockets", "Open sockets of this process.")
_FOLLOWED = Gauge("edurise_followed_channels", "Channels that sockets of this process follow.")
_DELIVERIES = Gauge("edurise_deliveries", "Deliveries that need a look: dead, or overdue by a minute.", ["state"])


async def observe_state(c: Container, hub: Hub) -> None:
    """Set what is asked for, not counted, at each scrape; the database's part is left out while it is away."""
    _SOCKETS.set(len(hub.crowd))
    _FOLLOWED.set(hub.topics)
    try:
        found = await c.db.system(deliveries.counts)
    except DomainError:
        return
    for state, count in found.items():
        _DELIVERIES.labels(state).set(count)
