"""How every REST answer begins and every refusal looks: headers, error envelope, what is logged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog
from tornado.web import HTTPError, RequestHandler
from uuid_utils.compat import uuid7

from edurise.container import Container
from edurise.errors import DomainError
from edurise.texts.catalogue import negotiate
from handlers.edge import Edge
from handlers.envelope import COMPRESS_FROM, Finished, accepts_gzip, dumps, gzip_once, stamp
from handlers.statuses import OF_STATUS, STATUS, error_body, headers_of

if TYPE_CHECKING:
    from handlers.routing import Route

LOG = structlog.get_logger("edurise.web")
_ALLOWED_HEADERS = (
    "authorization, content-type, x-tenant-id, x-request-id, idempotency-key, if-none-match, range, if-range, "
    "tus-resumable, upload-length, upload-metadata, upload-offset, upload-checksum"
)
_EXPOSED_HEADERS = (
    "Accept-Ranges, Content-Disposition, Content-Length, Content-Range, "
    "ETag, Location, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After, X-Request-ID, "
    "Tus-Resumable, Tus-Version, Tus-Extension, Tus-Max-Size, Tus-Checksum-Algorithm, Upload-Offset, Upload-Length, "
    "Upload-Expires, Upload-Metadata"
)


class RefusingHandler(RequestHandler):
    """Answers with the envelope, refusals included. ``route`` is set by RestHandler."""

    route: Route | None = None
    sent_bytes = 0

    @property
    def c(self) -> Container:
        """The container of this process."""
        found: Container = self.application.settings["container"]
        return found

    @property
    def edge(self) -> Edge:
        """What this web process holds for itself."""
        found: Edge = self.application.settings["edge"]
        return found

    def set_default_headers(self) -> None:
        """Set again by Tornado before each error, so that a browser can read those across origins too."""
        headers = self.request.headers
        self.clear_header("Server")
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.set_header("X-Content-Type-Options", "nosniff")
        given = headers.get("X-Request-ID", "")
        self.request_id = given if 0 < len(given) <= 64 and given.isascii() and given.isprintable() else str(uuid7())
        self.set_header("X-Request-ID", self.request_id)
        self.set_header("Vary", "Origin, Accept-Encoding, Accept-Language")
        origin = headers.get("Origin")
        if origin and origin in self.c.settings.cors_origins:
            self.set_header("Access-Control-Allow-Origin", origin)
            self.set_header("Access-Control-Expose-Headers", _EXPOSED_HEADERS)
            if self.request.method == "OPTIONS":
                self.set_header("Access-Control-Allow-Headers", _ALLOWED_HEADERS)
                self.set_header("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
                self.set_header("Access-Control-Max-Age", "600")

    def options(self, **_: object) -> None:
        """What the path answers, and for a browser's preflight the CORS headers above."""
        self.set_status(204)
        self.clear_header("Content-Type")
        if self.route is not None:
            self.set_header("Allow", ", ".join(self.route.allow))

    @property
    def language(self) -> str:
        """The language of this answer, by Accept-Language."""
        return negotiate(self.request.headers.get("Accept-Language"))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """The error envelope. What is neither a DomainError nor HTTP's is 500 and our own fault; its text stays in the
        log."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        at = stamp(self.c.clock.now())
        if isinstance(error, DomainError):
            self.set_status(STATUS[error.kind])
            for name, value in headers_of(error).items():
                self.set_header(name, value)
            body = error_body(error.code, error.params, error.errors, self.language, at)
        else:
            body = error_body(OF_STATUS.get(status_code, f"HTTP_{status_code}"), {}, {}, self.language, at)
        if status_code == 405 and self.route is not None:
            self.set_header("Allow", ", ".join(self.route.allow))
        self.send(Finished(self.get_status(), dumps(body), ""))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """A refusal is the caller's affair and stands in the access line; anything else is logged with its
        traceback."""
        if isinstance(value, (DomainError, HTTPError)):
            return
        LOG.error("unexpected", request_id=self.request_id, exc_info=(typ, value, tb))

    def send(self, finished: Finished) -> None:
        """Write a finished answer: 304 if the client has it, compressed if that is worth it and wanted."""
        self.set_status(finished.status)
        body = finished.body
        self.set_header("Cache-Control", "private, no-cache" if self.request.method == "GET" else "no-store")
        if finished.etag and self.request.method == "GET":
            self.set_header("ETag", finished.etag)
            if self.check_etag_header():
                self.set_status(304)
                self.finish()
                return
        if len(body) > COMPRESS_FROM and accepts_gzip(self.request.headers.get("Accept-Encoding", "")):
            body = finished.twin or gzip_once(body)
            self.set_header("Content-Encoding", "gzip")
        self.sent_bytes = len(body)
        self.finish(body)

    def compute_etag(self) -> str | None:
        """Set by ``send`` where there is one; Tornado's own would hash the timestamp too."""
        return None
