"""The contract for programs (``/api/v1/openapi.json``) and for people (``/docs``), without a foreign request.

Both are bytes made once; the document is ``Edge.docs``.
The page is swagger-ui-dist 5.35.0 (Apache-2.0), vendored in ``static/swagger``.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import orjson
from tornado.web import HTTPError

from handlers.envelope import accepts_gzip
from handlers.guards import describe, public
from handlers.openapi import document
from handlers.refusals import RefusingHandler
from handlers.routing import Aliases, Route, Routes

_FOLDER = Path(__file__).resolve().parent / "static" / "swagger"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
}
_PAGE = "index.html"
_ASSETS = ("init.js", "swagger-ui-bundle.js", "swagger-ui.css")
CONTENT_SECURITY_POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'"


@dataclass(frozen=True)
class Prepared:
    """Bytes, their gzip twin, and their strong ETag."""

    body: bytes
    compressed: bytes
    etag: str
    content_type: str


@lru_cache(maxsize=8)
def _prepared(body: bytes, content_type: str) -> Prepared:
    return Prepared(body, gzip.compress(body, 6, mtime=0), f'"{hashlib.sha256(body).hexdigest()[:32]}"', content_type)


def prepare(routes: Routes, aliases: Aliases, version: str) -> bytes:
    """The OpenAPI document as it is served; raises RouteError as :func:`handlers.openapi.document` does."""
    return orjson.dumps(document(routes, aliases, version))


@cache
def _asset(name: str) -> Prepared:
    path = _FOLDER / name
    return _prepared(path.read_bytes(), _TYPES[path.suffix])


class _FinishedHandler(RefusingHandler):
    """Sends prepared bytes, compressed for who accepts it, or 304."""

    def initialize(self, route: Route) -> None:
        self.route = route

    def send_prepared(self, found: Prepared) -> None:
        # A twin has an ETag of its own: they are different bytes.
        zipped = accepts_gzip(self.request.headers.get("Accept-Encoding", ""))
        etag = f'{found.etag[:-1]}-gzip"' if zipped else found.etag
        self.set_header("ETag", etag)
        self.set_header("Cache-Control", "no-cache")
        self.set_header("Content-Type", found.content_type)
        if self.check_etag_header():
            self.set_status(304)
            return
        if zipped:
            self.set_header("Content-Encoding", "gzip")
        self.write(found.compressed if zipped else found.body)


class OpenApiHandler(_FinishedHandler):
    """The document."""

    @public(cache=True)
    @describe(
        summary="This document",
        tags=("system",),
        shape="bytes",
        produces="application/json",
        limited=False,
    )
    async def get(self) -> None:
        self.send_prepared(_prepared(self.settings["edge"].docs, "application/json"))


class DocsPageHandler(_FinishedHandler):
    """The page that shows the document."""

    @public(cache=True)
    @describe(
        summary="The API documentation as a page",
        tags=("system",),
        shape="bytes",
        produces="text/html",
        limited=False,
    )
    async def get(self) -> None:
        self.set_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        self.set_header("Referrer-Policy", "no-referrer")
        self.send_prepared(_asset(_PAGE))


class DocsAssetHandler(_FinishedHandler):
    """A file of the page."""

    @public(cache=True)
    @describe(
        summary="A file of the documentation page",
        tags=("system",),
        shape="bytes",
        produces="text/*",
        limited=False,
    )
    async def get(self, **path: Any) -> None:
        if path["name"] not in _ASSETS:
            raise HTTPError(404)
        self.send_prepared(_asset(path["name"]))


routes: Routes = [
    ("/api/v1/openapi.json", OpenApiHandler),
    ("/docs", DocsPageHandler),
    ("/docs/", DocsPageHandler),
    ("/docs/{name:text}", DocsAssetHandler),
]
aliases: Aliases = []
