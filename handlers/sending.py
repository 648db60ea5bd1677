"""Answers that are bytes of files: their headers, and the body by whichever way was decided on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import Any, cast

import structlog
from tornado.httputil import format_timestamp

from edurise.adapters.zip_stream import archive_bytes, zipped
from edurise.errors import Upstream
from edurise.files import naming
from edurise.files.flows.serving import Sending, content_type, store_of
from edurise.files.flows.zipping import Member
from edurise.files.ports import ObjectMissing, StoreUnavailable
from edurise.files.ranges import Asked
from handlers.base import RestHandler
from handlers.bytes_out import ClientGone, Outlet, open_file

LOG = structlog.get_logger("edurise.web")
Work = Callable[[Outlet], Coroutine[Any, Any, None]]

_FOR_GOOD_S = 31_536_000
_FOR_GOOD = f"public, max-age={_FOR_GOOD_S}, immutable"
_ASK_AGAIN = "private, no-cache"
_NOTHING = "default-src 'none'; sandbox"
# A browser's own player asks for the file again, from the page that it made; without an origin it may not.
_PLAYER = "default-src 'none'; media-src 'self'; style-src 'unsafe-inline'; sandbox allow-same-origin"
_POLICIES = {
    "application/pdf": "default-src 'none'; object-src 'self'; style-src 'unsafe-inline'",
    "image": "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; sandbox",
    "video": _PLAYER,
    "audio": _PLAYER,
}


class SendingHandler(RestHandler):
    """Verbs await ``send_file`` or ``send_archive``, which see to everything."""

    _outlet: Outlet | None = None

    @property
    def asked(self) -> Asked:
        """What this request says about parts and conditions."""
        given = self.request.headers.get
        return Asked(
            method=self.request.method or "",
            range=given("Range"),
            if_range=given("If-Range"),
            if_match=given("If-Match"),
            if_none_match=given("If-None-Match"),
            if_modified_since=given("If-Modified-Since"),
            if_unmodified_since=given("If-Unmodified-Since"),
        )

    async def send_file(self, found: Sending) -> None:
        """Send it the way that was decided on. Raises Upstream (STORE_UNAVAILABLE) as long as nothing was sent."""
        if found.way == "redirect":
            self.set_header("Cache-Control", "no-store")
            self.set_header("Referrer-Policy", "no-referrer")
            self.clear_header("Content-Type")
            self.redirect(found.location, status=302)
            return
        async with AsyncExitStack() as opened:
            work = await self._opened(found, opened)  # what is missing is told while there is a status to tell it by
            self._announce(found)
            if work is None:
                self.finish()
            else:
                await self._send(work)

    async def send_archive(self, members: Sequence[Member], name: str) -> None:
        """Send these files as one archive."""
        self.set_header("Content-Type", "application/zip")
        self.set_header("Content-Disposition", naming.disposition("attachment", name))
        self.set_header("Content-Security-Policy", _NOTHING)
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Length", str(archive_bytes(members)))
        async with aclosing(zipped(members)) as archive:
            await self._send(lambda outlet: _pump(outlet, archive))

    def on_connection_close(self) -> None:
        super().on_connection_close()
        if self._outlet is not None:
            self._outlet.drop()

    def _announce(self, found: Sending) -> None:
        """Every header of an answer with bytes of a file, or of what would be one."""
        file, plan = found.file, found.plan
        self.set_status(200 if found.way == "accel" else plan.status)
        self.set_header("ETag", f'"{file.etag}"')
        self.set_header("Last-Modified", format_timestamp(file.modified_at))
        self.set_header("Cache-Control", self._caching(found))
        self.set_header("Vary", "Origin")
        self.set_header("Content-Type", content_type(file.media_type))
        self.set_header("Content-Disposition", naming.disposition(file.disposition, file.name))
        self.set_header("Content-Security-Policy", policy_of(file.media_type))
        self.set_header("Cross-Origin-Resource-Policy", self._resource_policy(found))
        if found.reach == "link":
            self.set_header("Referrer-Policy", "no-referrer")
        if found.way == "accel":
            self.set_header("X-Accel-Redirect", found.location)  # whoever reads that says what follows, too
            return
        self.set_header("Accept-Ranges", "bytes")
        if plan.status == 206:
            self.set_header("Content-Range", plan.content_range)
        if plan.status != 304:
            self.set_header("Content-Length", str(plan.length))

    def _caching(self, found: Sending) -> str:
        """A public file may be kept for good, but no longer than it is available."""
        if found.reach != "public":
            return _ASK_AGAIN
        if found.file.expires_at is None:
            return _FOR_GOOD
        left = int((found.file.expires_at - self.c.clock.now()).total_seconds())
        return f"public, max-age={max(0, min(left, _FOR_GOOD_S))}"

    def _resource_policy(self, found: Sending) -> str:
        """Who may embed it. A signed link is shown by the pages that it was made for, which may be elsewhere."""
        if found.reach == "public" or (found.reach == "link" and self.c.settings.cors_origins):
            return "cross-origin"
        return "same-origin"

    async def _opened(self, found: Sending, opened: AsyncExitStack) -> Work | None:
        """What sends the body, if there is one; ``opened`` closes what it reads."""
        file, plan = found.file, found.plan
        if found.way in ("nothing", "accel") or plan.length == 0:
            return None
        try:
            if found.path is not None and Outlet(self).takes_files:
                plain = await open_file(found.path, file.size, plan.start, plan.length)
                opened.callback(plain.close)
                return lambda outlet: outlet.send_file(plain)
            source = store_of(self.c, file.store).read(file.key, plan.start, plan.length)
            await opened.enter_async_context(aclosing(cast("AsyncGenerator[bytes]", source)))
            first = await anext(source)
        except (StoreUnavailable, ObjectMissing) as failed:
            LOG.exception("a file cannot be read", request_id=self.request_id, file=str(file.file_id))
            raise Upstream("STORE_UNAVAILABLE") from failed
        return lambda outlet: _pump(outlet, source, first)

    async def _send(self, work: Work) -> None:
        outlet = self._outlet = Outlet(self)
        try:
            await outlet.perform(work(outlet))
        except ClientGone:
            pass
        except Exception:  # the client notices by the connection, which was closed
            LOG.exception("a body broke off", request_id=self.request_id, sent=outlet.sent)
        finally:
            self.sent_bytes = outlet.sent
        self.finish()


def policy_of(media_type: str) -> str:
    """What a page that a browser makes of these bytes may do: nothing, but show them. A viewer of PDF bears no
    sandbox."""
    return _POLICIES.get(media_type) or _POLICIES.get(media_type.partition("/")[0], _NOTHING)


async def _pump(outlet: Outlet, source: AsyncIterator[bytes], first: bytes = b"") -> None:
    await outlet.write(first)
    async for piece in source:
        await outlet.write(piece)
