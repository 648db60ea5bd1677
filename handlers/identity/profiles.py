"""Profiles, preferences and one's own history."""

from __future__ import annotations

from uuid import UUID

from edurise.authz import MINE
from edurise.identity import history, preferences, profiles
from edurise.identity.permissions import Identity
from handlers.base import RestHandler
from handlers.guards import describe, permit
from schemas.base import PageQuery
from schemas.profiles import ActOut, PreferencesIn, PreferencesOut, ProfileIn, UserProfileOut

TAGS = ["profiles"]


class ProfilesHandler(RestHandler):
    """One's own profile, in a list."""

    @permit(Identity.ME)
    @describe(
        summary="One's own profile in an array, which is empty until something was written",
        tags=TAGS,
        out=UserProfileOut,
        shape="array",
    )
    async def get(self) -> None:
        self.reply(200, await self.hop(profiles.listed))

    @permit(Identity.PREFER)
    @describe(
        summary="Write one's own profile; a repeat changes it",
        tags=TAGS,
        body=ProfileIn,
        out=UserProfileOut,
        status=201,
        also=[200],
        shape="body",
        errors=["SESSION_CONFINED"],
    )
    async def post(self) -> None:
        self.reply_made(await self.hop(profiles.make, self.body(ProfileIn)))


class ProfileHandler(RestHandler):
    """One profile."""

    @permit(Identity.PREFER)
    @describe(
        summary="Change one's own profile",
        tags=TAGS,
        body=ProfileIn,
        out=UserProfileOut,
        shape="body",
        errors=["NOT_FOUND", "SESSION_CONFINED"],
    )
    async def patch(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.reply(200, await self.hop(profiles.change, id, self.body(ProfileIn)))


class PreferencesHandler(RestHandler):
    """Preferences."""

    @permit(Identity.ME)
    @describe(summary="One's own preferences", tags=["users"], out=PreferencesOut, shape="body")
    async def get(self) -> None:
        self.reply(200, await self.hop(preferences.own))

    @permit(Identity.PREFER)
    @describe(
        summary="Change one's own preferences; those that are not named stay",
        tags=["users"],
        body=PreferencesIn,
        out=PreferencesOut,
        shape="body",
        errors=["SESSION_CONFINED"],
    )
    async def patch(self) -> None:
        self.reply(200, await self.hop(preferences.change, self.body(PreferencesIn)))


class ActivityHandler(RestHandler):
    """What one did."""

    @permit(Identity.HISTORY)
    @describe(
        summary="What one did, over all organizations, the newest first",
        tags=["users"],
        query=PageQuery,
        out=ActOut,
        shape="page",
        errors=["SESSION_CONFINED"],
    )
    async def get(self) -> None:
        window = self.window(self.query(PageQuery))
        self.reply_page(await self.hop(history.own, window, about=MINE), window)


_ROOT = "/api/v1/user-profiles"
routes = [
    (f"{_ROOT}/", ProfilesHandler),
    (f"{_ROOT}/{{id:uuid}}/", ProfileHandler),
    ("/api/v1/users/preferences/", PreferencesHandler),
    ("/api/v1/users/activity/", ActivityHandler),
]
aliases: list[tuple[str, str, str]] = []
