"""The web application: every route, looked up once per request, and the HTTP server around it."""

from __future__ import annotations

import asyncio
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest
from tornado.web import Application

from edurise.adapters.limiters import ProcessLimiter
from edurise.container import Container
from handlers import ai, courses, docs, enrollments, health, live, notifications, payments, privacy
from handlers.analytics import organizations as figured_organizations
from handlers.analytics import profiles as figured_profiles
from handlers.caching import PublicCache
from handlers.edge import Edge
from handlers.files import applications, direct, pictures, tus
from handlers.files import bulk as file_bulk
from handlers.files import categories as file_categories
from handlers.files import downloads as file_downloads
from handlers.files import sharing as file_sharing
from handlers.files import uploads as file_uploads
from handlers.guards import check_all
from handlers.identity import (
    accounts,
    addresses,
    elsewhere,
    invitations,
    passwords,
    people,
    profiles,
    providers,
    second_factor,
)
from handlers.identity import keys as signing_keys
from handlers.identity import sessions as own_sessions
from handlers.observing import Observer
from handlers.organizations import choosing, managing
from handlers.refusals import RefusingHandler
from handlers.routing import Aliases, Routes
from handlers.ws import ai as tutor_socket
from handlers.ws import live_class as class_doors
from handlers.ws import notifications as notifications_door
from handlers.ws import session as session_socket
from handlers.ws.hub import Hub
from handlers.ws.register import Register

VERSION = "0.1.0"
_FILES = (file_uploads, file_sharing, file_bulk, file_categories, file_downloads, tus, direct, applications, pictures)
_OWN = (accounts, passwords, addresses, second_factor, own_sessions, signing_keys, profiles, privacy)
_ACCOUNTS = (*_OWN, elsewhere, providers, people, invitations)
_ORGANIZATIONS = (choosing, managing, figured_organizations, figured_profiles)
_REST = (health, docs, *_ACCOUNTS, *_ORGANIZATIONS, *_FILES, courses, enrollments, payments, notifications, ai, live)
_SOCKETS = (notifications_door, class_doors, tutor_socket, session_socket)
ROUTES: Routes = [route for module in (*_REST, *_SOCKETS) for route in module.routes]
ALIASES: Aliases = [alias for module in _REST for alias in module.aliases]
_HEADER_BYTES = 32 * 1024
STORING_S = 2.0
"""Of the time to drain in, what is kept for storing when sockets are slow to go."""


class UnknownPathHandler(RefusingHandler):
    """What no route matches."""

    def prepare(self) -> None:
        self.send_error(404)


class WebApplication(Application):
    """Tornado's application with the route table in the place of its list of rules."""

    def __init__(self, c: Container, observer: Observer, hub: Hub) -> None:
        self.table = check_all(ROUTES, ALIASES)
        self.hub = hub
        self.register = Register(hub)
        self.edge = Edge(
            cache=PublicCache(c.settings.cache_s),
            public_limit=ProcessLimiter(c.settings.public_reads_per_min, c.clock),
            observer=observer,
            docs=docs.prepare(ROUTES, ALIASES, VERSION),
        )
        super().__init__(
            container=c,
            edge=self.edge,
            hub=hub,
            register=self.register,
            log_function=observer,
            websocket_max_message_size=c.settings.frame_limit_bytes,
        )

    async def drain(self, seconds: float) -> None:
        """Send the sockets away, let requests finish, and store whose attendance ended so: all within ``seconds``."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        kept = min(STORING_S, seconds / 4)
        await asyncio.gather(self.hub.drain(seconds - kept), self.edge.finish_requests(seconds - kept))
        await self.register.flush(until - loop.time())

    def find_handler(self, request: HTTPServerRequest, **_kwargs: Any) -> Any:
        found = self.table.find_for(request)
        if found is None:
            return self.get_handler_delegate(request, UnknownPathHandler)
        route, values = found
        return self.get_handler_delegate(
            request,
            route.handler,
            {"route": route},
            path_kwargs={name: value.encode() for name, value in values.items()},
        )


def serve(application: WebApplication, body_limit_bytes: int) -> HTTPServer:
    """The HTTP server, not yet listening. Bodies are bounded by handlers; this bound only stops what never ends."""
    return HTTPServer(
        application,
        max_body_size=16 * body_limit_bytes,
        max_header_size=_HEADER_BYTES,
        idle_connection_timeout=75,
        body_timeout=30,
        no_keep_alive=False,
        decompress_request=False,
    )
