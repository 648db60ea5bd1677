"""A client of the API as browsers are: JSON in, JSON out, nothing raised for a refusal."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Self

from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.httputil import HTTPHeaders

from tests.harness.conformance import faults

AsyncHTTPClient.configure(None, max_clients=100)


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: HTTPHeaders
    content: bytes

    @property
    def body(self) -> dict[str, Any]:
        """The whole JSON body."""
        return json.loads(self.content)

    @property
    def data(self) -> Any:
        """The body's ``data``."""
        return self.body["data"]

    @property
    def code(self) -> str | None:
        """The error code."""
        return self.body.get("code")


class Client:
    """Calls one server, as one person or as nobody."""

    def __init__(self, base_url: str, token: str | None = None, headers: dict[str, str] | None = None) -> None:
        self.base_url = base_url
        self.token = token
        self.headers = headers or {}

    def as_(self, token: str | None, **headers: str) -> Self:
        """The same server as somebody else; ``X_Tenant_ID`` becomes ``X-Tenant-ID``."""
        return type(self)(self.base_url, token, {name.replace("_", "-"): value for name, value in headers.items()})

    def at(self, base_url: str) -> Self:
        """The same person at another server."""
        return type(self)(base_url, self.token, self.headers)

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.call("GET", path, headers=headers)

    async def post(self, path: str, data: Any = None, **headers: str) -> Answer:
        return await self.call("POST", path, {} if data is None else data, headers=headers)

    async def patch(self, path: str, data: Any, **headers: str) -> Answer:
        return await self.call("PATCH", path, data, headers=headers)

    async def call(
        self,
        method: str,
        path: str,
        data: Any = None,
        *,
        raw: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """One request, whose answer must be as declared. ``raw`` is sent as it is, whatever its content type says."""
        answer = await self.exchange(method, path, data, raw=raw, headers=headers)
        wrong = faults(method, path, answer.status, answer.headers, answer.content)
        told = f"{method} {path} answers {answer.status} against its declaration: {wrong}\n{answer.content[:2000]!r}"
        assert not wrong, told
        return answer

    async def exchange(
        self,
        method: str,
        path: str,
        data: Any = None,
        *,
        raw: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """The same without a look at the answer."""
        sent = {"Content-Type": "application/json"} if data is not None or raw is not None else {}
        sent |= self.headers | {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        if self.token:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        body = raw if raw is not None else (None if data is None else json.dumps(data).encode())
        request = HTTPRequest(
            self.base_url + path,
            method,
            HTTPHeaders(sent),
            body,
            allow_nonstandard_methods=True,
            follow_redirects=False,
            decompress_response=False,
            request_timeout=20,
        )
        found = await AsyncHTTPClient().fetch(request, raise_error=False)
        return Answer(found.code, found.headers, found.body or b"")


class PlainClient(Client):
    """Calls what is no web process of ours, or what stands before one and answers in its place while it is away."""

    async def call(self, *what: Any, **how: Any) -> Answer:
        return await self.exchange(*what, **how)
