"""Google's token-information and user-information endpoints, as far as they are asked; hostile where told to be."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

CLIENT_ID = "edurise-tests.apps.example"


@dataclass
class Google:
    """Knows tokens. ``fault`` is what it does instead of answering: a status, ``nonsense``, ``huge`` or ``slow``."""

    tokens: dict[str, dict[str, Any]] = field(default_factory=dict)
    fault: int | str | None = None
    asked: list[str] = field(default_factory=list)
    base_url: str = ""

    def account(self, token: str, **claims: Any) -> None:
        """A token of somebody; ``claims`` replace those of a good one, None leaves one out."""
        good = {
            "aud": CLIENT_ID,
            "azp": CLIENT_ID,
            "sub": f"google-{token}",
            "email": f"{token}@example.org",
            "email_verified": "true",
            "expires_in": "3599",
            "given_name": "Ada",
            "family_name": "Byron",
        }
        self.tokens[token] = {name: value for name, value in (good | claims).items() if value is not None}

    def start(self) -> HTTPServer:
        """Listen on a free port of loopback."""
        (bound,) = bind_sockets(0, "127.0.0.1")
        self.base_url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        server = HTTPServer(
            Application([("/tokeninfo", _TokenInfo, {"google": self}), ("/userinfo", _UserInfo, {"google": self})])
        )
        server.add_socket(bound)
        return server


class _Handler(RequestHandler):
    def initialize(self, google: Google) -> None:
        self.google = google

    async def answer(self, token: str, names: tuple[str, ...]) -> None:
        self.google.asked.append(self.request.uri or "")
        fault = self.google.fault
        if fault == "slow":
            await asyncio.sleep(2)
        if isinstance(fault, int):
            self.set_status(fault)
            return
        found = self.google.tokens.get(token)
        if fault == "nonsense":
            self.write("<html>")
        elif fault == "huge":
            self.write("x" * 600_000)
        elif found is None:
            self.set_status(400)
            self.write({"error": "invalid_token"})
        else:
            self.write(json.dumps({name: found[name] for name in names if name in found}))


class _TokenInfo(_Handler):
    async def post(self) -> None:
        names = ("aud", "azp", "sub", "email", "email_verified", "expires_in")
        await self.answer(self.get_body_argument("access_token", ""), names)


class _UserInfo(_Handler):
    async def get(self) -> None:
        token = self.request.headers.get("Authorization", "").removeprefix("Bearer ")
        await self.answer(token, ("sub", "given_name", "family_name"))
