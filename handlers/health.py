"""Alive, ready, and numbers: for load balancers and for Prometheus."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from handlers.base import RestHandler
from handlers.guards import describe, public
from handlers.observing import observe_state
from schemas.health import AliveOut, ReadyOut


class ProbeHandler(RestHandler):
    """Base of probes: nobody has to be known and nothing is limited."""

    reads_token = False
    limited = False


class HealthHandler(ProbeHandler):
    """The process runs and its loop turns."""

    @public()
    @describe(summary="Alive: the loop turns", tags=["operations"], out=AliveOut, limited=False)
    async def get(self) -> None:
        self.reply(200, {"status": "alive"})


class ReadyHandler(ProbeHandler):
    """The process can serve: its database is migrated, database and Redis answer."""

    @public()
    @describe(
        summary="Ready: migrated, and database and Redis answer",
        tags=["operations"],
        out=ReadyOut,
        limited=False,
        errors=["NOT_READY"],
    )
    async def get(self) -> None:
        self.reply(200, await self.c.readiness.report())


class MetricsHandler(ProbeHandler):
    """Prometheus' text format. To be kept from the public by the load balancer."""

    @public()
    @describe(
        summary="Metrics in Prometheus' text format",
        tags=["operations"],
        shape="bytes",
        produces="text/plain",
        limited=False,
    )
    async def get(self) -> None:
        await observe_state(self.c, self.application.settings["hub"])
        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        self.finish(generate_latest(REGISTRY))


routes = [
    ("/healthz", HealthHandler),
    ("/readyz", ReadyHandler),
    ("/metrics", MetricsHandler),
]
aliases: list[tuple[str, str, str]] = []
