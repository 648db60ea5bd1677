"""The public keys of access tokens, for services beside this one."""

from __future__ import annotations

import orjson

from edurise.identity import keys
from handlers.envelope import Finished
from handlers.guards import describe, public
from handlers.refusals import RefusingHandler
from handlers.routing import Route


class JwksHandler(RefusingHandler):
    """The set, as this process knows it. A key is in it from when it is made, before it signs."""

    def initialize(self, route: Route) -> None:
        self.route = route

    @public(cache=True)
    @describe(
        summary="The public keys of access tokens (RFC 7517)",
        tags=["auth"],
        shape="bytes",
        produces="application/jwk-set+json",
        limited=False,
    )
    async def get(self) -> None:
        self.set_header("Content-Type", "application/jwk-set+json")
        body = orjson.dumps(keys.published(self.c.tokens.ring))
        self.send(Finished(200, body, ""))


routes = [("/.well-known/jwks.json", JwksHandler)]
aliases: list[tuple[str, str, str]] = []
