"""Runs actors: takes a dispatch, calls the actor, and writes down how it ended before the transport may forget the
message.

An actor works in hops. Its *final* hop marks the delivery done in the same transaction as its effects, so they happen
once however often the message comes. Whatever else ends an actor is a failure, counted in ``deliveries``; the relay
sends it again when its step is over.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar
from uuid import UUID

import structlog
from structlog.contextvars import bound_contextvars

from actors.registry import Actor, Registry
from edurise import deliveries, outbox
from edurise.authz import About, Principal, actor_principal
from edurise.deliveries import AlreadyDone, Failure
from edurise.errors import DomainError, Kind
from edurise.outbox import MalformedEvent
from edurise.ports import Dispatch, Transport

if TYPE_CHECKING:
    from edurise.container import Container

P = ParamSpec("P")
T = TypeVar("T")

LOG = structlog.get_logger("actors")

NEVER_HELPS = frozenset({Kind.INVALID, Kind.OVERSIZE, Kind.MEDIA_TYPE})
"""Kinds of the error tree that repeating cannot help. What may change (not found, conflict, forbidden) an actor
declares itself.
"""

RECORDING_PAUSES_S = (0.1, 0.5, 1.0, 5.0)
"""Pauses between attempts to write a failure down while the database is away; the last one repeats."""


class EventGone(Exception):
    """The event of a delivery is no longer in the outbox."""


class NoFinalHop(RuntimeError):
    """A programming error: an actor returned without its final hop, so nothing says that it is done."""


class _Tenant:
    """The default of ``tenant=``: the event's own organization."""


_OF_THE_EVENT = _Tenant()


class DeliveryHop:
    """What an actor reaches the database by. Exactly one of its hops is final; nothing follows it.

    ``await hop(fn, *args)`` runs ``fn(session, who, *args)`` in the event's organization, or in ``tenant``; ``person``
    sets whose own rows are visible. ``await hop.system(fn, *args)`` runs ``fn(session, *args)`` as the system role.
    """

    def __init__(self, c: Container, dispatch: Dispatch) -> None:
        self._c = c
        self._dispatch = dispatch
        self.is_finished = False

    async def __call__(
        self,
        fn: Callable[Concatenate[Any, Principal, P], T],
        *args: Any,
        final: bool = False,
        tenant: UUID | _Tenant | None = _OF_THE_EVENT,
        person: UUID | None = None,
        about: About | None = None,
        out: Callable[[T], Any] | None = None,
    ) -> Any:
        """One transaction as the application role. Raises AlreadyDone from a final hop if another copy took effect."""
        where = self._dispatch.tenant_id if isinstance(tenant, _Tenant) else tenant
        who = replace(actor_principal(where), user_id=person)
        self._check()
        opening = deliveries.closing(self._dispatch, self._c.clock.now()) if final else None
        result = await self._c.db.run(who, fn, *args, about=about, opening=opening, out=out)
        self.is_finished = final
        return result

    async def system(
        self, fn: Callable[..., T], *args: Any, final: bool = False, out: Callable[[T], Any] | None = None
    ) -> Any:
        """The same as the system role, for what spans organizations."""
        self._check()
        work = deliveries.finishing(self._dispatch, fn) if final else fn
        result = await self._c.db.system(work, *args, out=out)
        self.is_finished = final
        return result

    async def finish(self) -> None:
        """The final hop of an actor whose effects lie outside the database, or that found nothing to do."""
        await self(_nothing, final=True)

    def _check(self) -> None:
        if self.is_finished:
            raise RuntimeError(f"{self._dispatch.actor} goes on after its final hop")


def _nothing(_session: object, _who: Principal) -> None:
    """Leave only the mark."""


@dataclass(frozen=True)
class _End:
    """How a call of an actor failed."""

    error: BaseException
    is_fatal: bool
    not_before_s: float


class Runtime:
    """The consumer. ``Runtime(c, registry).run(transport)`` handles deliveries until it is cancelled."""

    def __init__(self, c: Container, registry: Registry) -> None:
        self._c = c
        self._registry = registry

    async def run(self, transport: Transport) -> None:
        """Consume what is sent to the actors of the registry; on cancellation the transport lets the running ones
        finish.
        """
        await transport.consume(self._registry.names(), self.handle, self.lost)

    async def handle(self, dispatch: Dispatch) -> None:
        """Run the actor once. Returns when the end is written down, whatever it is; is only ever left early by
        cancellation.
        """
        actor = self._registry.get(dispatch.actor)
        if actor is None:
            LOG.warning("no such actor in this version", actor=dispatch.actor, event_id=str(dispatch.event_id))
            return
        with bound_contextvars(actor=actor.name, event_id=str(dispatch.event_id), attempt=dispatch.attempts + 1):
            began = asyncio.get_running_loop().time()
            try:
                await self._call(actor, dispatch)
            except AlreadyDone:
                LOG.debug("delivery was done already")
            except Exception as error:  # noqa: BLE001 - whatever an actor raises ends in deliveries, and is logged there
                await self._record(dispatch, _end(actor, error))
            else:
                LOG.debug("delivery done", ms=round((asyncio.get_running_loop().time() - began) * 1000, 1))

    async def lost(self, dispatch: Dispatch) -> None:
        """Count a delivery that came again and again without an end, because its workers died or were stopped.

        It is a failure like others: of the messages that a dying worker held only one was to blame.
        """
        with bound_contextvars(actor=dispatch.actor, event_id=str(dispatch.event_id), attempt=dispatch.attempts + 1):
            await self._record(dispatch, _End(RuntimeError("its workers ended without a result"), False, 0.0))

    async def _call(self, actor: Actor, dispatch: Dispatch) -> None:
        if dispatch.again and not await self._c.db.system(deliveries.is_open, dispatch.event_id, dispatch.actor):
            raise AlreadyDone
        payload = dispatch.payload
        if payload is None:
            payload = await self._c.db.system(outbox.payload_of, dispatch.event_id)
            if payload is None:
                raise EventGone(f"event {dispatch.event_id} is no longer in the outbox")
        event = actor.on.load(payload, id=dispatch.event_id, at=dispatch.at, tenant_id=dispatch.tenant_id)
        hop = DeliveryHop(self._c, dispatch)
        await actor.run(self._c, event, hop)
        if not hop.is_finished:
            raise NoFinalHop(f"{actor.name} returned without its final hop")

    async def _record(self, dispatch: Dispatch, end: _End) -> None:
        """Write the failure down; while the database is away, wait for it and keep the message."""
        message = f"{type(end.error).__name__}: {end.error}"
        steps_s = self._c.settings.delivery_steps_s
        for attempt in itertools.count():
            try:
                failure = await self._c.db.system(
                    deliveries.mark_failed, dispatch, message, steps_s, end.is_fatal, end.not_before_s
                )
            except Exception:
                pause = RECORDING_PAUSES_S[min(attempt, len(RECORDING_PAUSES_S) - 1)]
                LOG.exception("a failure could not be stored", pause_s=pause, failure=message)
                await asyncio.sleep(pause)
            else:
                _log(failure, end, message)
                return


def _end(actor: Actor, error: Exception) -> _End:
    """The third edge of the error tree: again, or dead at once."""
    is_fatal = isinstance(error, (*actor.fatal, MalformedEvent, EventGone, NoFinalHop))
    if isinstance(error, DomainError):
        return _End(error, is_fatal or error.kind in NEVER_HELPS, error.retry_after_s or 0.0)
    return _End(error, is_fatal, 0.0)


def _log(failure: Failure | None, end: _End, message: str) -> None:
    if failure is None:
        LOG.info("a stale copy failed; nothing is counted", failure=message)
    elif failure.dead:
        LOG.error("delivery is dead", failure=message, exc_info=end.error)
    else:
        LOG.warning("delivery failed", failure=message, next_at=failure.next_at.isoformat(), exc_info=end.error)
