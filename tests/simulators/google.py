"""Google's token-information and userinfo endpoints. A token says itself what the two answer: ``token(...)`` makes one.

What goes wrong is in the token: ``status`` of the token information, ``silent``, another audience, an expiry.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from edurise.ports import Clock

CLIENT_ID = "1234-tests.apps.googleusercontent.com"


class GoogleSimulator:
    """Both endpoints on one port of 127.0.0.1: ``/tokeninfo`` and ``/userinfo``."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.asked: Counter[str] = Counter()
        self.queries: list[str] = []
        self._gone = asyncio.Event()

    async def start(self, port: int = 0) -> None:
        """Listen; port 0 takes a free one."""
        routes = [(r"/tokeninfo", TokeninfoHandler), (r"/userinfo", UserinfoHandler)]
        application = Application([(path, one, {"sim": self}) for path, one in routes], log_function=lambda _: None)
        sockets = bind_sockets(port, "127.0.0.1")
        self._server = HTTPServer(application)
        self._server.add_sockets(sockets)
        self.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        self._gone.set()
        self._server.stop()
        await self._server.close_all_connections()

    def token(self, subject: str, email: str, **other: Any) -> str:
        """An access token of a person; ``other`` overwrites what the token information says of it."""
        info = {
            "azp": CLIENT_ID,
            "aud": CLIENT_ID,
            "sub": subject,
            "scope": "openid email profile",
            "exp": str(int(self.clock.now().timestamp()) + 3500),
            "email": email,
            "email_verified": "true",
            **other,
        }
        return "ya29." + base64.urlsafe_b64encode(json.dumps(info).encode()).rstrip(b"=").decode()

    async def wait_until_gone(self) -> None:
        """What a silent server does."""
        await self._gone.wait()


def read(token: str) -> dict[str, Any] | None:
    try:
        return json.loads(base64.urlsafe_b64decode(token.removeprefix("ya29.") + "=="))
    except ValueError:
        return None


class _Handler(RequestHandler):
    def initialize(self, sim: GoogleSimulator) -> None:
        self.sim = sim

    def prepare(self) -> None:
        self.sim.asked[self.request.path] += 1
        self.sim.queries.append(self.request.query)


class TokeninfoHandler(_Handler):
    async def post(self) -> None:
        info = read(self.get_body_argument("access_token"))
        if info is None or info.get("status"):
            self.set_status(400 if info is None else info["status"])
            self.finish({"error": "invalid_token", "error_description": "Invalid Value"})
            return
        if info.get("silent"):
            await self.sim.wait_until_gone()
        self.finish(info)


class UserinfoHandler(_Handler):
    def get(self) -> None:
        info = read(self.request.headers.get("Authorization", "").removeprefix("Bearer ")) or {}
        names = {"given_name": "Katherine", "family_name": "Elsewhere", "name": "Katherine Elsewhere"}
        self.finish({"sub": info.get("other_sub", info["sub"]), "email": info["email"], **names})
