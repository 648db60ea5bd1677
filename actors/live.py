"""What follows a class that went live, and what time does to classes."""

from __future__ import annotations

from uuid import UUID

import structlog

from actors.registry import actor
from actors.runtime import DeliveryHop
from actors.schedule import job
from edurise.authz import actor_principal
from edurise.container import Container
from edurise.errors import NotFound
from edurise.live import queries, service
from edurise.live.events import LiveClassStarted

LOG = structlog.get_logger("live")

AT_ONCE = 50
"""Learners who are told in one hop."""


@actor(on=LiveClassStarted, fatal=(NotFound,))
async def tell_the_class(c: Container, event: LiveClassStarted, hop: DeliveryHop) -> None:  # noqa: ARG001 - every actor's signature
    """A row and a frame for each learner of the course, unless the class is over by now."""
    learners: list[UUID] = await hop(queries.learners, event.class_id)
    parts = [learners[first : first + AT_ONCE] for first in range(0, len(learners), AT_ONCE)] or [[]]
    for part in parts[:-1]:
        await hop(service.tell_learners, event, part)
    await hop(service.tell_learners, event, parts[-1], final=True)


@job(every_s=1)
async def sweep(c: Container) -> None:
    """Lost sockets, people who are gone, what was not told, figures: one hop for each class that has any."""
    for tenant_id, class_id in await c.db.system(service.due):
        try:
            await c.db.run(actor_principal(tenant_id), service.settle, class_id)
        except Exception:
            LOG.exception("a class could not be settled", class_id=str(class_id))  # the others are, and this one again
