"""Protocols that more than one capability needs. A port of a single capability lives in that capability."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


class Clock(Protocol):
    """Wall-clock time, aware and in UTC. Durations come from the loop's monotonic clock, never from here."""

    def now(self) -> datetime: ...


@dataclass(frozen=True)
class ChannelEvent:
    """One stored event of a durable channel.

    ``offset`` counts from 1 within ``channel`` and has no gaps for committed events; ``epoch`` changes when the
    numbering starts anew.
    """

    channel: str
    offset: int
    epoch: UUID
    type: str
    data: dict[str, object]
    at: datetime


class Announcer(Protocol):
    """The fast path after a commit. It may fail or lose messages: readers reconcile with the stored events."""

    async def announce(self, events: Sequence[ChannelEvent]) -> None:
        """Tell every web process that these events were committed."""

    async def ring(self, bell: str) -> None:
        """Wake whoever waits for ``bell`` (for example the relay, for ``outbox``)."""


class Streams(Protocol):
    """Ephemeral channels, the writing side: numbered as durable ones are, kept for a while, lost with Redis."""

    async def append(
        self,
        channel: str,
        type: str,  # noqa: A002 - the frame's own word
        data: Mapping[str, object],
        *,
        renew: bool = False,
        epoch: UUID | None = None,
    ) -> ChannelEvent | None:
        """Number, keep and publish an event. None: it was not taken, or nobody knows; never raises for that.

        After a None go on with ``renew``, which begins another numbering, so that whoever follows the old one is told
        that something is missing. With ``epoch`` an event is taken only while that numbering lasts.
        """


@dataclass(frozen=True)
class Allowance:
    """Where a caller stands: calls allowed a minute, how many are left, seconds until the count starts anew."""

    limit: int
    remaining: int
    reset_s: int


class Limiter(Protocol):
    """Counts sensitive calls over all processes."""

    async def hit(self, name: str, key: str) -> Allowance:
        """Count one call of ``key``. Raises Limited, which says when to come back."""

    async def close(self) -> None:
        """Close the connections."""


@dataclass(frozen=True)
class Charge:
    """Who a use counts for beside the organization."""

    course_id: UUID | None = None
    person_id: UUID | None = None


@dataclass(frozen=True)
class Hold:
    """A reservation as it was made."""

    tenant_id: UUID
    resource: str
    amount: int
    charge: Charge


@dataclass(frozen=True)
class QuotaState:
    """How much of a resource is used, reservations included, and how much may be. ``scope``: organization, course or
    person."""

    scope: str
    subject_id: UUID
    used: int
    limit: int


class Quotas(Protocol):
    """Counts what plans limit, inside the transaction that uses it: many at once never exceed a limit together."""

    def reserve(
        self, session: Session, tenant_id: UUID, resource: str, amount: int, charge: Charge, until: datetime
    ) -> UUID:
        """Reserve ``amount`` until a time; returns the reservation. Raises Conflict (QUOTA_EXCEEDED)."""

    def hold(
        self, session: Session, tenant_id: UUID, resource: str, hold_id: UUID, least: int, spare: int, until: datetime
    ) -> int:
        """Let a reservation be of ``least``, and of some more up to ``spare`` where much is left; returns what it is
        of."""

    def prolong(self, session: Session, hold_ids: Collection[UUID], until: datetime) -> dict[UUID, int]:
        """Let reservations last until a time; returns what their organizations have left, without those that expired
        (system role)."""

    def settle(self, session: Session, hold_id: UUID, amount: int) -> None:
        """End a reservation: so much is used from now on. Raises NotFound, Conflict (QUOTA_EXCEEDED)."""

    def release(self, session: Session, hold_id: UUID) -> None:
        """End a reservation of which nothing was used; does nothing for one that has ended."""

    def give_back(self, session: Session, tenant_id: UUID, resource: str, amount: int, charge: Charge) -> None:
        """What was settled once is used no more."""

    def transfer(
        self, session: Session, tenant_id: UUID, resource: str, amount: int, before: Charge, after: Charge
    ) -> None:
        """Charge what is used to others of the same organization. Raises Conflict (QUOTA_EXCEEDED)."""

    def use(self, session: Session, tenant_id: UUID, resource: str, amount: int = 1, *, beyond: bool = False) -> None:
        """Count what is used from now on. ``beyond``: even where that is more than the plan allows, for what was paid.

        Raises Conflict (PLAN_LIMIT_REACHED).
        """

    def spend(self, session: Session, tenant_id: UUID, resource: str, amount: int = 1) -> None:
        """Count what an organization may do so often a day, in UTC. Raises Limited, which says when to come back."""

    def release_expired(self, session: Session) -> int:
        """Release reservations whose time is over, and forget the counts of days gone by; returns how many (system
        role)."""

    def overview(self, session: Session, tenant_id: UUID) -> list[dict[str, Any]]:
        """How much of everything that a plan limits is used, and how much may be."""

    def state(self, session: Session, tenant_id: UUID, resource: str, charge: Charge) -> list[QuotaState]:
        """What is used and what may be, for each whom ``charge`` names."""


class Bells(Protocol):
    """The waiting side of ``Announcer.ring``. It may miss a ring: whoever waits polls anyway."""

    async def wait(self, bell: str, timeout_s: float) -> bool:
        """Return True as soon as ``bell`` rings, at once if it rang since the last call; False after ``timeout_s``.

        Never raises for a server that is away.
        """


@dataclass(frozen=True)
class Dispatch:
    """An event on its way to one actor.

    ``payload`` is None where it is too large to travel: the actor's side reads it from the outbox. ``attempts`` counts
    the failures so far; ``again`` says that an earlier copy may have been handled already.
    """

    event_id: UUID
    actor: str
    topic: str
    tenant_id: UUID | None
    at: datetime
    payload: dict[str, Any] | None
    attempts: int
    again: bool


class Transport(Protocol):
    """Carries dispatches from the relay to the actors, at least once, in no promised order.

    It is never the truth: what it loses is sent again from ``deliveries``.
    """

    durable: bool
    """Whether what was published outlives this process."""

    async def publish(self, dispatches: Sequence[Dispatch]) -> Sequence[Dispatch]:
        """Send, and return those that the broker confirmed. Never raises for a broker that is away."""

    async def consume(
        self,
        actors: Sequence[str],
        handle: Callable[[Dispatch], Awaitable[None]],
        lost: Callable[[Dispatch], Awaitable[None]],
    ) -> None:
        """Hand what arrives for these actors to ``handle``, until cancelled; then let the running ones finish.

        A dispatch counts as delivered once ``handle`` returns; if it raises or its process dies, it comes again. One
        that came too often without that goes to ``lost``.
        """

    async def close(self) -> None:
        """Close the connections."""


class Sheets(Protocol):
    """Writes tables for programs that read them as sheets."""

    def write(self, form: str, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> bytes:
        """A whole file in the form ``csv`` or ``xlsx``. A text never becomes a formula; times are ISO 8601 in UTC."""
