"""A teacher's own profile, which shows figures of their courses."""

from __future__ import annotations

from edurise.analytics import profiles
from edurise.identity.permissions import Identity
from handlers.base import RestHandler
from handlers.guards import describe, permit
from schemas.profiles import OwnProfileIn, OwnProfileOut


class OwnProfileHandler(RestHandler):
    """One's own profile with figures."""

    @permit(Identity.ME)
    @describe(
        summary="One's own profile, with the figures of one's published courses", tags=["profiles"], out=OwnProfileOut
    )
    async def get(self) -> None:
        self.reply(200, await self.hop(profiles.own))

    @permit(Identity.PREFER)
    @describe(
        summary="Change one's own name and profile",
        tags=["profiles"],
        body=OwnProfileIn,
        out=OwnProfileOut,
        errors=["SESSION_CONFINED"],
    )
    async def patch(self) -> None:
        self.reply(200, await self.hop(profiles.change, self.body(OwnProfileIn)))


routes = [("/api/v1/user-profiles/me/", OwnProfileHandler)]
aliases: list[tuple[str, str, str]] = []
