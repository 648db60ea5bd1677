"""What every socket does: who is there, what may come in, and in what order it is worked on.

Nothing is awaited inside ``on_message``: until it returns Tornado reads no further frame, pongs included. A frame is
checked, put in the socket's queue, and worked on by one task that exists only while there is something to do.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, ClassVar, cast
from urllib.parse import urlsplit
from uuid import UUID

import orjson
from tornado.websocket import WebSocketHandler

from edurise.authz import Permission, Principal
from edurise.errors import DomainError, Kind, Limited, Unauthenticated
from edurise.identity import liveness
from edurise.identity.tokens import Claims
from handlers.callers import address
from handlers.guards import guard_of
from handlers.ws.frames import CLOSE_OF, Close, control_frame
from handlers.ws.hub import Hub, SocketContainer
from handlers.ws.peer import SESSION, Manner, Peer
from handlers.ws.wire import Wire

log = logging.getLogger(__name__)

Frame = dict[str, Any]
Job = Callable[[], Awaitable[None]]

WAITING = 64
"""Frames of one socket that may wait to be worked on."""
LONGEST_REF = 64


class SocketHandler(WebSocketHandler):
    """A socket of a known person. Subclasses declare ``@permit``, begin in ``opened`` and work by ``job_of``."""

    manner: ClassVar[Manner] = SESSION
    leeway_s: ClassVar[float] = 0
    """How long past its expiry a token is accepted, if its session lives."""

    peer: Peer | None = None
    who: Principal
    _jobs: deque[tuple[Job, object]] | None = None
    _foreign = False
    _tokens_left = 0.0
    _counted_at = 0.0

    def initialize(self, route: object = None) -> None:
        """Take what the route table passes to every handler."""
        self.route = route

    # For subclasses

    async def opened(self) -> None:
        """Greet and begin; raises a DomainError to refuse the socket."""

    def job_of(self, frame: Frame) -> Job | None:
        """The work that a frame asks for, or None for a type that is not known."""
        del frame
        return None

    def send(self, type: str, data: Mapping[str, object], **position: object) -> None:  # noqa: A002 - the frame's own word
        """Send a frame that is no stored event."""
        if self.peer is not None:
            flat = self.manner.flat
            self.peer.wire.send(control_frame(type, data, self.hub.now(), flat=flat, **position))

    def asked(self, name: str) -> str:
        """A parameter of the query, empty if it is absent; what is no UTF-8 becomes text that no check accepts."""
        return self.request.query_arguments.get(name, [b""])[-1].decode(errors="replace")

    def position(self, prefix: str = "") -> tuple[int | None, UUID | None]:
        """(offset, epoch) of the query; None for what is absent or is no position, as of one that has nothing yet."""
        offset, epoch = self.asked(f"{prefix}offset"), self.asked(f"{prefix}epoch")
        after = int(offset) if offset.isascii() and offset.isdigit() and len(offset) < 19 else None
        return after, uuid_or_none(epoch)

    @property
    def hub(self) -> Hub:
        return cast("Hub", self.settings["hub"])

    @property
    def c(self) -> SocketContainer:
        return self.hub.c

    @property
    def needs(self) -> Permission:
        """The permission declared on the class."""
        guard = guard_of(type(self), "GET")
        if guard is None:
            raise TypeError(f"{type(self).__name__} lacks permit()")
        return guard.permission

    # Opening

    @property
    def max_message_size(self) -> int:
        """Above this Tornado reads no further and drops the connection; up to it the client is told, with 4413."""
        return 4 * self.c.settings.frame_limit_bytes

    @property
    def ping_interval(self) -> float:
        return 0  # the hub has one timer for all

    def get_compression_options(self) -> None:
        return None  # 159 instead of 14 KiB for each socket

    def check_origin(self, origin: str) -> bool:
        """Let a foreign page's handshake through, to close it with a code that can be read; a refused one looks like a
        failure of the network and is tried again and again."""
        settings = self.c.settings
        allowed = {_origin(url) for url in (*settings.cors_origins, settings.ui_url, settings.public_url) if url}
        self._foreign = _origin(origin) not in allowed
        return True

    def open(self, *_args: str, **_kwargs: str) -> None:
        """Decide origin and identity before any work, then open in the queue of the socket's own work."""
        self.set_nodelay(True)
        wire = Wire(self, self.c.settings.socket_backlog_frames, self._slow)
        try:
            claims = self.c.tokens.verify(self.asked("token"), leeway_s=self.leeway_s)
        except Unauthenticated as refused:
            wire.close(Close.UNAUTHENTICATED, refused.code)
            return
        peer = Peer(wire, self.manner, claims.user_id, claims.session_id, claims.expires_at)
        if self.hub.draining:
            peer.shed(Close.RESTART, "restart")
        elif self._foreign:
            peer.refuse(Close.FORBIDDEN, "ORIGIN_NOT_ALLOWED")
        elif not self.hub.crowd.has_room_for(peer.person_id):
            peer.refuse(Close.TOO_MANY, "TOO_MANY_SOCKETS")
        else:
            self.peer = peer
            self._tokens_left = self.c.settings.frames_per_s
            self._counted_at = self._time()
            self.who = self._principal(claims)
            self.hub.crowd.add(peer)
            self._do(partial(self._begin, claims.tenant_id), None)

    async def _begin(self, home: UUID | None) -> None:
        """``home``: the organization of the token, in whose plan the socket counts; not one that a query may name."""
        peer = self.peer
        if peer is None:
            return
        try:
            if peer.expires_at <= self.hub.now() and not await self.c.db.system(liveness.lives, peer.session_id):
                raise Unauthenticated("TOKEN_EXPIRED")
            if home is not None:
                await self.hub.places.enter(peer, home)
            await self.opened()
            self._forget_query()
        except DomainError as refused:
            if refused.kind in (Kind.OVERLOADED, Kind.UPSTREAM):
                peer.shed(CLOSE_OF[refused.kind], refused.code)
            else:
                peer.refuse(CLOSE_OF[refused.kind], refused.code)

    def _forget_query(self) -> None:
        """Let go of the query, which holds the token four times: an eighth of an idle socket."""
        request = self.request
        request.arguments = request.query_arguments = request.body_arguments = {}
        request.uri, request.query = request.path, ""

    def _principal(self, claims: Claims) -> Principal:
        """The caller; ``tenant`` of the query counts as a wish, as the tenant header does on public routes."""
        asked = None if claims.pinned else uuid_or_none(self.asked("tenant"))
        return Principal(
            user_id=claims.user_id,
            session_id=claims.session_id,
            version=claims.version,
            wanted=asked or claims.tenant_id,
            needs=self.needs,
            ip=address(self.request, self.c.settings.trusted_proxies),
            user_agent=self.request.headers.get("User-Agent", ""),
            only=claims.only,
        )

    # Frames

    def on_message(self, message: str | bytes) -> None:
        """Check the frame, hand it on, and return."""
        peer = self.peer
        if peer is None or peer.closed:
            return
        peer.heard = True
        if not self._within_rate():
            peer.refuse(Close.TOO_MANY, "TOO_MANY_FRAMES")
            return
        if exceeds(message, self.c.settings.frame_limit_bytes):
            peer.refuse(Close.TOO_BIG, "FRAME_TOO_LARGE")
            return
        frame = parse(message)
        if frame is None:
            peer.refuse(Close.BAD_FRAME, "FRAME_INVALID")
            return
        self._receive(peer, frame)

    def on_pong(self, data: bytes) -> None:
        del data
        if self.peer is not None:
            self.peer.heard = True

    def on_ping(self, data: bytes) -> None:
        del data
        if self.peer is not None:
            self.peer.heard = True

    def on_close(self) -> None:
        if self.peer is not None:
            self.hub.remove(self.peer)

    def _receive(self, peer: Peer, frame: Frame) -> None:
        if frame["type"] == "ping":
            sent = frame.get("data")
            echo = sent.get("timestamp") if isinstance(sent, dict) else None
            self.send("pong", {"timestamp": echo} if type(echo) is int else {})
            return
        ref = frame.get("ref")
        if not (ref is None or type(ref) is int or (isinstance(ref, str) and len(ref) <= LONGEST_REF)):
            peer.refuse(Close.BAD_FRAME, "FRAME_INVALID")
            return
        job = self.job_of(frame)
        if job is None:
            self._error("FRAME_UNKNOWN", ref)
        elif self._jobs is not None and len(self._jobs) >= WAITING:
            peer.refuse(Close.TOO_MANY, "TOO_MANY_FRAMES")
        else:
            self._do(job, ref)

    def _within_rate(self) -> bool:
        """A bucket of one second's worth of frames, which fills as they are allowed."""
        now, rate = self._time(), self.c.settings.frames_per_s
        self._tokens_left = min(rate, self._tokens_left + (now - self._counted_at) * rate) - 1
        self._counted_at = now
        return self._tokens_left >= 0

    def _do(self, job: Job, ref: object) -> None:
        if self._jobs is not None:
            self._jobs.append((job, ref))
            return
        self._jobs = deque([(job, ref)])
        self.hub.spawn(self._work(self._jobs))

    async def _work(self, jobs: deque[tuple[Job, object]]) -> None:
        """Work on this socket's frames one after the other; ends when none is left."""
        peer = self.peer
        try:
            while jobs and peer is not None and not peer.closed:
                job, ref = jobs.popleft()
                try:
                    async with self.hub.turns:
                        await job()
                except Unauthenticated as refused:
                    peer.refuse(Close.UNAUTHENTICATED, refused.code)
                except DomainError as refused:
                    self._error(refused.code, ref, refused)
        except Exception:
            log.exception("a frame on %s failed", self.request.path)
            if peer is not None:
                peer.shed(Close.INTERNAL, "INTERNAL_ERROR")
        finally:
            self._jobs = None

    def _error(self, code: str, ref: object, refused: DomainError | None = None) -> None:
        told: dict[str, object] = {"code": code}
        if refused is not None and refused.params:
            told["params"] = {name: str(value) for name, value in refused.params.items()}
        if isinstance(refused, Limited) and refused.retry_after_s is not None:
            told["retry_after_s"] = refused.retry_after_s
        if ref is not None:
            told["ref"] = ref
        self.send("error", told)

    def _slow(self) -> None:
        if self.peer is not None:
            self.hub.crowd.end_slow(self.peer)

    @staticmethod
    def _time() -> float:
        return time.monotonic()


def parse(message: str | bytes) -> Frame | None:
    """The frame of a text message, or None: it must be a JSON object with a string under ``type``."""
    if isinstance(message, bytes):
        return None
    try:
        frame = orjson.loads(message)
    except orjson.JSONDecodeError:
        return None
    return frame if isinstance(frame, dict) and isinstance(frame.get("type"), str) else None


def exceeds(message: str | bytes, limit: int) -> bool:
    """Whether the message has more than ``limit`` bytes, without encoding it where its length says enough."""
    if len(message) > limit:
        return True
    return isinstance(message, str) and len(message) * 4 > limit and len(message.encode()) > limit


def uuid_or_none(text: object) -> UUID | None:
    """A UUID, or None for anything else."""
    if not isinstance(text, str) or len(text) != 36:
        return None
    try:
        return UUID(text)
    except ValueError:
        return None


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme.lower(), parts.netloc.lower()
