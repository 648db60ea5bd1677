"""The relay: from the outbox to the actors' queues. Only it publishes. Two relays share the work; one that dies leaves
nothing undone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import structlog

from edurise import deliveries, outbox
from edurise.adapters.draining import drain
from edurise.ports import Bells, Transport

if TYPE_CHECKING:
    from edurise.container import Container

LOG = structlog.get_logger("relay")

POLL_S = 0.1
BATCH = 500
RETRY_S = 1.0
"""How soon what the broker did not confirm is tried again."""
PAUSES_S = (0.2, 1.0, 5.0)
"""Pauses of the loop while the database or the broker is away; the last one repeats."""


class BrokerAway(Exception):
    """The broker confirmed nothing of a batch."""


class Relay:
    """Polls every 100 ms, and at once when the bell ``outbox`` rings. ``wanted`` is ``Registry.wanted()``."""

    def __init__(
        self,
        c: Container,
        transport: Transport,
        bells: Bells,
        wanted: Mapping[str, Sequence[str]],
        *,
        batch: int = BATCH,
    ) -> None:
        self._c = c
        self._transport = transport
        self._bells = bells
        self._wanted = wanted
        self._batch = batch
        self._recalled = transport.durable

    async def run(self) -> None:
        """Relay until cancelled. A round under way is finished first, so that what was published is marked."""
        failures = 0
        while True:
            step = asyncio.ensure_future(self._step())
            try:
                outcome = await asyncio.shield(step)
            except asyncio.CancelledError:
                await drain({step}, self._c.settings.drain_s)
                raise
            failures = failures + 1 if outcome is None else 0
            if outcome is None:
                await asyncio.sleep(PAUSES_S[min(failures, len(PAUSES_S)) - 1])
            elif not outcome:
                await self._bells.wait(outbox.BELL, POLL_S)

    async def round(self) -> bool:
        """Spread, claim, publish, mark; returns whether there was as much as a batch holds, so that more may wait.

        Raises BrokerAway if nothing of it was confirmed.
        """
        batch = await self._c.db.system(deliveries.claim, self._wanted, self._batch)
        if not batch.dispatches:
            return False
        confirmed = await self._transport.publish(batch.dispatches)
        await self._c.db.system(deliveries.mark_sent, batch, confirmed, self._c.settings.delivery_resend_s)
        if len(confirmed) < len(batch.dispatches):
            known = {(one.event_id, one.actor) for one in confirmed}
            unsent = [one for one in batch.dispatches if (one.event_id, one.actor) not in known]
            await self._c.db.system(deliveries.release, batch, unsent, RETRY_S)
            LOG.warning("the broker did not confirm", unsent=len(unsent), sent=len(confirmed))
            if not confirmed:
                raise BrokerAway
        return len(batch.dispatches) >= self._batch

    async def _step(self) -> bool | None:
        """One round; None if it failed."""
        try:
            if not self._recalled:
                await self._c.db.system(deliveries.recall)
                self._recalled = True
            return await self.round()
        except BrokerAway:
            return None  # logged where it was noticed
        except Exception:
            LOG.exception("a round of the relay failed")
            return None
